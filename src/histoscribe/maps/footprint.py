"""What a spot measures: the mean over its footprint, as one sparse operator on the cells of a grid.

A footprint is a true disc, or a square for Visium HD. A cell is weighted by the area of it that the footprint covers,
in closed form, so that the operator is exact whether a footprint holds hundreds of cells or lies within one.
"""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import ConfigError, InputError, listing
from histoscribe.maps.grid import Grid

Float = NDArray[np.float64]
Shape = Literal["disc", "square"]


def footprint_operator(
    xy_px: NDArray[np.floating], grid: Grid, *, diameter_um: float, shape: Shape = "disc"
) -> sparse.csr_matrix:
    """Averaging over footprints: row s of the product with values of cells is the mean under spot s.

    Parameters
    ----------
    xy_px
        (n, 2) centres, x before y, in level-0 pixels.
    diameter_um
        Diameter of a disc, or side of a square, in microns.
    shape
        "disc" or "square".

    Returns
    -------
    (n, grid.size) float64 CSR; every row sums to 1. The part of a footprint beyond the grid is excluded from the mean.

    Raises
    ------
    InputError
        Where a centre is not finite or lies off the picture.
    ConfigError
        Where the diameter is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.maps.footprint import footprint_operator
    >>> from histoscribe.maps.grid import Grid
    >>> grid = Grid(rows=3, columns=3, um=20.0, mpp=1.0)
    >>> under = footprint_operator(np.array([[30.0, 30.0]]), grid, diameter_um=40.0)
    >>> under.toarray().reshape(3, 3).round(2)  # the weight of each cell in the mean under the spot
    array([[0.03, 0.15, 0.03],
           [0.15, 0.32, 0.15],
           [0.03, 0.15, 0.03]])
    """
    area = footprint_areas(xy_px, grid, diameter_um=diameter_um, shape=shape)
    total = np.asarray(area.sum(axis=1)).ravel()
    return sparse.csr_matrix(sparse.diags(1 / total) @ area)


def footprint_areas(
    xy_px: NDArray[np.floating], grid: Grid, *, diameter_um: float, shape: Shape = "disc"
) -> sparse.csr_matrix:
    """Share of each cell that each footprint covers: (n, grid.size) float64 CSR; see `footprint_operator`."""
    if not (np.isfinite(diameter_um) and diameter_um > 0):
        raise ConfigError("a footprint must be of positive size", where="diameter_um", found=diameter_um)
    if shape not in ("disc", "square"):
        raise ConfigError("unknown shape of footprints", where="shape", expected="disc or square", found=shape)
    centre = _checked(xy_px, grid) / grid.cell_px  # (n, 2) in cells
    radius = diameter_um / grid.um / 2
    reach = int(np.ceil(radius)) + 1
    offsets = np.arange(-reach, reach + 1)
    first = np.floor(centre).astype(np.intp)  # (n, 2)
    rows, cells, shares = [], [], []
    step = max(1, 2_000_000 // len(offsets) ** 2)
    for start in range(0, len(centre), step):
        part = slice(start, start + step)
        column = first[part, 0, None, None] + offsets[None, None, :]  # (b, 1, k)
        row = first[part, 1, None, None] + offsets[None, :, None]  # (b, k, 1)
        left = column - centre[part, 0, None, None]
        top = row - centre[part, 1, None, None]
        share = _overlap(left, top, radius, shape)  # (b, k, k)
        inside = (column >= 0) & (column < grid.columns) & (row >= 0) & (row < grid.rows) & (share > 1e-12)
        spot, i, j = np.nonzero(inside)
        rows.append(spot + start)
        cells.append(row[spot, i, 0] * grid.columns + column[spot, 0, j])
        shares.append(share[spot, i, j])
    return sparse.csr_matrix(
        (np.concatenate(shares), (np.concatenate(rows), np.concatenate(cells))), shape=(len(centre), grid.size)
    )


def _checked(xy_px: NDArray[np.floating], grid: Grid) -> Float:
    xy = np.asarray(xy_px, np.float64).reshape(-1, 2)
    if len(xy) == 0:
        raise InputError("there are no spots", where="xy_px", expected="(n, 2) centres in level-0 pixels")
    width, height = grid.columns * grid.cell_px, grid.rows * grid.cell_px
    off = ~np.isfinite(xy).all(axis=1) | (xy < 0).any(axis=1) | (xy > (width, height)).any(axis=1)
    if off.any():
        some = [f"spot {k}: x={xy[k, 0]:.1f}, y={xy[k, 1]:.1f}" for k in np.flatnonzero(off)[:3]]
        raise InputError(
            f"{off.sum():,} of {len(xy):,} spots lie off the picture",
            where="xy_px",
            expected=f"centres within {width:,.0f} x {height:,.0f} pixels",
            found=listing(some, 3),
            fix="check that the coordinates are pixels of this picture, x (column) before y (row), and their scale",
        )
    return xy


def _overlap(left: Float, top: Float, radius: float, shape: Shape) -> Float:
    """Area of unit cells with upper left corners (left, top), about a footprint's centre, that the footprint covers."""
    if shape == "square":
        across = np.clip(np.minimum(left + 1, radius) - np.maximum(left, -radius), 0, None)
        down = np.clip(np.minimum(top + 1, radius) - np.maximum(top, -radius), 0, None)
        return np.asarray(across * down)
    left, top = left / radius, top / radius
    side = 1 / radius
    corners = _disc_below(left + side, top + side) - _disc_below(left, top + side)
    corners += _disc_below(left, top) - _disc_below(left + side, top)
    return np.asarray(np.clip(corners * radius**2, 0, 1))


def _disc_below(x: Float, y: Float) -> Float:
    """Area of the unit disc's part to the left of x and above y (coordinates smaller than both), broadcast."""
    x, y = np.broadcast_arrays(np.clip(x, -1, 1), np.clip(y, -1, 1))
    # the part left of x under the chord of height y: the strip |u| <= sqrt(1 - y^2) is cut at y, the rest is whole
    edge = np.sqrt(1 - y * y)
    low, high = -edge, np.minimum(x, edge)
    cut = np.where(high > low, y * (high - low) + _arc(high) - _arc(low), 0.0)
    # beyond the edge of the strip: nothing where y is negative, the whole height of the disc where it is positive
    ends = np.where(
        y > 0,
        2 * (_arc(np.minimum(x, -edge)) - _arc(-1.0) + np.maximum(_arc(x) - _arc(edge), 0) * (x > edge)),
        0.0,
    )
    return np.asarray(cut + ends)


def _arc(u: Float | float) -> Float:
    """Integral of sqrt(1 - u^2) from 0."""
    u = np.clip(np.asarray(u, np.float64), -1, 1)
    return np.asarray((u * np.sqrt(1 - u * u) + np.arcsin(u)) / 2)
