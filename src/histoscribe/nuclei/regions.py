"""Measures of regions of a picture: likeness to one nucleus, depth inside a mask, and pits."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Float = NDArray[np.float64]
Picture = NDArray[np.float32]
Bool = NDArray[np.bool_]

# areas of nuclei: from 3 um2 (no nucleus) the likeness rises to 12 um2 and falls from 120 um2 to nothing at 240 um2
_NONE_UM2, _SMALL_UM2, _LARGE_UM2 = 3.0, 12.0, 120.0
_SHARPNESS = 8  # power of the filled share: of two touching discs, which fill 0.87, a third is left


def likeness(name: NDArray[np.int32], place: NDArray[np.intp], *, edge: Bool, slope: Picture, mpp: float) -> Float:
    """How much like one nucleus each region is, 0 to 1.

    The product of three: the share of the ellipse of its own second moments that the region fills (to the eighth
    power), whether its area is a nucleus', and how steep the picture is along its border.

    Parameters
    ----------
    name
        (m,) region of each pixel that lies in one, 1 to n.
    place
        (m,) where that pixel is in the flattened picture.
    edge
        (h, w), True on the pixels along borders.
    slope
        (h, w), how steep the picture is, 1 for what is as steep as a nucleus' border can be.
    mpp
        Microns per pixel.

    Returns
    -------
    (n + 1,) float64, 0 for the background.
    """
    count = int(name.max(initial=0)) + 1
    area = np.bincount(name, minlength=count).astype(np.float64)
    um2 = area * mpp**2
    fit = (um2 > _NONE_UM2) & (um2 < 2 * _LARGE_UM2)
    fit[0] = False
    kept = fit[name]  # what is a slab or a speck needs no shape
    name, place = name[kept], place[kept]
    row = place // edge.shape[1]
    y, x = row.astype(np.float64), (place - row * edge.shape[1]).astype(np.float64)
    some = np.maximum(area, 1)
    x -= (np.bincount(name, x, count) / some)[name]
    y -= (np.bincount(name, y, count) / some)[name]
    xx, yy = (np.bincount(name, d * d, count) / some + 1 / 12 for d in (x, y))
    xy = np.bincount(name, x * y, count) / some
    # an ellipse's area is 4 pi times the root of the determinant of its second moments
    filled = area / (4 * np.pi * np.sqrt(np.maximum(xx * yy - xy**2, 1e-9)))
    rise = np.clip((um2 - _NONE_UM2) / (_SMALL_UM2 - _NONE_UM2), 0, 1)
    fall = np.clip(2 - um2 / _LARGE_UM2, 0, 1)
    border = edge.ravel()[place]
    along = np.bincount(name[border], slope.ravel()[place[border]], count)
    steep = along / np.maximum(np.bincount(name[border], minlength=count), 1)
    found: Float = fit * np.clip(filled, 0, 1) ** _SHARPNESS * rise * fall * np.clip(steep, 0, 1)
    return found


def edges(regions: NDArray[np.int32] | Bool) -> Bool:
    """Pixels of which a neighbour above, below, left or right is of another region, (h, w)."""
    edge = np.zeros(regions.shape, bool)
    for inner, outer in ((edge, regions), (edge.T, regions.T)):
        other = outer[1:] != outer[:-1]
        inner[1:] |= other
        inner[:-1] |= other
    return edge


def slope_of(picture: Picture, *, steepest: float, mpp: float) -> Picture:
    """How steep the picture is within half a micron, (h, w): the gradient's length in units of `steepest` (per micron).

    The steepest place nearby counts, since a region cut a little inside a nucleus has that nucleus' border.
    """
    across, down = np.zeros_like(picture), np.zeros_like(picture)
    across[:, 1:-1] = picture[:, 2:] - picture[:, :-2]
    down[1:-1] = picture[2:] - picture[:-2]
    slope: Picture = np.hypot(across, down)
    slope *= np.float32(0.5 / (mpp * steepest))
    reach = max(1, round(0.5 / mpp))
    return _highest(slope, reach)


def _highest(picture: Picture, reach: int) -> Picture:
    """Highest value of a square of 2 `reach` + 1 pixels, as `scipy.ndimage.maximum_filter` finds it, but quicker."""
    for turned in (False, True):
        highest = picture.copy()
        to, of = (highest.T, picture.T) if turned else (highest, picture)
        for step in range(1, min(reach, len(of) - 1) + 1):
            np.maximum(to[step:], of[:-step], out=to[step:])
            np.maximum(to[:-step], of[step:], out=to[:-step])
        picture = highest
    return picture


def depth_px(mask: Bool, most: int) -> NDArray[np.uint8]:
    """How many pixels deep in the mask each pixel lies, at most `most`: erosions by a cross and a square in turn.

    This is an octagon's distance, within a tenth of Euclid's; the picture's border is no border of the mask.
    """
    depth = mask.astype(np.uint8)
    for turn in range(1, most):
        inner = mask.copy()
        if turn % 2:
            _shrink(inner, mask)
            _shrink(inner.T, mask.T)
        else:
            _shrink(inner, mask)
            rows = inner.copy()
            _shrink(inner.T, rows.T)
        mask = inner
        depth += mask
    return depth


def without_pits(picture: Picture, levels: Sequence[float], *, largest_px: float) -> Picture:
    """Raise pits to the level that surrounds them: at each level, what is lower and enclosed and small.

    What touches the picture's border is not known to be enclosed and stays.
    """
    raised = picture.copy()
    for level in levels:
        names, _ = ndimage.label(raised <= level)
        small = np.bincount(names.ravel()) < largest_px
        for side in (names[0], names[-1], names[:, 0], names[:, -1]):
            small[side] = False
        small[0] = False
        raised[small[names]] = np.nextafter(np.float32(level), np.float32(np.inf))
    return raised


def _shrink(inner: Bool, mask: Bool) -> None:
    """Take from `inner` what lies beside a gap of `mask`, above or below."""
    inner[1:] &= mask[:-1]
    inner[:-1] &= mask[1:]
