"""Squares of a slide at any zoom, as OpenSeadragon asks for them, and their pixels as JPEG or PNG."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, log2

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError
from histoscribe.slide.image import RGB, SlideImage

TILE_PX = 512
JPEG_QUALITY = 86
_MOST_SOURCE_PX = 4096  # side of what is read at once to draw a part of a coarse tile


@dataclass(frozen=True, slots=True)
class Window:
    """A tile: where it lies and how large it is drawn.

    Parameters
    ----------
    x, y
        Its upper left corner, in level-0 pixels.
    scale
        Level-0 pixels that one of its pixels spans.
    width, height
        Its own size in pixels.
    """

    x: float
    y: float
    scale: float
    width: int
    height: int


def top_level(width: int, height: int) -> int:
    """Level of a deep-zoom pyramid at which one pixel of the tile is one pixel of the slide."""
    return ceil(log2(max(width, height)))


def tile_window(size: tuple[int, int], level: int, column: int, row: int) -> Window:
    """Where a tile lies on a slide of `size` (width, height).

    Raises
    ------
    InputError
        Where the slide has no such level or tile.
    """
    top = top_level(*size)
    if 0 <= level <= top:
        scale = float(2 ** (top - level))
        wide, tall = (ceil(side / scale) for side in size)
        left, upper = column * TILE_PX, row * TILE_PX
        if 0 <= left < wide and 0 <= upper < tall:
            return Window(left * scale, upper * scale, scale, min(TILE_PX, wide - left), min(TILE_PX, tall - upper))
    raise InputError(
        "the slide has no such tile",
        where="tile",
        expected=f"level 0 to {top}, and a column and row inside {size[0]:,} x {size[1]:,} pixels",
        found=f"level {level}, column {column}, row {row}",
    )


def slide_pixels(image: SlideImage, window: Window) -> RGB:
    """Pixels of a tile, averaged down from the nearest finer level: (height, width, 3) uint8."""
    from PIL import Image

    fitting = [k for k in range(image.n_levels) if image.downsample(k) <= window.scale * (1 + 1e-6)]
    level = max(fitting, key=image.downsample)
    ratio = window.scale / image.downsample(level)
    rows, columns = image.source.shapes[level]
    out = np.full((window.height, window.width, 3), 255, np.uint8)
    side = max(1, int(_MOST_SOURCE_PX / ratio))
    for top, left, height, width in _parts(window, side):
        x, y = (int((start / window.scale + offset) * ratio) for start, offset in ((window.x, left), (window.y, top)))
        wide, tall = min(ceil(width * ratio), columns - x), min(ceil(height * ratio), rows - y)
        if wide < 1 or tall < 1:  # a coarser level may end a pixel before the slide
            continue
        pixels = image.read(x, y, wide, tall, level)
        if (tall, wide) != (height, width):
            pixels = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BOX))
        out[top : top + height, left : left + width] = pixels
    return out


def _parts(window: Window, side: int) -> Iterator[tuple[int, int, int, int]]:
    for top in range(0, window.height, side):
        for left in range(0, window.width, side):
            yield top, left, min(side, window.height - top), min(side, window.width - left)


def jpeg(pixels: RGB) -> bytes:
    """Encode (h, w, 3) uint8."""
    import simplejpeg

    encoded: bytes = simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), JPEG_QUALITY, colorsubsampling="444")
    return encoded


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Encode (h, w, 3) or (h, w, 4) uint8, fast rather than small: tiles are seldom sent twice."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def error_tile(width: int = TILE_PX, height: int = TILE_PX) -> NDArray[np.uint8]:
    """Hatching in place of what cannot be read, (height, width, 4) uint8: seen at once, and like no tissue."""
    row, column = np.indices((height, width))
    stripes = np.array([[213, 94, 0, 150], [40, 40, 40, 90]], np.uint8)
    return np.asarray(stripes[(row + column) // 12 % 2])
