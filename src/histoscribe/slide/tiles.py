"""Tiles in microns: squares of tissue cut exactly round given centres, and the order in which to read them.

Frame: level-0 pixel (row i, column j) covers the area [j, j + 1) x [i, i + 1), so a centre at x = 10.0 lies on the edge
between columns 9 and 10, and x = 10.5 in the middle of column 10. A pixel of a coarser level covers as many level-0
pixels as `SlideImage.downsample` says, from the same origin.

Examples
--------
>>> from histoscribe import SlideImage, make_phantom
>>> from histoscribe.slide.tiles import read_tiles
>>> phantom = make_phantom(7, size_um=800.0, mpp=1.0)
>>> xy_px = phantom.spots().obsm["spatial"]
>>> tiles = read_tiles(SlideImage(phantom.image, mpp=phantom.mpp), xy_px, tile_um=112.0, out_px=56)
>>> xy_px.shape, tiles.shape
((52, 2), (52, 56, 56, 3))
"""

from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, InputError
from histoscribe.slide.image import RGB, SlideImage

# Box edges are rounded to this fraction of a pixel: exact in Pillow's float32, and far below 0.05 px.
_STEPS_PER_PX = 1024

# Pictures reduced more than this many times are first averaged by whole factors (Pillow's reducing_gap): twice as fast.
_REDUCING_GAP = 2.0


@dataclass(frozen=True, slots=True)
class _Side:
    """One side of a tile on one axis, in pixels of a level.

    Parameters
    ----------
    start, stop
        Whole pixels that the resampling filter needs; they may lie outside the picture.
    low, high
        The tile's exact edges, counted from `start`.
    """

    start: int
    stop: int
    low: float
    high: float


def read_tiles(
    image: SlideImage, xy_px: NDArray[np.float64], *, tile_um: float, out_px: int, block_px: int = 2048
) -> RGB:
    """Cut square tiles of tissue, resampled with antialiasing (triangle filter).

    Each tile is read from the coarsest level that is at least as fine as the tile asked for. Beyond the border the
    picture is mirrored, edge pixels included. A tile depends on its own centre only: not on the other tiles, nor on
    `block_px`.

    Parameters
    ----------
    image
        Its `mpp` says how many pixels `tile_um` are.
    xy_px
        (n, 2) centres, x before y, in level-0 pixels; any fraction of a pixel.
    tile_um
        Side of a tile in microns.
    out_px
        Side of a tile in pixels.
    block_px
        Tiles with centres in the same block of this side, in pixels of the level, share one read. Memory grows with
        its square.

    Returns
    -------
    (n, out_px, out_px, 3) uint8, in the order of `xy_px`.

    Raises
    ------
    InputError
        Where the image has no `mpp`, or a centre is not finite or lies so far outside that its tile would show mirrored
        pixels only.
    ConfigError
        Where a size is not positive.
    """
    _check_sizes(tile_um=tile_um, out_px=out_px, block_px=block_px)
    if image.mpp is None:
        raise InputError("the image has no microns per pixel", where=image.path, fix="give `mpp`")
    xy_px = np.asarray(xy_px, np.float64).reshape(-1, 2)  # (n, 2)
    side_px = tile_um / image.mpp
    _check_centres(image, xy_px, side_px)

    level = _level_for(image, side_px / out_px)
    scale = image.downsample(level)
    shape = image.source.shapes[level]
    centres, side = xy_px / scale, side_px / scale  # in pixels of the level
    tiles = np.empty((len(xy_px), out_px, out_px, 3), np.uint8)
    for members in _blocks(shape, centres, block_px):
        sides = [(_side(x, side, out_px), _side(y, side, out_px)) for x, y in centres[members]]
        x0, x1 = _touched([column for column, _ in sides], shape[1])
        y0, y1 = _touched([row for _, row in sides], shape[0])
        block = image.read(x0, y0, x1 - x0, y1 - y0, level)  # (h, w, 3)
        for member, (column, row) in zip(members, sides, strict=True):
            tiles[member] = _resample(block, column, row, (x0, y0), shape, out_px)
    return tiles


