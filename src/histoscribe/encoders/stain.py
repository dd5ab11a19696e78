"""Stain normalisation on the way into an encoder: fitted on a reference section alone, applied tile by tile."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from histoscribe.encoders.base import RGB, Choice, Encoder, Features
from histoscribe.encoders.card import Card
from histoscribe.errors import ConfigError
from histoscribe.section import Section
from histoscribe.slide.stain import StainNormaliser, fit_stain
from histoscribe.slide.tiles import read_tiles

_TILES, _TILE_PX = 64, 128


@dataclass(frozen=True, slots=True, eq=False)
class StainReference:
    """The section to which the colours of the others are matched. Its name records what was fitted on.

    Parameters
    ----------
    section
        Name of the one section that it was fitted on.
    normaliser
        Fitted on that section's stain alone.
    tile_um
        Side of the tiles on which stains are measured.

    Examples
    --------
    >>> from histoscribe import Section, SlideImage
    >>> from histoscribe.encoders.stain import StainReference
    >>> from histoscribe.phantom import cohort, make_phantom
    >>> from histoscribe.slide.tiles import read_tiles
    >>> like = make_phantom(7, size_um=800.0, mpp=1.0, n_domains=3)
    >>> phantoms = [(p.name, p.spots(), SlideImage(p.image, mpp=1.0)) for p in cohort(2, like=like)]
    >>> one, other = (Section.from_anndata(spots, name=name, image=image) for name, spots, image in phantoms)
    >>> reference = StainReference.fit(one, "reinhard", tile_um=112.0)
    >>> theirs, own = (read_tiles(s.image, s.xy_px, tile_um=112.0, out_px=64) for s in (one, other))
    >>> matched = reference.on(other).transform(own)
    >>> [round(float(tiles[..., 0].mean()), -1) for tiles in (theirs, own, matched)]  # mean red
    [190.0, 170.0, 180.0]
    """

    section: str
    normaliser: StainNormaliser
    tile_um: float

    @classmethod
    def fit(cls, section: Section, method: str, *, tile_um: float) -> "StainReference":
        """Measure a section's stain; raises InputError where it shows hardly any tissue."""
        return cls(section.name, fit_stain(method, _sample(section, tile_um), where=_named(section)), tile_um)

    def on(self, section: Section) -> StainNormaliser:
        """Return the normaliser set for `section`; raises InputError where that shows hardly any tissue."""
        return self.normaliser.for_section(_sample(section, self.tile_um), where=_named(section))

    def record(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        return {"section": self.section, "tile_um": self.tile_um, "normaliser": self.normaliser.to_dict()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "StainReference":
        """Return the reference that `record` describes; raises ConfigError where it is damaged."""
        try:
            name, tile_um, normaliser = str(record["section"]), float(record["tile_um"]), record["normaliser"]
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                "this is no record of a stain reference",
                expected="section, tile_um and normaliser",
                found=type(record).__name__,
                fix="fit the stain reference again",
            ) from error
        return cls(name, StainNormaliser.from_dict(normaliser), tile_um)


@dataclass(frozen=True, slots=True)
class StainedEncoder:
    """An encoder that is given every tile in the reference's colours."""

    encoder: Encoder
    normaliser: StainNormaliser

    @property
    def card(self) -> Card:
        """The encoder's card."""
        return self.encoder.card

    @property
    def choice(self) -> Choice:
        """How the encoder is run here."""
        return self.encoder.choice

    def with_choice(self, choice: Choice) -> "StainedEncoder":
        """Return the same, run in another way."""
        return replace(self, encoder=self.encoder.with_choice(choice))

    def encode(self, tiles: RGB) -> Features:
        """Encode normalised tiles, (n, h, w, 3) uint8 -> (n, d) float32."""
        return self.encoder.encode(self.normaliser.transform(tiles))

    def encode_grid(self, tiles: RGB) -> Features:
        """Encode normalised tiles to grids, (n, h, w, 3) uint8 -> (n, gh, gw, d) float32."""
        return self.encoder.encode_grid(self.normaliser.transform(tiles))


def _named(section: Section) -> str:
    return f"section {section.name!r}"


def _sample(section: Section, tile_um: float) -> RGB:
    """Tiles at spots spread evenly over the section, (64, 128, 128, 3)."""
    chosen = np.unique(np.linspace(0, section.spots.n_obs - 1, _TILES).astype(np.intp))
    return read_tiles(section.require_image(), section.xy_px[chosen], tile_um=tile_um, out_px=_TILE_PX)
