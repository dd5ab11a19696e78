"""Whether points lie on a lattice, and on which, from the distances to their nearest neighbours alone."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

# points looked at: the whole section says no more of its pitch
_SAMPLE = 5_000
# on a lattice the neighbours of the first ring lie equally far, and the second ring much farther: by lattice, how many
# there are and how far the second ring is (hex: sqrt 3, square: sqrt 2)
_RINGS: tuple[tuple[Literal["hex", "square"], int, float], ...] = (("hex", 6, 3**0.5), ("square", 4, 2**0.5))
_SLACK = 0.25  # printed arrays leave wider gaps between blocks of rows
# spots at holes and at the border lack neighbours; at least this share has them all
_WHOLE = 0.2


def detect_lattice(xy_um: NDArray[np.float64]) -> tuple[Literal["hex", "square"], float] | None:
    """Say on which lattice points lie.

    Parameters
    ----------
    xy_um
        (n, 2), in any unit.

    Returns
    -------
    The lattice and its pitch in the unit of `xy_um`; None where the points lie on neither.
    """
    if len(xy_um) < 20:
        return None
    order = np.lexsort((xy_um[:, 0], xy_um[:, 1]))
    some = xy_um[order[:: -(-len(xy_um) // _SAMPLE)]]
    distance, _ = cKDTree(xy_um).query(some, k=8)  # itself first
    if not (distance[:, 7] > 0).all():
        return None
    pitch = float(np.median(distance[:, 1]))
    for kind, ring, second in _RINGS:
        inner, outer = np.quantile(distance[:, [ring, ring + 1]], _WHOLE, axis=0) / pitch
        if abs(inner - 1) < _SLACK and abs(outer / second - 1) < _SLACK:
            return kind, pitch
    return None
