"""Slides scanned at different scales, seen at one: an encoder that is shown fine slides as a coarse one would be."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from histoscribe.encoders import Card, Choice, Encoder
from histoscribe.encoders.base import RGB, Features
from histoscribe.errors import InputError
from histoscribe.slide.image import SlideImage

# sections whose pixels differ by more than this factor look different to an encoder
SCALE_TOLERANCE = 1.5


@dataclass(frozen=True, slots=True)
class CoarseEncoder:
    """An encoder that sees every slide at one coarser scale, so that sections scanned differently can be compared.

    Parameters
    ----------
    encoder
        Sees the tile enlarged again to its own size.
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
        mpp = float(self.image.mpp or 0)
        if mpp > SCALE_TOLERANCE * self.common_mpp:
            raise InputError(
                "this slide is coarser than the scale that all are to be brought to",
                where=self.image.path,
                expected=f"at most {self.common_mpp:g} um/px",
                found=f"{mpp:.3g} um/px",
                mend=f"give --mpp {mpp:.3g}",
            )

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


def for_side(encoder: Encoder, side_um: float) -> Encoder:
    """Tell an encoder of one scale how large the coming tiles are; another one needs not know."""
    return replace(encoder, side_um=side_um) if isinstance(encoder, CoarseEncoder) else encoder


def _enlarged(tiles: RGB, side_px: int) -> RGB:
    from PIL import Image

    if tiles.shape[1] == side_px:
        return tiles
    pictures = [Image.fromarray(tile).resize((side_px, side_px), Image.Resampling.BILINEAR) for tile in tiles]
    empty: NDArray[np.uint8] = np.empty((0, side_px, side_px, 3), np.uint8)
    return np.stack([np.asarray(picture) for picture in pictures]) if pictures else empty
