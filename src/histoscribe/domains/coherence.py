"""What varies from region to region, apart from what varies from spot to spot.

The largest variance of an image embedding is often local: which nuclei, fibres or gaps a single tile happened to
catch. Principal components keep it. The components here are those with the most variance between regions for each
unit of variance between neighbours, so that two spots are far apart only where their surroundings differ too.
They are the minimum/maximum autocorrelation factors of Switzer and Green (1984, Stanford technical report 6), which
need no labels: neighbours' differences stand for the noise.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import eigh

from histoscribe.numerics.signs import with_fixed_signs

N_COHERENT = 10
# keeps directions from taking over in which neighbours happen to differ hardly at all
_RIDGE = 1e-2


def coherent_components(
    scores: NDArray[np.float64], *, graph: sparse.csr_matrix, n_components: int = N_COHERENT
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Components with the largest ratio of total variance to variance between neighbours.

    Solves C v = r (N + ridge) v with C the covariance of the spots and N half the covariance of the differences along
    the edges of the graph.

    Parameters
    ----------
    scores
        (n, d) centred features of full rank, such as principal components.
    graph
        Spatial neighbours, (n, n).
    n_components
        How many to keep.

    Returns
    -------
    (n, k) components, the most coherent first, each with variance 1 between neighbours and its entry of largest size
    in v positive; and their spatial autocorrelation 1 - 1/r, (k,).
    """
    edges = sparse.triu(graph, k=1).tocoo()
    steps = scores[edges.row] - scores[edges.col]  # (edges, d)
    noise = steps.T @ steps / (2 * len(steps))  # (d, d)
    noise += np.eye(len(noise)) * max(_RIDGE * np.trace(noise) / len(noise), np.finfo(np.float64).tiny)
    ratios, vectors = eigh(scores.T @ scores / len(scores), noise)
    ratios, vectors = ratios[::-1][:n_components], vectors[:, ::-1][:, :n_components]
    return scores @ with_fixed_signs(vectors), 1 - 1 / np.maximum(ratios, np.finfo(np.float64).tiny)
