"""Neighbours on the regular grid of an assay: six on a hexagonal lattice, four or eight on a square one."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from histoscribe.errors import ConfigError, InputError
from histoscribe.graph.checks import checked_xy, sorted_by_place, symmetric

# (neighbours, their distance, that of the next ring), distances in pitches
_RINGS = {("hex", False): (6, 1.0, 3**0.5), ("square", False): (4, 1.0, 2**0.5), ("square", True): (8, 2**0.5, 2.0)}


def lattice_graph(
    xy_um: NDArray[np.floating], *, kind: Literal["hex", "square"], pitch_um: float, diagonal: bool = False
) -> sparse.csr_matrix:
    """Join every spot with the neighbours that its lattice gives it.

    Spots are neighbours where their distance is below the geometric mean of the last wanted ring and the next one, so
    that missing spots leave holes instead of far neighbours, and a warp of about a sixth of the pitch changes nothing.

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
    """
    if (kind, diagonal) not in _RINGS:
        raise ConfigError(
            "there is no such lattice", expected="hex, square, or square with diagonals", found=f"{kind}, {diagonal=}"
        )
    if not (np.isfinite(pitch_um) and pitch_um > 0):
        raise ConfigError("the pitch must be positive", where="pitch_um", found=pitch_um)
    xy = checked_xy(xy_um)
    neighbours, last, following = _RINGS[kind, diagonal]
    order = sorted_by_place(xy)
    tree = cKDTree(xy[order])
    # one query of a fixed number of neighbours: n log n even where many points lie on a heap
    distance, found = tree.query(xy[order], k=neighbours + 1, distance_upper_bound=pitch_um * (last * following) ** 0.5)
    rows, columns = np.nonzero(np.isfinite(distance))
    graph = symmetric(order[rows], order[found[rows, columns]], len(xy))
    if len(xy) > 1 and graph.nnz == 0:
        typical = float(np.median(tree.query(xy[order], k=2)[0][:, 1]))
        raise InputError(
            "no two spots lie a pitch apart",
            where="xy_um",
            expected=f"neighbours {pitch_um:g} um apart",
            found=f"nearest spots {typical:g} um apart",
            mend="check the microns per pixel and the assay's pitch",
        )
    return graph
