"""Counts to a few expression components per spot: normalised, standardised, weighed by coherence in space, reduced.

The method's PCA is exact: the genes' covariance is added up from blocks of rows, so that no dense matrix of all spots
and genes ever exists, and the same counts give the same components on every machine with the same libraries.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.linalg import eigh

from histoscribe.domains.coherence import autocorrelation
from histoscribe.errors import InputError
from histoscribe.expression.normalise import log_per_10k

# genes found in fewer spots than this say nothing of most spots
_DETECTED = 0.05
# of more genes the covariance would cost more than the search for components
_MOST_GENES = 2000
_ROWS = 2_000
# a column that varies less than this share of its size does so by rounding alone
_CONSTANT = 1e-9


def checked_counts(counts: Any) -> sparse.csr_matrix:
    """Return counts as CSR, or say what is wrong with them.

    Raises
    ------
    InputError
        Not (n, g), no genes, negative or non-finite values.
    """
    if np.ndim(counts) != 2 or counts.shape[1] == 0:
        raise InputError(
            "the feature block 'counts' has the wrong shape",
            where="blocks",
            expected="(spots, genes), at least one gene",
            found=np.shape(counts),
        )
    matrix = sparse.csr_matrix(counts)
    if matrix.nnz and not (np.isfinite(matrix.data).all() and matrix.data.min() >= 0):
        bad = np.flatnonzero(~(np.isfinite(matrix.data) & (matrix.data >= 0)))
        row = int(np.searchsorted(matrix.indptr, bad[0], side="right")) - 1
        raise InputError(
            "the counts hold negative, missing or infinite values",
            where="blocks",
            found=f"{len(bad):,} of them, the first in row {row}",
            mend="give raw counts",
        )
    return matrix


def expression_components(
    counts: sparse.csr_matrix, *, graph: sparse.csr_matrix, n_components: int, powers: Sequence[float]
) -> tuple[list[NDArray[np.float64]], dict[str, Any]]:
    """Principal components of the genes, once for each way to weigh them.

    Every gene's ln(1 + counts per 10,000) is standardised and multiplied by its spatial autocorrelation to some power:
    with power 0 all genes count alike, with power 1 genes whose variance is noise between neighbours hardly count.

    Parameters
    ----------
    counts
        (n, g) raw counts.
    graph
        Spatial neighbours, (n, n).
    n_components
        How many; fewer where there are fewer genes or spots.
    powers
        One set of components for each.

    Returns
    -------
    Scores, (n, k) for each power, k possibly 0 where no gene varies; and what was done, fit for JSON.
    """
    found = np.asarray((counts > 0).mean(axis=0)).ravel()
    usual = found >= min(_DETECTED, float(found.max()))
    logged = log_per_10k(counts)[:, np.flatnonzero(usual)]
    mean = np.asarray(logged.mean(axis=0), np.float64).ravel()
    square = np.asarray(logged.multiply(logged).mean(axis=0), np.float64).ravel()
    spread = np.sqrt(np.maximum(square - mean**2, 0.0))
    moran = autocorrelation(logged, graph)
    varies = spread > _CONSTANT * np.maximum(mean, _CONSTANT)
    used = np.sort(np.lexsort((np.arange(len(mean)), -moran, ~varies))[:_MOST_GENES])
    used = used[varies[used]]
    record = {
        "genes": int(counts.shape[1]),
        "genes_used": len(used),
        "median_autocorrelation": round(float(np.median(moran[used])), 4) if len(used) else None,
    }
    if len(used) == 0:
        return [np.empty((counts.shape[0], 0)) for _ in powers], record
    logged, mean, unit = sparse.csr_matrix(logged[:, used]), mean[used], 1 / spread[used]
    gram = _gram(logged, mean, unit)
    coherent = np.maximum(moran[used], 0.0)
    scores = []
    for power in powers:
        # where no gene is coherent, all count alike
        weight = coherent**power if coherent.any() else np.ones(len(used))
        scores.append(_components(logged, gram, mean=mean, unit=unit, weight=weight, n_components=n_components))
    return scores, record | {"components": scores[0].shape[1]}


def _gram(logged: sparse.csr_matrix, mean: NDArray[np.float64], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inner products of the standardised genes, (g, g), added up from blocks of rows."""
    gram = np.zeros((len(mean), len(mean)))
    for first in range(0, logged.shape[0], _ROWS):
        part = (logged[first : first + _ROWS].toarray() - mean) * unit  # (rows, g)
        gram += part.T @ part
    return gram


def _components(
    logged: sparse.csr_matrix,
    gram: NDArray[np.float64],
    *,
    mean: NDArray[np.float64],
    unit: NDArray[np.float64],
    weight: NDArray[np.float64],
    n_components: int,
) -> NDArray[np.float64]:
    """Exact principal component scores of the weighed genes, (n, k), each component's largest loading positive."""
    g = len(weight)
    k = max(1, min(n_components, logged.shape[0] - 1, g))
    _, vectors = eigh(weight[:, None] * gram * weight, subset_by_index=(g - k, g - 1))
    vectors = vectors[:, ::-1]
    largest = np.abs(vectors).argmax(axis=0)
    vectors = vectors * np.where(vectors[largest, np.arange(k)] < 0, -1.0, 1.0)
    loadings = (unit * weight)[:, None] * vectors  # (g, k)
    return np.asarray(logged @ loadings - mean @ loadings)
