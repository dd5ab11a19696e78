"""Slides scanned at different scales, encoded at one: an encoder to which finer slides look like the coarsest."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from histoscribe.encoders.base import RGB, Choice, Encoder, Features
from histoscribe.encoders.card import Card
from histoscribe.errors import InputError
from histoscribe.slide.image import SlideImage

# sections with pixel sizes that differ by more than this factor look different to an encoder
SCALE_TOLERANCE = 1.5


@dataclass(frozen=True, slots=True)
class CoarseEncoder:
    """An encoder that is given every slide at one coarser scale, so that sections scanned differently compare.

    Parameters
    ----------
    encoder
        Gets the tile enlarged again to its own size.
    image
        Refused where its pixels are coarser still.
    common_mpp
        The common scale, in microns per pixel.
    side_um
        Side of the present tiles; None before it is known.
    """

    encoder: Encoder
    image: SlideImage
    common_mpp: float
    side_um: float | None = None

    def __post_init__(self) -> None:
        """Refuse a slide that is coarser than the common scale."""
        require_finer(float(self.image.mpp or 0), self.common_mpp, where=self.image.path)

    @property
    def card(self) -> Card:
        """The encoder's card, with the side of the tiles that it is to be given here."""
        card = self.encoder.card
        if self.side_um is None:
            return card
        px = max(8, round(self.side_um / self.common_mpp))
        return replace(card, input_px=min(px, card.input_px))

    @property
    def choice(self) -> Choice:
        """How the encoder is run here."""
        return self.encoder.choice

    def with_choice(self, choice: Choice) -> "CoarseEncoder":
        """Return the same, run in another way."""
        return replace(self, encoder=self.encoder.with_choice(choice))

    def encode(self, tiles: RGB) -> Features:
        """Enlarge and encode, (n, h, w, 3) uint8 -> (n, d) float32."""
        return self.encoder.encode(_enlarged(tiles, self.encoder.card.input_px))

    def encode_grid(self, tiles: RGB) -> Features:
        """Enlarge and encode to grids, (n, h, w, 3) uint8 -> (n, gh, gw, d) float32."""
        return self.encoder.encode_grid(_enlarged(tiles, self.encoder.card.input_px))


def require_finer(mpp: float, common_mpp: float, *, where: Path | str | None) -> None:
    """Refuse a slide with more microns per pixel than the scale that all are brought to; raises InputError."""
    if mpp > SCALE_TOLERANCE * common_mpp:
        raise InputError(
            "this slide is coarser than the scale that all are to be brought to",
            where=where,
            expected=f"at most {common_mpp:g} um/px",
            found=f"{mpp:.3g} um/px",
            fix=f"give --mpp {mpp:.3g}",
        )


def for_side(encoder: Encoder, side_um: float) -> Encoder:
    """Set the side of the next tiles on a `CoarseEncoder`; other encoders are returned as they are."""
    return replace(encoder, side_um=side_um) if isinstance(encoder, CoarseEncoder) else encoder


def _enlarged(tiles: RGB, side_px: int) -> RGB:
    from PIL import Image

    if tiles.shape[1] == side_px:
        return tiles
    pictures = [Image.fromarray(tile).resize((side_px, side_px), Image.Resampling.BILINEAR) for tile in tiles]
    empty: NDArray[np.uint8] = np.empty((0, side_px, side_px, 3), np.uint8)
    return np.stack([np.asarray(picture) for picture in pictures]) if pictures else empty