def reading_order(
    image_shape: tuple[int, int], xy_px: NDArray[np.float64], *, block_px: int = 2048
) -> NDArray[np.intp]:
    """Order in which tiles are read best: block by block, so that neighbours share reads and decoded pieces.

    Blocks run in serpentine lines, left to right and back; within a block centres run from top to bottom.

    Parameters
    ----------
    image_shape
        (height, width) of level 0.
    xy_px
        (n, 2) centres, x before y, in level-0 pixels.
    block_px
        Side of a block in level-0 pixels.

    Returns
    -------
    (n,) permutation: read `xy_px[order]`. It depends on the coordinates, not on their order, unless two are equal.
    """
    xy_px = np.asarray(xy_px, np.float64).reshape(-1, 2)
    last = (np.array(image_shape[::-1]) - 1) // block_px
    column, row = np.clip(xy_px // block_px, 0, last).astype(np.intp).T
    along = np.where(row % 2 == 0, column, last[0] - column)
    return np.lexsort((xy_px[:, 0], xy_px[:, 1], along, row))


def _check_sizes(*, tile_um: float, out_px: int, block_px: int) -> None:
    for name, size in (("tile_um", tile_um), ("out_px", out_px), ("block_px", block_px)):
        if not (np.isfinite(size) and size > 0):
            raise ConfigError("a size must be a positive number", where=name, found=size)


def _check_centres(image: SlideImage, xy_px: NDArray[np.float64], side_px: float) -> None:
    finite = np.isfinite(xy_px).all(axis=1)
    outside = (xy_px <= -side_px / 2) | (xy_px >= np.array([image.width, image.height]) + side_px / 2)
    bad = np.flatnonzero(~finite | outside.any(axis=1))
    if len(bad):
        x, y = xy_px[bad[0]]
        raise InputError(
            f"{len(bad):,} of {len(xy_px):,} tiles lie wholly outside the image, or their centres are not finite",
            where=image.path,
            expected=f"centres within {image.width:,} x {image.height:,} pixels",
            found=f"x={x:.1f}, y={y:.1f}",
            fix="check that the coordinates are in pixels of this image, x (column) before y (row)",
        )


def _level_for(image: SlideImage, px_per_out_px: float) -> int:
    """Coarsest level that still has at least one pixel per output pixel; level 0 where none has."""
    fine = [k for k in range(image.n_levels) if image.downsample(k) <= px_per_out_px * (1 + 1e-6)]
    return max(fine, key=image.downsample, default=0)


def _blocks(shape: tuple[int, int], centres: NDArray[np.float64], block_px: int) -> list[NDArray[np.intp]]:
    """Split the tiles, in reading order, into those that share a block."""
    order = reading_order(shape, centres, block_px=block_px)
    last = (np.array(shape[::-1]) - 1) // block_px
    block = np.clip(centres[order] // block_px, 0, last)
    changes = 1 + np.flatnonzero((np.diff(block, axis=0) != 0).any(axis=1))
    return np.split(order, changes) if len(order) else []


def _side(centre: float, side: float, out_px: int) -> _Side:
    low = round((centre - side / 2) * _STEPS_PER_PX) / _STEPS_PER_PX
    high = low + max(1, round(side * _STEPS_PER_PX)) / _STEPS_PER_PX
    # beyond the edge the triangle filter reaches half an output pixel, whole factors before it another half
    margin = ceil(max(1.0, side / out_px)) + 1
    start, stop = floor(low) - margin, ceil(high) + margin
    return _Side(start, stop, low - start, high - start)


def _mirrored(start: int, stop: int, length: int) -> NDArray[np.intp]:
    """Pixels of a picture of `length` that stand for start .. stop - 1 when it is mirrored at both ends."""
    index = np.arange(start, stop) % (2 * length)
    return np.minimum(index, 2 * length - 1 - index)


def _touched(sides: list[_Side], length: int) -> tuple[int, int]:
    """Smallest range of real pixels that holds all that the sides need."""
    ranges = [
        (s.start, s.stop) if s.start >= 0 and s.stop <= length else _extent(_mirrored(s.start, s.stop, length))
        for s in sides
    ]
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def _extent(index: NDArray[np.intp]) -> tuple[int, int]:
    return int(index.min()), int(index.max()) + 1


def _resample(
    block: RGB, column: _Side, row: _Side, origin: tuple[int, int], shape: tuple[int, int], out_px: int
) -> RGB:
    """Tile (out_px, out_px, 3) from a block with its upper left pixel at `origin` = (x, y)."""
    from PIL import Image

    x0, y0 = origin
    if column.start >= 0 and row.start >= 0 and column.stop <= shape[1] and row.stop <= shape[0]:
        window = block[row.start - y0 : row.stop - y0, column.start - x0 : column.stop - x0]
    else:
        rows = _mirrored(row.start, row.stop, shape[0]) - y0
        columns = _mirrored(column.start, column.stop, shape[1]) - x0
        window = block[rows[:, None], columns]
    tile = Image.fromarray(window).resize(
        (out_px, out_px),
        Image.Resampling.BILINEAR,
        box=(column.low, row.low, column.high, row.high),
        reducing_gap=_REDUCING_GAP,
    )
    return np.asarray(tile)
