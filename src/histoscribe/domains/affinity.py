"""How alike spots are, as one sparse graph: neighbours in the tissue and neighbours in features."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

N_LIKE = 30
# share of the total weight that edges between spatial neighbours have; the rest joins spots that look alike anywhere,
# so that a domain may consist of several pieces
SPATIAL_SHARE = 0.5
# a tree of points in more columns than these is slower than comparing all with all
_TREE_COLUMNS = 15


def affinity(
    X: NDArray[np.float64], *, graph: sparse.csr_matrix, n_like: int = N_LIKE, spatial_share: float = SPATIAL_SHARE
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

    Returns
    -------
    (n, n) float64 CSR, symmetric, no self loops, weights positive with sum n.
    """
    spatial = spatial_affinity(X, graph)
    alike = _alike(X, min(n_like, len(X) - 1))
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
    n = len(X)
    distance, found = _nearest(X, k + 1)  # (n, k + 1)
    # of spots with equal features, a spot may not be its own first neighbour
    itself = found == np.arange(n)[:, None]
    itself[~itself.any(axis=1), -1] = True
    rows = np.repeat(np.arange(n), k)
    columns, distance = found[~itself], distance[~itself]
    reach = distance.reshape(n, k)[:, -1]
    weight = _kernel(distance**2, reach[rows] * reach[columns])
    directed = sparse.csr_matrix((weight, (rows, columns)), shape=(n, n))
    return directed.maximum(directed.T).tocsr()


def _nearest(X: NDArray[np.float64], k: int) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """Distances and places of the k nearest rows, (n, k) each, itself among them."""
    if X.shape[1] <= _TREE_COLUMNS:
        return cKDTree(X).query(X, k=k)  # type: ignore[no-any-return]
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=k, algorithm="brute").fit(X).kneighbors(X)
    return np.asarray(found[0], np.float64), np.asarray(found[1], np.intp)


def _kernel(squared: NDArray[np.float64], scale: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    # a tiny scale means that most spots have the same features: equal ones then weigh 1, others next to nothing;
    # the floor keeps every edge, so that no spot falls out of the graph
    tiny = np.finfo(np.float64).tiny
    return np.maximum(np.exp(-squared / np.maximum(scale, tiny)), 1e-6)
