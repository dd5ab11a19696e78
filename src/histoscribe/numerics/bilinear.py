"""Bilinear interpolation as weights, for grids of which some points are missing or lie outside."""

import numpy as np
from numpy.typing import NDArray

# (4, 1, 2) from the lower corner to all four, x before y
_STEPS = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])[:, None]


def corners_around(place: NDArray[np.float64]) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Grid points around each place and their bilinear weights.

    Parameters
    ----------
    place
        (n, 2) in steps of the grid, x before y.

    Returns
    -------
    (4, n, 2) points, whole numbers, and (4, n) weights, which add up to 1 for every place. Points may lie outside of
    the grid: what becomes of their weight is the caller's to say.
    """
    low = np.floor(place).astype(np.intp)
    return low + _STEPS, np.abs(1 - _STEPS - (place - low)).prod(axis=2)
