"""A section in batches that fit into memory: each step of training has whole neighbourhoods, with rings around them.

Cells of neighbouring spots are drawn at random and joined to a batch (the idea of Cluster-GCN, Chiang et al. 2019).
Two rings of neighbours are added, because two graph convolutions reach that far; they take part in no loss. So a spot's
embedding does not depend on where the cells were cut.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

_CELL_SPOTS = 256
_RINGS = 2


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Part of a section.

    Parameters
    ----------
    rows
        Spots of the batch, rows of the section; those that count in the losses first.
    n_core
        How many of them count.
    source, target
        Edges among them, (e,) positions in `rows`, both directions.
    """

    rows: NDArray[np.intp]
    n_core: int
    source: NDArray[np.intp]
    target: NDArray[np.intp]


class Neighbourhoods:
    """Cuts a section into batches.

    Parameters
    ----------
    graph
        Spatial neighbours, (n, n), symmetric.
    xy_um
        Centres of the spots, (n, 2).
    batch_spots
        Spots that count in a batch; a section with fewer is one batch.
    """

    def __init__(self, graph: sparse.csr_matrix, xy_um: NDArray[np.float64], *, batch_spots: int) -> None:
        self._graph = sparse.csr_matrix(graph)
        n = len(xy_um)
        self._whole = batch_of(self._graph, np.arange(n)) if n <= batch_spots else None
        self._cells = [np.arange(n)] if self._whole else cells(xy_um, most=min(_CELL_SPOTS, batch_spots))
        self._together = max(1, batch_spots // _CELL_SPOTS)

    def epoch(self, rng: np.random.Generator | None = None) -> Iterator[Batch]:
        """Every spot once, cells in random order, or in their own where no generator is given."""
        if self._whole:
            yield self._whole
            return
        order = np.arange(len(self._cells)) if rng is None else rng.permutation(len(self._cells))
        # as equal as can be: a last batch of few spots would upset the batch normalisation
        for part in np.array_split(order, max(1, round(len(order) / self._together))):
            yield batch_of(self._graph, np.concatenate([self._cells[c] for c in part]))


def batch_of(graph: sparse.csr_matrix, core: NDArray[np.intp]) -> Batch:
    """Spots `core` of a graph with the rings around them."""
    inside = np.zeros(graph.shape[0], bool)
    inside[core] = True
    rows = newest = core
    for _ in range(_RINGS):
        around = np.unique(graph[newest].indices)
        newest = around[~inside[around]]
        inside[newest] = True
        rows = np.concatenate([rows, newest])
    edges = graph[rows][:, rows].tocoo()
    return Batch(rows, len(core), edges.col.astype(np.intp), edges.row.astype(np.intp))


def cells(xy_um: NDArray[np.float64], *, most: int) -> list[NDArray[np.intp]]:
    """Cut points (n, 2) at the median of the longer side again and again, until no cell has more than `most`."""
    waiting, done = [np.arange(len(xy_um))], []
    while waiting:
        rows = waiting.pop()
        if len(rows) <= most:
            done.append(rows)
            continue
        along = int(np.ptp(xy_um[rows], axis=0).argmax())
        order = rows[np.argsort(xy_um[rows, along], kind="stable")]
        waiting += [order[len(order) // 2 :], order[: len(order) // 2]]
    return done
