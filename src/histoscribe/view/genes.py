"""Counts of one gene out of the table of a result, without holding the table."""

from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.store.arrays import read_chunk

# with at most so many counts the table is turned to columns once, 8 bytes a count; a larger one is read chunk by chunk
_MOST_HELD = 40_000_000
_ROWS = 65_536


class GeneCounts:
    """Columns of a compressed sparse row matrix on disk.

    Parameters
    ----------
    group
        zarr group with `data`, `indices` and `indptr`, as AnnData writes it.
    n_spots, n_genes
        Its shape.
    """

    def __init__(self, group: Any, *, n_spots: int, n_genes: int) -> None:
        self._data, self._indices = group["data"], group["indices"]
        self._indptr = _part(group["indptr"], 0, n_spots + 1)
        self.shape = n_spots, n_genes
        self._columns: sparse.csc_matrix | None = None
        self._lock = Lock()

    def column(self, gene: int) -> NDArray[np.float32]:
        """Return the counts of the gene at a column, (n,) float32; raises ResultError where the table is damaged."""
        out = np.zeros(self.shape[0], np.float32)
        if self._data.shape[0] <= _MOST_HELD:
            held = self._held()
            found = slice(held.indptr[gene], held.indptr[gene + 1])
            out[held.indices[found]] = held.data[found]
            return out
        step = self._indices.chunks[0]
        for start in range(0, self._indices.shape[0], step):
            stop = min(start + step, self._indices.shape[0])
            places = np.flatnonzero(_part(self._indices, start, stop) == gene)
            if places.size:
                rows = np.searchsorted(self._indptr, start + places, side="right") - 1
                out[rows] = _part(self._data, start, stop)[places]
        return out

    def row(self, spot: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
        """Columns of the genes that a spot has, and their counts; raises ResultError where the table is damaged."""
        start, stop = int(self._indptr[spot]), int(self._indptr[spot + 1])
        return _part(self._indices, start, stop), _part(self._data, start, stop).astype(np.float32)

    def totals(self) -> NDArray[np.float64]:
        """Sum the counts of each spot, (n,); raises ResultError where the table is damaged."""
        out = np.zeros(self.shape[0])
        for first in range(0, self.shape[0], _ROWS):
            ends = self._indptr[first : first + _ROWS + 1]
            sums = np.append(0.0, np.cumsum(_part(self._data, int(ends[0]), int(ends[-1])), dtype=np.float64))
            out[first : first + _ROWS] = np.diff(sums[ends - ends[0]])
        return out

    def _held(self) -> sparse.csc_matrix:
        with self._lock:  # several threads may ask for the first gene at once
            if self._columns is None:
                data, indices = (_part(array, 0, array.shape[0]) for array in (self._data, self._indices))
                parts = data.astype(np.float32), indices, self._indptr
                self._columns = sparse.csr_matrix(parts, shape=self.shape).tocsc()
            return self._columns


def _part(array: Any, start: int, stop: int) -> NDArray[Any]:
    """Elements `start` to `stop` of an array of one axis, from chunks that are known to be sound."""
    step = array.chunks[0]
    if stop <= start:
        return np.empty(0, array.dtype)
    chunks = range(start // step, (stop - 1) // step + 1)
    whole = np.concatenate([read_chunk(array, (k,)) for k in chunks])
    return np.asarray(whole[start - chunks[0] * step : stop - chunks[0] * step])
