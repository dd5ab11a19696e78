"""Counts brought to one scale: library sizes, and ln(1 + counts per 10,000)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


def library_size(counts: Any) -> NDArray[np.float64]:
    """Molecules counted on each spot, (n,), of `counts` (n, g), sparse or dense."""
    return np.asarray(counts.sum(axis=1), np.float64).ravel()


def log_per_10k(counts: Any, *, library: NDArray[np.float64] | None = None) -> sparse.csr_matrix:
    """ln(1 + counts per 10,000 molecules of the whole library).

    Parameters
    ----------
    counts
        (n, g) raw counts, sparse or dense.
    library
        (n,) molecules per spot over all its genes; needed where `counts` holds some of the genes only, else the row
        sums. A spot with an empty library stays all zero.

    Returns
    -------
    (n, g) float32 CSR.
    """
    size = library_size(counts) if library is None else np.asarray(library, np.float64)
    per_spot = np.divide(1e4, size, out=np.zeros(len(size)), where=size > 0)
    scaled = sparse.csr_matrix(sparse.diags(per_spot) @ sparse.csr_matrix(counts, dtype=np.float64), dtype=np.float32)
    scaled.data = np.log1p(scaled.data)
    return scaled
