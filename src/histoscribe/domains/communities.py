"""Communities of a graph by Leiden or Louvain, that depend on the seed alone.

scikit-network's `Leiden` draws from the C library's `rand()` while it refines, so that its result changes from call to
call whatever `random_state` says, and its loop may never end where two gains differ by less than the precision of a
float32. Here the refinement is the greedy limit of the published one (Traag, Waltman and van Eck 2019,
doi:10.1038/s41598-019-41695-z, randomness theta towards 0): within each community, spots start alone and move to
where modularity gains most, then every part that is not connected is split. The seed sets the order of the visits.
"""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from sknetwork.clustering import Leiden, Louvain

By = Literal["leiden", "louvain"]


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


def communities(graph: sparse.csr_matrix, *, resolution: float, seed: int, by: By = "leiden") -> NDArray[np.int64]:
    """Communities of a weighted undirected graph by modularity at a resolution.

    Parameters
    ----------
    graph
        (n, n), symmetric, weights positive.
    resolution
        Higher gives more communities; 1 is plain modularity.
    seed
        Sets the order in which spots are visited.
    by
        "leiden", or "louvain" (Blondel et al. 2008, doi:10.1088/1742-5468/2008/10/P10008), whose communities may fall
        into parts that are not connected.

    Returns
    -------
    (n,) int64 from 0, without gaps.
    """
    graph = sparse.csr_matrix(graph)
    graph = sparse.csr_matrix(
        (graph.data, graph.indices.astype(np.int32), graph.indptr.astype(np.int32)), shape=graph.shape
    )
    kind = _Leiden if by == "leiden" else Louvain
    method = kind(
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
