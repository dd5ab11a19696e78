"""How far apart points lie."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree


def nearest_distance(xy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Distance of each point, (n, 2), to the one nearest to it, (n,); NaN for a single point."""
    if len(xy) < 2:
        return np.full(len(xy), np.nan)
    return np.asarray(cKDTree(xy).query(xy, k=2)[0][:, 1], np.float64)


def pitch_of(xy: NDArray[np.floating], *, alone: float = 1.0) -> float:
    """Median distance from a point to its nearest, in the unit of `xy`, (n, 2); `alone` for a single one.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.graph.spacing import pitch_of
    >>> pitch_of(np.array([[0.0, 0.0], [100.0, 0.0], [201.0, 0.0], [900.0, 0.0]]))
    100.5
    """
    return float(np.median(nearest_distance(xy))) if len(xy) > 1 else alone
