"""What every graph asks of coordinates, in one place, and the order in which points are handled.

Neighbours at equal distances are chosen in the order in which a tree meets them. Points are therefore sorted by their
coordinates first, so that a graph depends on where the points are and never on the order of the rows.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError


def checked_xy(xy_um: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return coordinates as float64 (n, 2), or say what is wrong with them.

    Raises
    ------
    InputError
        Not (n, 2), no points, not finite, or all points in one place.
    """
    xy = np.asarray(xy_um, np.float64)
    if xy.ndim != 2 or xy.shape[1] != 2 or len(xy) == 0:
        raise InputError("coordinates do not have the right shape", where="xy_um", expected="(n, 2)", found=xy.shape)
    bad = ~np.isfinite(xy).all(axis=1)
    if bad.any():
        raise InputError(
            f"{bad.sum():,} of {len(xy):,} spots have no finite coordinates",
            where="xy_um",
            fix="leave these spots out, or give their coordinates",
        )
    if len(xy) > 1 and not np.ptp(xy, axis=0).any():
        raise InputError(
            f"all {len(xy):,} spots have the same coordinates",
            where="xy_um",
            found=f"x = {xy[0, 0]:g}, y = {xy[0, 1]:g} um",
            fix="check which columns of the positions file hold the coordinates",
        )
    return xy


def sorted_by_place(xy_um: NDArray[np.float64]) -> NDArray[np.intp]:
    """Row numbers that bring points (n, 2) into the order of y, then x."""
    return np.lexsort((xy_um[:, 0], xy_um[:, 1]))


def symmetric(i: NDArray[np.intp], j: NDArray[np.intp], n: int) -> sparse.csr_matrix:
    """Undirected graph of ones with an edge for every pair (i, j), in either direction or both; (n, n) float64."""
    keep = i != j
    i, j = i[keep], j[keep]
    ones = np.ones(2 * len(i))
    graph = sparse.csr_matrix((ones, (np.concatenate([i, j]), np.concatenate([j, i]))), shape=(n, n))
    graph.sum_duplicates()
    graph.data[:] = 1.0
    graph.sort_indices()
    return graph
