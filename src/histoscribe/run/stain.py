"""Stain normalisation on the way into an encoder: fitted on a reference section alone, applied tile by tile."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from histoscribe.encoders import Card, Choice, Encoder
from histoscribe.encoders.base import RGB, Features
from histoscribe.io import read
from histoscribe.io.reading import Request
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
    fitted = fit_stain(config.stain, _sample(reference, config.tile_um))
    return fitted.for_section(_sample(section, config.tile_um))


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
