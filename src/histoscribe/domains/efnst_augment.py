"""Expression made less sparse: each spot is given some of the expression of nearby spots that look like it.

EfNST weighs a pair of spots by P * G * M: whether it is near (P), how alike its expression is (G) and how alike its
picture is (M). Only pairs within three pitches can have a weight, so only these are ever looked at.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from histoscribe.expression.normalise import library_size, log_per_10k
from histoscribe.numerics.signs import with_fixed_signs

WITHIN_PITCHES = 3.0
# lattices are printed and measured with errors: without slack, spots at exactly three pitches come and go
_SLACK = 0.05
# places of a hexagonal lattice within three pitches; where spots are denser, only so many are looked at
_CANDIDATES = 36
_PAIRS_AT_ONCE = 200_000
_ROWS_AT_ONCE = 8192
_LEAST_SPOTS = 3
N_GENES = 3000


def similar_neighbours(
    xy_um: NDArray[np.float64],
    *,
    pitch_um: float,
    expression: NDArray[np.float64] | None,
    image: NDArray[np.float64] | None,
    k: int,
) -> sparse.csr_matrix:
    """Weights of the k most similar spots within three pitches.

    Parameters
    ----------
    xy_um
        Centres of the spots, (n, 2).
    pitch_um
        Distance between neighbouring spots.
    expression, image
        Components, (n, p) and (n, q), of expression without library size and of the picture; None leaves that factor
        out. Similarity is Pearson's correlation of expression and the cosine of pictures; a negative one is none.
    k
        How many at most.

    Returns
    -------
    (n, n) float64 CSR; a row adds up to 1, or is empty where no similar spot is near.
    """
    n = len(xy_um)
    distance, found = cKDTree(xy_um).query(
        xy_um, k=np.arange(1, min(n, _CANDIDATES + 1) + 1), distance_upper_bound=(WITHIN_PITCHES + _SLACK) * pitch_um
    )
    i, rank = np.nonzero(np.isfinite(distance) & (found != np.arange(n)[:, None]))
    j = found[i, rank]  # (pairs,)
    weight = np.ones(len(i))
    if expression is not None:
        weight *= _similarity(expression - expression.mean(axis=1, keepdims=True), i, j)
    if image is not None:
        weight *= _similarity(image, i, j)
    return _strongest(i, j, weight, n=n, k=k)


def augmented(X: NDArray[np.float64], lenders: sparse.csr_matrix, *, strength: float) -> NDArray[np.float64]:
    """Add to X (n, d) `strength` times the mean of each spot's lenders, from `similar_neighbours`; scaled back to X."""
    lent = np.asarray(lenders.sum(axis=1)).ravel()[:, None] > 0
    return np.asarray(np.where(lent, (X + strength * (lenders @ X)) / (1 + strength), X))


def expression_components(
    counts: sparse.csr_matrix,
    *,
    section: NDArray[np.intp],
    n_comps: int,
) -> NDArray[np.float64]:
    """Principal components of log expression without library size, genes scaled to one variance.

    Parameters
    ----------
    counts
        (n, g) raw counts.
    section
        (n,) which section a spot belongs to, from 0; each gene is centred and scaled within its section.
    n_comps
        How many at most.

    Returns
    -------
    (n, p) float64; (n, 0) where no gene varies.
    """
    library = library_size(counts)
    seen = np.bincount(counts.indices[counts.data > 0], minlength=counts.shape[1])  # (g,) spots
    logs = log_per_10k(counts[:, np.flatnonzero(seen >= _LEAST_SPOTS)], library=library)
    if logs.shape[1] > N_GENES:
        logs = logs[:, _most_variable(logs, N_GENES)]
    return components(logs, section=section, n_comps=n_comps)


