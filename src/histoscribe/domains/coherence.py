"""What varies from region to region, apart from what varies from spot to spot.

The largest variance of an image embedding is often local: which nuclei, fibres or gaps a single tile happened to
catch. Principal components keep it. The components here are those with the most variance between regions for each
unit of variance between neighbours, so that two spots are far apart only where their surroundings differ too.
They are the minimum/maximum autocorrelation factors of Switzer and Green (1984, Stanford technical report 6), which
need no labels: neighbours' differences stand for the noise.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import eigh

N_COHERENT = 10
# keeps directions in which neighbours hardly differ by chance from taking over
_RIDGE = 1e-2
# columns handled at a time when sparse values are averaged over neighbours, so that memory stays small
_CHUNK = 500


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
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)
    return scores @ vectors, 1 - 1 / np.maximum(ratios, np.finfo(np.float64).tiny)


def autocorrelation(values: Any, graph: sparse.csr_matrix) -> NDArray[np.float64]:
    """Moran's I of every column over the edges of a graph, with each spot's neighbours averaged.

    Parameters
    ----------
    values
        (n, g), sparse.
    graph
        Spatial neighbours, (n, n); spots without any are left out.

    Returns
    -------
    (g,), about 0 for noise and 1 for what changes slowly; 0 for a column that does not vary.
    """
    degree = np.asarray(graph.sum(axis=1)).ravel()
    joined = degree > 0
    mean_of = sparse.diags(np.divide(1.0, degree, out=np.zeros(len(degree)), where=joined)) @ graph
    columns = sparse.csc_matrix(values, dtype=np.float64)
    n = max(int(joined.sum()), 1)
    found = np.zeros(columns.shape[1])
    weight = np.asarray(mean_of.sum(axis=0)).ravel()  # how often a spot is somebody's neighbour
    for first in range(0, columns.shape[1], _CHUNK):
        part = sparse.csr_matrix(columns[:, first : first + _CHUNK])
        centre = np.asarray(part[joined].mean(axis=0)).ravel()
        square = np.asarray(part[joined].multiply(part[joined]).sum(axis=0)).ravel() / n - centre**2
        product = np.asarray(part.multiply(mean_of @ part).sum(axis=0)).ravel() / n
        # sum over i of (x_i - c) (mean of neighbours - c), expanded so that nothing becomes dense
        cross = np.asarray(weight @ part).ravel() / n + np.asarray(part[joined].sum(axis=0)).ravel() / n
        lagged = product - centre * cross + centre**2
        found[first : first + _CHUNK] = np.divide(lagged, square, out=np.zeros(len(square)), where=square > 1e-12)
    return found
