"""Neighbours of points that lie anywhere: the k nearest."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from histoscribe.errors import ConfigError
from histoscribe.graph.checks import checked_xy, sorted_by_place, symmetric


def knn_graph(xy_um: NDArray[np.floating], *, k: int, max_um: float | None = None) -> sparse.csr_matrix:
    """Join every point with its k nearest, in both directions.

    Parameters
    ----------
    xy_um
        Points, (n, 2), x before y, in microns.
    k
        Neighbours to look for; where there are fewer points, all others. A point may end with more than k, because
        others choose it.
    max_um
        Never join points further apart than this; None for no limit.

    Returns
    -------
    (n, n) float64 CSR of ones: symmetric, no self loops. The rows follow the rows of `xy_um`. n log n.

    Raises
    ------
    ConfigError
        `k` below one or `max_um` not positive.
    InputError
        Coordinates that are not finite (n, 2), or all the same.
    """
    if k < 1:
        raise ConfigError("a point needs at least one neighbour", where="k", expected="1 or more", found=k)
    if max_um is not None and not max_um > 0:
        raise ConfigError("the largest distance must be positive", where="max_um", found=max_um)
    xy = checked_xy(xy_um)
    order = sorted_by_place(xy)
    k = min(k, len(xy) - 1)
    limit = np.inf if max_um is None else np.nextafter(max_um, np.inf)  # the tree's own limit is exclusive
    distance, found = cKDTree(xy[order]).query(xy[order], k=np.arange(1, k + 2), distance_upper_bound=limit)
    # of points in one place, a point may not be its own first neighbour: drop it wherever it stands
    itself = found == np.arange(len(xy))[:, None]
    itself[~itself.any(axis=1), -1] = True
    rows, columns = np.nonzero(np.isfinite(distance) & ~itself)
    return symmetric(order[rows], order[found[rows, columns]], len(xy))