def components(X: Any, *, section: NDArray[np.intp], n_comps: int) -> NDArray[np.float64]:
    """Exact principal components of columns that are centred and scaled within their section, in bounded memory.

    Parameters
    ----------
    X
        (n, d) sparse or dense, finite.
    section
        (n,) from 0.
    n_comps
        How many at most.

    Returns
    -------
    (n, p) float64 scores, p at most `n_comps`; each component's largest loading is positive. (n, 0) where no column
    varies.
    """
    from scipy.linalg import eigh

    shift, scale = _moments(X, section)  # (sections, d)
    d = X.shape[1]
    if not scale.any():
        return np.empty((X.shape[0], 0))
    gram = np.zeros((d, d))
    for rows, block in _row_blocks(X):
        z = (block - shift[section[rows]]) * scale[section[rows]]
        gram += z.T @ z
    k = max(1, min(n_comps, d, X.shape[0] - 1))
    values, vectors = eigh(gram, subset_by_index=(d - k, d - 1))
    kept = values > 1e-9 * values.max()
    vectors = with_fixed_signs(vectors[:, kept][:, ::-1])  # (d, p), largest first
    scores = np.empty((X.shape[0], vectors.shape[1]))
    for rows, block in _row_blocks(X):
        scores[rows] = ((block - shift[section[rows]]) * scale[section[rows]]) @ vectors
    return scores


def _moments(X: Any, section: NDArray[np.intp]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of each column in each section and one over its standard deviation, 0 where constant; (sections, d)."""
    n_sections, d = int(section.max()) + 1, X.shape[1]
    count = np.bincount(section, minlength=n_sections)[:, None].astype(np.float64)
    total, squares, largest = (np.zeros((n_sections, d)) for _ in range(3))
    for rows, block in _row_blocks(X):
        for s in np.unique(section[rows]):
            part = block[section[rows] == s]
            total[s] += part.sum(axis=0)
            largest[s] = np.maximum(largest[s], np.abs(part).max(axis=0))
    mean = total / count
    for rows, block in _row_blocks(X):
        for s in np.unique(section[rows]):
            squares[s] += ((block[section[rows] == s] - mean[s]) ** 2).sum(axis=0)
    spread = np.sqrt(squares / count)
    # columns that vary by rounding alone count as constant
    varies = spread > 1e-7 * np.maximum(largest, np.finfo(np.float64).tiny)
    return mean, np.divide(1.0, spread, out=np.zeros_like(spread), where=varies)


def _row_blocks(X: Any) -> Iterator[tuple[slice, NDArray[np.float64]]]:
    for start in range(0, X.shape[0], _ROWS_AT_ONCE):
        rows = slice(start, min(start + _ROWS_AT_ONCE, X.shape[0]))
        block = X[rows]
        yield rows, np.asarray(block.toarray() if sparse.issparse(block) else block, np.float64)


def _most_variable(logs: sparse.csr_matrix, n: int) -> NDArray[np.intp]:
    mean = np.asarray(logs.mean(axis=0), np.float64).ravel()
    variance = np.asarray(logs.multiply(logs).mean(axis=0), np.float64).ravel() - mean**2
    return np.sort(np.argsort(-variance, kind="stable")[:n])


def _similarity(X: NDArray[np.float64], i: NDArray[np.intp], j: NDArray[np.intp]) -> NDArray[np.float64]:
    """Cosine of the rows of each pair, negative ones as 0; (pairs,)."""
    length = np.linalg.norm(X, axis=1, keepdims=True)
    unit = np.divide(X, length, out=np.zeros_like(X), where=length > 0)
    found = np.empty(len(i))
    for start in range(0, len(i), _PAIRS_AT_ONCE):
        pairs = slice(start, start + _PAIRS_AT_ONCE)
        found[pairs] = np.einsum("pd,pd->p", unit[i[pairs]], unit[j[pairs]])
    return np.maximum(found, 0.0)


def _strongest(
    i: NDArray[np.intp], j: NDArray[np.intp], weight: NDArray[np.float64], *, n: int, k: int
) -> sparse.csr_matrix:
    order = np.lexsort((j, -weight, i))
    i, j, weight = i[order], j[order], weight[order]
    start = np.searchsorted(i, np.arange(n))
    kept = (np.arange(len(i)) - start[i] < k) & (weight > 0)
    i, j, weight = i[kept], j[kept], weight[kept]
    total = np.bincount(i, weights=weight, minlength=n)
    return sparse.csr_matrix((weight / total[i], (i, j)), shape=(n, n))
