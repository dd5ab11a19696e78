"""Single spots that differ from all around them are given the label of the majority around them."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import ConfigError


def refine(
    labels: NDArray[np.integer],
    *,
    graph: sparse.csr_matrix,
    xy_um: NDArray[np.float64],
    max_um: float,
    firm: NDArray[np.bool_] | None = None,
    rounds: int = 1,
) -> NDArray[np.int64]:
    """Replace a spot's label by one that more than half of it and its near neighbours have.

    All spots of a round change at once, so the order of the rows does not matter. A domain is never emptied: where
    all its spots would change, all keep it.

    Parameters
    ----------
    labels
        (n,), any integers.
    graph
        Spatial neighbours, (n, n), symmetric.
    xy_um
        Centres of the spots, (n, 2).
    max_um
        Neighbours further apart than this do not count: a label never crosses a wider gap.
    firm
        Spots that keep their label, (n,).
    rounds
        How often; each round reaches one neighbour further.

    Returns
    -------
    (n,) int64, the same set of labels.

    Raises
    ------
    ConfigError
        `max_um` is not positive.
    """
    if not max_um > 0:
        raise ConfigError("the largest distance must be positive", where="max_um", found=max_um)
    near = edges_up_to(graph, xy_um, max_um) + sparse.identity(len(labels), format="csr")
    voters = np.asarray(near.sum(axis=1)).ravel()  # (n,)
    loose = np.ones(len(labels), bool) if firm is None else ~firm
    names, current = np.unique(labels, return_inverse=True)
    for _ in range(rounds):
        member = sparse.csr_matrix(
            (np.ones(len(current)), (np.arange(len(current)), current)), shape=(len(current), len(names))
        )
        votes = sparse.csr_matrix(near @ member)  # (n, K)
        top = np.asarray(votes.argmax(axis=1)).ravel()
        most = votes.max(axis=1).toarray().ravel()
        changed = np.where(loose & (2 * most > voters), top, current)
        while len(lost := np.setdiff1d(np.arange(len(names)), changed)):
            changed = np.where(np.isin(current, lost), current, changed)
        current = changed
    return np.asarray(names[current], np.int64)


def edges_up_to(graph: sparse.csr_matrix, xy_um: NDArray[np.float64], max_um: float) -> sparse.csr_matrix:
    """Edges of a graph no longer than `max_um`, as ones; (n, n) CSR."""
    edges = graph.tocoo()
    near = edge_lengths(graph, xy_um) <= max_um
    return sparse.csr_matrix((np.ones(int(near.sum())), (edges.row[near], edges.col[near])), shape=graph.shape)


def edge_lengths(graph: sparse.csr_matrix, xy_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """Length of every stored edge in microns, in the order of `graph.tocoo()`."""
    edges = graph.tocoo()
    return np.asarray(np.linalg.norm(xy_um[edges.row] - xy_um[edges.col], axis=1))
