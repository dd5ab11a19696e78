"""Leiden communities that depend on the seed alone.

scikit-network's `Leiden` draws from the C library's `rand()` while it refines, so that its result changes from call to
call whatever `random_state` says, and its loop can run for ever where two gains differ by less than a float32 can
tell. Here the refinement is the greedy limit of the published one (Traag, Waltman and van Eck 2019,
doi:10.1038/s41598-019-41695-z, randomness theta towards 0): within each community, spots start alone and move to
where modularity gains most, then every part that is not connected is split. The seed sets the order of the visits.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sknetwork.clustering import Leiden


class _Leiden(Leiden):  # type: ignore[misc]
    def _optimize_refine(
        self, labels: Any, labels_refined: Any, adjacency: Any, out_weights: Any, in_weights: Any
    ) -> NDArray[np.int32]:
        inside = adjacency.tocoo()
        same = labels[inside.row] == labels[inside.col]
        inside = sparse.csr_matrix(
            (inside.data[same], (inside.row[same], inside.col[same])), shape=adjacency.shape
        )  # (n, n), no edge leaves a community
        refined, _ = self._optimize(labels_refined, inside, out_weights, in_weights)
        return _connected_parts(inside, np.asarray(refined))


def leiden(graph: sparse.csr_matrix, *, resolution: float, seed: int) -> NDArray[np.int64]:
    """Communities of a weighted undirected graph by modularity at a resolution.

    Parameters
    ----------
    graph
        (n, n), symmetric, weights positive.
    resolution
        Higher gives more communities; 1 is plain modularity.
    seed
        Sets the order in which spots are visited.

    Returns
    -------
    (n,) int64 from 0, without gaps.
    """
    graph = sparse.csr_matrix(graph)
    graph = sparse.csr_matrix(
        (graph.data, graph.indices.astype(np.int32), graph.indptr.astype(np.int32)), shape=graph.shape
    )
    method = _Leiden(
        resolution=resolution,
        modularity="newman",
        shuffle_nodes=True,
        return_probs=False,
        return_aggregate=False,
        random_state=seed,
    )
    return np.asarray(method.fit_predict(graph), np.int64)


def _connected_parts(inside: sparse.csr_matrix, labels: NDArray[np.int32]) -> NDArray[np.int32]:
    edges = inside.tocoo()
    same = labels[edges.row] == labels[edges.col]
    kept = sparse.csr_matrix((np.ones(int(same.sum())), (edges.row[same], edges.col[same])), shape=inside.shape)
    return np.asarray(connected_components(kept, directed=False)[1], np.int32)
