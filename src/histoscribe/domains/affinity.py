"""How alike spots are, as one sparse graph: neighbours in the tissue and neighbours in features."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

EdgeWeight = Literal["gaussian", "cosine"]

N_LIKE = 30
# share of the total weight that edges between spatial neighbours have; the rest joins spots that look alike anywhere,
# so that a domain may consist of several pieces
SPATIAL_SHARE = 0.5
# a tree of points in more columns than these is slower than comparing all with all
_TREE_COLUMNS = 15
# every edge weighs something, so that no spot falls out of the graph
_LEAST = 1e-6


def affinity(
    X: NDArray[np.float64],
    *,
    graph: sparse.csr_matrix,
    n_like: int = N_LIKE,
    spatial_share: float = SPATIAL_SHARE,
    edge_weight: EdgeWeight = "gaussian",
) -> sparse.csr_matrix:
    """Graph for clustering, in which an edge is the heavier the more alike its two spots are.

    Spatial neighbours weigh exp(-d^2 / median d^2), d being their distance in features. The `n_like` nearest spots in
    features weigh exp(-d^2 / (s_i s_j)), s being the distance to a spot's last such neighbour (the local scaling of
    Zelnik-Manor and Perona 2004), so that dense and sparse kinds of tissue hold together alike.

    Parameters
    ----------
    X
        Features, (n, d).
    graph
        Spatial neighbours, (n, n), symmetric.
    n_like
        Nearest spots in features to join each spot with.
    spatial_share
        In [0, 1].
    edge_weight
        "gaussian" as above; "cosine" for the cosine of the angle between two spots' features instead, of neighbours
        and of the nearest by angle, where negative ones weigh next to nothing.

    Returns
    -------
    (n, n) float64 CSR, symmetric, no self loops, weights positive with sum n.
    """
    n_like = min(n_like, len(X) - 1)
    if edge_weight == "cosine":
        spatial, alike = _cosines(X, graph, n_like)
    else:
        spatial, alike = spatial_affinity(X, graph), _alike(X, n_like)
    if spatial.nnz == 0:
        return sparse.csr_matrix(alike * (len(X) / alike.sum()))
    total = spatial * (spatial_share / spatial.sum()) + alike * ((1 - spatial_share) / alike.sum())
    total = sparse.csr_matrix(total * len(X))
    total.eliminate_zeros()
    total.sort_indices()
    return total


def spatial_affinity(X: NDArray[np.float64], graph: sparse.csr_matrix) -> sparse.csr_matrix:
    """Weigh the edges of a spatial graph by how alike their ends are; (n, n) CSR, symmetric, positive."""
    edges = graph.tocoo()
    squared = ((X[edges.row] - X[edges.col]) ** 2).sum(axis=1)  # (edges,)
    weight = edges.data * _kernel(squared, np.median(squared))
    return sparse.csr_matrix((weight, (edges.row, edges.col)), shape=graph.shape)


def _alike(X: NDArray[np.float64], k: int) -> sparse.csr_matrix:
    rows, columns, distance = _nearest(X, k)
    reach = distance.reshape(len(X), k)[:, -1]
    weight = _kernel(distance**2, reach[rows] * reach[columns])
    return _undirected(rows, columns, weight, len(X))


def _cosines(X: NDArray[np.float64], graph: sparse.csr_matrix, k: int) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Cosines between the features of spatial neighbours, and of the k spots nearest by angle; (n, n) CSR each."""
    length = np.linalg.norm(X, axis=1, keepdims=True)
    unit = X / np.where(length > 0, length, 1.0)
    edges = graph.tocoo()
    weight = edges.data * np.maximum((unit[edges.row] * unit[edges.col]).sum(axis=1), _LEAST)
    spatial = sparse.csr_matrix((weight, (edges.row, edges.col)), shape=graph.shape)
    rows, columns, distance = _nearest(unit, k)
    return spatial, _undirected(rows, columns, np.maximum(1 - distance**2 / 2, _LEAST), len(X))


def _undirected(
    rows: NDArray[np.intp], columns: NDArray[np.intp], weight: NDArray[np.float64], n: int
) -> sparse.csr_matrix:
    directed = sparse.csr_matrix((weight, (rows, columns)), shape=(n, n))
    return directed.maximum(directed.T).tocsr()


def _nearest(X: NDArray[np.float64], k: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Join each row with the k others nearest to it: rows, the others, and distances, (n k,) each."""
    n = len(X)
    if X.shape[1] <= _TREE_COLUMNS:
        distance, found = cKDTree(X).query(X, k=k + 1)
    else:
        from sklearn.neighbors import NearestNeighbors

        distance, found = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(X).kneighbors(X)
    # of spots with equal features, a spot may not be its own first neighbour
    itself = found == np.arange(n)[:, None]
    itself[~itself.any(axis=1), -1] = True
    return np.repeat(np.arange(n), k), np.asarray(found[~itself], np.intp), np.asarray(distance[~itself], np.float64)


def _kernel(squared: NDArray[np.float64], scale: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    # a tiny scale means that most spots have the same features: equal ones then weigh 1, others next to nothing;
    tiny = np.finfo(np.float64).tiny
    return np.maximum(np.exp(-squared / np.maximum(scale, tiny)), _LEAST)
