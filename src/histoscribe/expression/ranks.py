"""Ranks within a spot: which cell types are there more of than others, whatever the unit of the abundances."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata


def within_spot_ranks(values: NDArray[Any]) -> NDArray[np.float32]:
    """Rank the columns within each row, ties averaged, scaled to [0, 1] as (rank - 1) / (c - 1).

    Any increasing transform of the values gives the same ranks, so abundances, shares and logarithms are one target.

    Parameters
    ----------
    values
        (n, c), finite.

    Returns
    -------
    (n, c) float32; 0 the smallest, 1 the largest, 0.5 where all are equal or there is one column only.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.expression.ranks import within_spot_ranks
    >>> within_spot_ranks(np.array([[0.1, 7.0, 2.0], [5.0, 5.0, 0.0]]))
    array([[0.  , 1.  , 0.5 ],
           [0.75, 0.75, 0.  ]], dtype=float32)
    """
    values = np.asarray(values)
    n, c = values.shape
    if c < 2 or n == 0:
        return np.full((n, c), 0.5, np.float32)
    ranks: NDArray[np.float32] = ((rankdata(values, axis=1) - 1) / (c - 1)).astype(np.float32)
    return ranks
