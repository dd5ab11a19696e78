"""Neighbours on the regular grid of an assay: six on a hexagonal lattice, four or eight on a square one."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from histoscribe.errors import ConfigError, InputError
from histoscribe.graph.checks import checked_xy, sorted_by_place, symmetric
from histoscribe.graph.spacing import pitch_of

# by lattice: how many directions, and how far the neighbours in even and in odd directions lie, in pitches
_DIRECTIONS = {("hex", False): (6, 1.0, 1.0), ("square", False): (4, 1.0, 1.0), ("square", True): (8, 1.0, 2**0.5)}
# printed arrays leave wider gaps between blocks of rows or columns, up to a third of a pitch; the next spot in the
# same direction is two pitches away, so a distance of up to one and a half is a neighbour
_REACH = 1.5
_NEAREST = 0.5
# a spot belongs to a direction if it lies this close to it, in shares of the half angle between two directions
_SLACK = 0.75
_CANDIDATES = 16


def lattice_graph(
    xy_um: NDArray[np.floating], *, kind: Literal["hex", "square"], pitch_um: float, diagonal: bool = False
) -> sparse.csr_matrix:
    """Join every spot with the neighbours that its lattice gives it.

    The lattice's rotation is measured first. In each of its directions a spot is joined with the nearest other that
    lies half to one and a half pitches away, so that missing spots leave holes instead of far neighbours, and neither
    warps nor the wider gaps of printed arrays change anything.

    Parameters
    ----------
    xy_um
        Centres of the spots, (n, 2), x before y, in microns.
    kind
        "hex" (six neighbours) or "square" (four).
    pitch_um
        Distance between neighbouring centres, in microns.
    diagonal
        On a square lattice, also join the four diagonal neighbours.

    Returns
    -------
    (n, n) float64 CSR of ones: symmetric, no self loops. The rows follow the rows of `xy_um`. n log n.

    Raises
    ------
    ConfigError
        An unknown kind, diagonals on a hexagonal lattice, or a pitch that is not positive.
    InputError
        Coordinates that are not finite (n, 2), all the same, or none of which lie a pitch apart.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.graph.lattice import lattice_graph
    >>> xy_um = np.array([[0.0, 0.0], [100.0, 0.0], [200.0, 0.0], [50.0, 86.6], [150.0, 86.6]])
    >>> graph = lattice_graph(xy_um, kind="hex", pitch_um=100.0)
    >>> graph[1].indices.tolist()  # the neighbours of the spot in the middle
    [0, 2, 3, 4]
    """
    if (kind, diagonal) not in _DIRECTIONS:
        raise ConfigError(
            "there is no such lattice", expected="hex, square, or square with diagonals", found=f"{kind}, {diagonal=}"
        )
    if not (np.isfinite(pitch_um) and pitch_um > 0):
        raise ConfigError("the pitch must be positive", where="pitch_um", found=pitch_um)
    xy = checked_xy(xy_um)
    order = sorted_by_place(xy)
    i, j = _joined(xy[order] / pitch_um, *_DIRECTIONS[kind, diagonal])
    if len(xy) > 1 and len(i) == 0:
        raise InputError(
            "no two spots lie a pitch apart",
            where="xy_um",
            expected=f"neighbours {pitch_um:g} um apart",
            found=f"nearest spots {pitch_of(xy):g} um apart",
            fix="check the microns per pixel and the assay's pitch",
        )
    return symmetric(order[i], order[j], len(xy))


def _joined(
    xy: NDArray[np.float64], n_directions: int, even: float, odd: float
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs (i, j) such that j is the nearest to i in one of the lattice's directions; `xy` in pitches."""
    # a fixed number of candidates: n log n even where many points lie on a heap
    distance, found = cKDTree(xy).query(xy, k=_CANDIDATES + 1, distance_upper_bound=_REACH * max(even, odd))
    i, rank = np.nonzero(np.isfinite(distance) & (distance > _NEAREST))
    j, distance = found[i, rank], distance[i, rank]  # (pairs,)
    step = xy[j] - xy[i]
    angle = np.arctan2(step[:, 1], step[:, 0])

    # the rotation repeats itself after one direction of the lattice; diagonals do not count for it
    fold = n_directions if even == odd else n_directions // 2
    straight = distance < 1.25 * even
    turn = np.angle(np.exp(1j * fold * angle[straight]).sum()) / fold
    position = (angle - turn) * n_directions / (2 * np.pi)
    direction = np.rint(position).astype(np.int64) % n_directions
    reach = np.where(direction % 2 == 0, even, odd) * _REACH
    fits = (np.abs(position - np.rint(position)) < _SLACK / 2) & (distance < reach)
    i, j, distance, direction = i[fits], j[fits], distance[fits], direction[fits]

    nearest_first = np.lexsort((j, distance, direction, i))
    i, j, direction = i[nearest_first], j[nearest_first], direction[nearest_first]
    first = np.ones(len(i), bool)
    first[1:] = (np.diff(i) != 0) | (np.diff(direction) != 0)
    return i[first], j[first]
