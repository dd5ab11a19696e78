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

from histoscribe.errors import InputError
from histoscribe.expression.normalise import log_per_10k
from histoscribe.graph.moran import morans_i
from histoscribe.numerics.signs import with_fixed_signs

# genes found in fewer spots than this say nothing about most spots
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
            fix="give raw counts",
        )
    return matrix


def usable_genes(counts: sparse.csr_matrix, *, graph: sparse.csr_matrix) -> tuple[NDArray[np.intp], dict[str, Any]]:
    """Choose genes that are found in enough spots; of many, those that change most slowly over the tissue.

    Parameters
    ----------
    counts
        (n, g) raw counts.
    graph
        Spatial neighbours, (n, n).

    Returns
    -------
    Their columns, sorted, possibly none; and what was done, fit for JSON.
    """
    found = np.asarray((counts > 0).mean(axis=0)).ravel()
    usual = np.flatnonzero(found >= min(_DETECTED, float(found.max())))
    logged = log_per_10k(counts)[:, usual]
    moran = morans_i(logged, graph, row_standardised=True)
    varies = _moments(logged)[1] > 0
    best = np.sort(np.lexsort((np.arange(len(usual)), -moran, ~varies))[:_MOST_GENES])
    best = best[varies[best]]
    record = {
        "genes": int(counts.shape[1]),
        "genes_used": len(best),
        "median_autocorrelation": round(float(np.median(moran[best])), 4) if len(best) else None,
    }
    return usual[best], record


def expression_components(
    counts: sparse.csr_matrix,
    *,
    library: NDArray[np.float64],
    graph: sparse.csr_matrix,
    n_components: int,
    powers: Sequence[float],
) -> list[NDArray[np.float64]]:
    """Principal components of the genes, once for each way to weigh them.

    Every gene's ln(1 + counts per 10,000) is standardised and multiplied by its spatial autocorrelation to some power:
    with power 0 all genes count alike; with power 1 genes that vary mostly between neighbours hardly count.

    Parameters
    ----------
    counts
        (n, g) raw counts of the genes to use.
    library
        (n,) molecules per spot over all genes.
    graph
        Spatial neighbours, (n, n).
    n_components
        How many; fewer where there are fewer genes or spots.
    powers
        One set of components for each.

    Returns
    -------
    Scores, (n, k) for each power, k possibly 0 where no gene varies.
    """
    logged = log_per_10k(counts, library=library)
    mean, spread = _moments(logged)
    varies = np.flatnonzero(spread > 0)
    if len(varies) == 0:
        return [np.empty((counts.shape[0], 0)) for _ in powers]
    logged, mean, unit = sparse.csr_matrix(logged[:, varies]), mean[varies], 1 / spread[varies]
    gram = _gram(logged, mean, unit) if logged.shape[0] >= len(mean) else None
    coherent = np.maximum(morans_i(logged, graph, row_standardised=True), 0.0)
    scores = []
    for power in powers:
        # where no gene is coherent, all count alike
        weight = coherent**power if coherent.any() else np.ones(len(mean))
        scores.append(_components(logged, gram, mean=mean, unit=unit, weight=weight, n_components=n_components))
    return scores


def _moments(logged: sparse.csr_matrix) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of every column, (g,), the latter 0 where a column varies by rounding alone."""
    mean = np.asarray(logged.mean(axis=0), np.float64).ravel()
    square = np.asarray(logged.multiply(logged).mean(axis=0), np.float64).ravel()
    spread = np.sqrt(np.maximum(square - mean**2, 0.0))
    return mean, np.where(spread > _CONSTANT * np.maximum(mean, _CONSTANT), spread, 0.0)


def _gram(logged: sparse.csr_matrix, mean: NDArray[np.float64], unit: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inner products of the standardised genes, (g, g), added up from blocks of rows."""
    gram = np.zeros((len(mean), len(mean)))
    for first in range(0, logged.shape[0], _ROWS):
        part = (logged[first : first + _ROWS].toarray() - mean) * unit  # (rows, g)
        gram += part.T @ part
    return gram


def _components(
    logged: sparse.csr_matrix,
    gram: NDArray[np.float64] | None,
    *,
    mean: NDArray[np.float64],
    unit: NDArray[np.float64],
    weight: NDArray[np.float64],
    n_components: int,
) -> NDArray[np.float64]:
    """Exact principal component scores of the weighed genes, (n, k), each component's largest loading positive.

    Without inner products of the genes, those of the spots are taken, which are fewer.
    """
    n, g = logged.shape
    k = max(1, min(n_components, n - 1, g))
    if gram is not None:
        _, vectors = eigh(weight[:, None] * gram * weight, subset_by_index=(g - k, g - 1))
    else:
        weighed = (logged.toarray() - mean) * (unit * weight)  # (n, g)
        values, of_spots = eigh(weighed @ weighed.T, subset_by_index=(n - k, n - 1))
        vectors = (weighed.T @ of_spots) / np.sqrt(np.maximum(values, np.finfo(np.float64).tiny))
    vectors = with_fixed_signs(vectors[:, ::-1])
    loadings = (unit * weight)[:, None] * vectors  # (g, k)
    return np.asarray(logged @ loadings - mean @ loadings)
