"""Stain normalisation on the way into an encoder: fitted on a reference section alone, applied tile by tile."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from histoscribe.encoders import Card, Choice, Encoder
from histoscribe.encoders.base import RGB, Features
from histoscribe.io import read
from histoscribe.io.reading import Request
from histoscribe.run.blocks import chosen_tile_um
from histoscribe.run.config import RunConfig
from histoscribe.section import Section
from histoscribe.slide.stain import StainNormaliser, fit_stain
from histoscribe.slide.tiles import read_tiles

_TILES, _TILE_PX = 64, 128


def fitted_normaliser(section: Section, config: RunConfig) -> StainNormaliser | None:
    """Fit the normaliser on the reference that `config` names, set for `section`; None where none is asked for.

    Raises
    ------
    InputError
        Where the reference cannot be read, or either of them shows hardly any tissue.
    """
    if config.stain_reference is None:
        return None
    reference = read(Request(path=Path(config.stain_reference))).section
    tile_um = chosen_tile_um(section, config.tile_um)
    fitted = fit_stain(config.stain, _sample(reference, tile_um))
    return fitted.for_section(_sample(section, tile_um))


@dataclass(frozen=True, slots=True, eq=False)
class StainReference:
    """Whose colours the others are given, by name: whoever uses it can say what it was fitted on.

    Parameters
    ----------
    section
        Name of the one section that it was fitted on.
    normaliser
        Knows that section's stain, and none other's.
    tile_um
        Side of the tiles on which stains are measured.
    """

    section: str
    normaliser: StainNormaliser
    tile_um: float

    @classmethod
    def fit(cls, section: Section, method: str, *, tile_um: float) -> "StainReference":
        """Measure a section's stain; raises InputError where it shows hardly any tissue."""
        return cls(section.name, fit_stain(method, _sample(section, tile_um)), tile_um)

    def on(self, section: Section) -> StainNormaliser:
        """Return the normaliser set for `section`; raises InputError where that shows hardly any tissue."""
        return self.normaliser.for_section(_sample(section, self.tile_um))

    def record(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        return {"section": self.section, "tile_um": self.tile_um, "normaliser": self.normaliser.to_dict()}

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "StainReference":
        """Return the reference that `record` tells of; raises ConfigError where it is damaged."""
        return cls(record["section"], StainNormaliser.from_dict(record["normaliser"]), float(record["tile_um"]))


@dataclass(frozen=True, slots=True)
class StainedEncoder:
    """An encoder that sees every tile in the reference's colours."""

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


def _sample(section: Section, tile_um: float) -> RGB:
    """Tiles at spots spread evenly over the section, (64, 128, 128, 3)."""
    chosen = np.unique(np.linspace(0, section.spots.n_obs - 1, _TILES).astype(np.intp))
    return read_tiles(section.require_image(), section.xy_px[chosen], tile_um=tile_um, out_px=_TILE_PX)
