"""A slide at a segmenter's own microns per pixel, read window by window, and the blocks in which it is worked through.

The resampled picture is defined by squares at fixed places, each resampled separately, so that a pixel has the same
value in whatever window it is read.
"""

from collections import OrderedDict
from dataclasses import dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError
from histoscribe.nuclei.segmenter import ALIGN_PX, RGB
from histoscribe.slide.image import SlideImage
from histoscribe.slide.tiles import read_tiles
from histoscribe.slide.tissue import TissueMask

BLOCK_PX = 2048
_SQUARE_PX = 512
_KEPT_SQUARES = 64  # 48 MB
COARSEST_MPP = 2.0  # above it a nucleus is under three pixels wide and cannot be found
_SAME = 1e-3  # scales nearer than this are not resampled
_SAMPLE_SQUARES = 16


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of the canvas: what it owns, and what is read around it, in canvas pixels."""

    index: int
    x: int
    y: int
    width: int
    height: int
    window: tuple[int, int, int, int]  # x, y, width, height; starts at a multiple of ALIGN_PX

    def owns(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether points of the canvas lie in the piece: every point lies in one block only."""
        inside: NDArray[np.bool_] = (x >= self.x) & (x < self.x + self.width)
        return inside & (y >= self.y) & (y < self.y + self.height)


class Canvas:
    """A slide as input of the segmenter.

    Parameters
    ----------
    image
        With its microns per pixel.
    mpp
        Microns per pixel of the canvas.

    Raises
    ------
    InputError
        Where the image's microns per pixel are unknown.
    """

    def __init__(self, image: SlideImage, *, mpp: float) -> None:
        if not image.mpp:
            raise InputError(
                "the image does not say how large its pixels are, and nuclei are found at their physical size",
                where=image.path,
                expected="microns per pixel",
                fix="give them with --mpp, for example --mpp 0.5 for a 20x scan or --mpp 0.25 for a 40x scan",
            )
        if image.mpp > COARSEST_MPP:
            raise InputError(
                "the pixels are too large to separate nuclei",
                where=image.path,
                expected=f"at most {COARSEST_MPP:g} um per pixel; a nucleus is about 6 um wide",
                found=f"{image.mpp:.3g} um per pixel",
                fix="give the full-resolution image; if its pixel size is recorded wrongly, correct it with --mpp",
            )
        self.image = image
        scale = mpp / image.mpp  # level-0 pixels to one of the canvas
        self.scale = 1.0 if abs(scale - 1) < _SAME else scale
        self.mpp = image.mpp * self.scale
        self.height, self.width = (max(1, ceil(side / self.scale - 1e-6)) for side in image.shape)
        self._squares: OrderedDict[tuple[int, int], RGB] = OrderedDict()

    def read(self, x: int, y: int, width: int, height: int) -> RGB:
        """Window of the canvas, (height, width, 3) uint8."""
        if self.scale == 1:
            return self.image.read(x, y, width, height)
        out = np.empty((height, width, 3), np.uint8)
        for top in range(y // _SQUARE_PX * _SQUARE_PX, y + height, _SQUARE_PX):
            for left in range(x // _SQUARE_PX * _SQUARE_PX, x + width, _SQUARE_PX):
                y0, y1 = max(y, top), min(y + height, top + _SQUARE_PX)
                x0, x1 = max(x, left), min(x + width, left + _SQUARE_PX)
                square = self._square(left, top)
                out[y0 - y : y1 - y, x0 - x : x1 - x] = square[y0 - top : y1 - top, x0 - left : x1 - left]
        return out

    def blocks(self, halo_px: int, *, block_px: int = BLOCK_PX) -> list[Block]:
        """All pieces, row by row; each with at least `halo_px` around it, where the canvas goes on."""
        step = max(ALIGN_PX, block_px // ALIGN_PX * ALIGN_PX)
        halo = ceil(halo_px / ALIGN_PX) * ALIGN_PX
        made: list[Block] = []
        for y in range(0, self.height, step):
            for x in range(0, self.width, step):
                width, height = min(step, self.width - x), min(step, self.height - y)
                left, top = max(0, x - halo), max(0, y - halo)
                right, bottom = min(self.width, x + width + halo), min(self.height, y + height + halo)
                window = (left, top, right - left, bottom - top)
                made.append(Block(len(made), x, y, width, height, window))
        return made

    def has_tissue(self, mask: TissueMask, x: int, y: int, width: int, height: int) -> bool:
        """Whether a window of the canvas touches tissue."""
        return bool(self._under(mask, x, y, width, height).any())

    def sample(self, mask: TissueMask) -> list[RGB]:
        """Up to 16 squares of tissue, spread evenly over the slide, whatever the blocks."""
        corners = [
            (x, y)
            for y in range(0, self.height, _SQUARE_PX)
            for x in range(0, self.width, _SQUARE_PX)
            if self.has_tissue(mask, x, y, min(_SQUARE_PX, self.width - x), min(_SQUARE_PX, self.height - y))
        ]
        share = [float(self._under(mask, x, y, _SQUARE_PX, _SQUARE_PX).mean()) for x, y in corners]
        full = [corner for corner, part in zip(corners, share, strict=True) if part > 0.75]
        chosen = full or [corner for _, corner in sorted(zip(share, corners, strict=True), reverse=True)]
        places = np.unique(np.linspace(0, len(chosen) - 1, min(_SAMPLE_SQUARES, len(chosen))).round().astype(int))
        return [
            self.read(x, y, min(_SQUARE_PX, self.width - x), min(_SQUARE_PX, self.height - y))
            for x, y in (chosen[k] for k in places)
        ]

    def _under(self, mask: TissueMask, x: int, y: int, width: int, height: int) -> NDArray[np.bool_]:
        step = self.scale / mask.downsample
        rows, columns = mask.mask.shape
        top, left = (min(int(v * step), side - 1) for v, side in ((y, rows), (x, columns)))
        return mask.mask[top : max(top + 1, ceil((y + height) * step)), left : max(left + 1, ceil((x + width) * step))]

    def _square(self, left: int, top: int) -> RGB:
        key = left, top
        if key not in self._squares:
            centre = np.array([[left + _SQUARE_PX / 2, top + _SQUARE_PX / 2]]) * self.scale
            self._squares[key] = read_tiles(self.image, centre, tile_um=_SQUARE_PX * self.mpp, out_px=_SQUARE_PX)[0]
            while len(self._squares) > _KEPT_SQUARES:
                self._squares.popitem(last=False)
        self._squares.move_to_end(key)
        return self._squares[key]
