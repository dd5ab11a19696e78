"""Averages over neighbours."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def neighbour_mean(
    graph: sparse.csr_matrix, values: NDArray[np.float64], *, own_share: float = 0.5, rounds: int = 1
) -> NDArray[np.float64]:
    """Blend each spot with the mean of its neighbours.

    Parameters
    ----------
    graph
        Neighbours, (n, n), no self loops; entries are taken as weights.
    values
        (n, d), or (n,).
    own_share
        What a spot keeps of itself, in [0, 1].
    rounds
        How often; every round reaches one ring further.

    Returns
    -------
    Same shape as `values`. A spot without neighbours keeps its own value.
    """
    total = np.asarray(graph.sum(axis=1)).ravel()  # (n,)
    has_neighbours = total > 0
    others = sparse.diags(np.where(has_neighbours, 1 - own_share, 0.0) / np.where(has_neighbours, total, 1.0)) @ graph
    blend = others + sparse.diags(np.where(has_neighbours, own_share, 1.0))
    for _ in range(rounds):
        values = blend @ values
    return values
