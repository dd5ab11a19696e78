"""Few latent components for many genes: their shared variation over the spots, found on the best-measured genes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError
from histoscribe.expression.normalise import log_per_10k

Float = NDArray[np.float64]

_LEAST_SPOTS = 12
_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class Latent:
    """Components of the spots and what they mean for genes.

    Parameters
    ----------
    scores
        (n, k) float64 of mean 0 and unit variance.
    loadings
        (k, t) float64: ln(1 + counts per 10,000) is `level + scores @ loadings` plus a residual that the components do
        not explain.
    level
        (t,) float64.
    share
        (k,) share of the variance of the genes that the components were found on.
    """

    scores: Float
    loadings: Float
    level: Float
    share: Float


def find_latent(counts: sparse.csr_matrix, library: Float, *, rank: int, most_genes: int, seed: int) -> Latent:
    """Principal components of the most abundant genes, and the regression of every gene on them.

    Genes are scaled to unit variance and weighted by the square root of the share of their variance that is not
    sampling noise, so that a gene weighs by how much signal it has. The noise is Poisson's, carried to the logarithm by
    its slope.

    Parameters
    ----------
    counts
        (n, t) raw counts, CSR.
    library
        (n,) molecules per spot.
    rank
        Components wanted; fewer where the spots or genes are fewer.
    most_genes
        Genes that the components are found on.

    Raises
    ------
    InputError
        Fewer than 12 spots, or no gene that varies.
    """
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    n = counts.shape[0]
    total = np.asarray(counts.sum(axis=0)).ravel()
    # abundance decides; equal genes keep their order
    chosen = np.sort(np.argsort(-total, kind="stable")[:most_genes])
    values = log_per_10k(counts[:, chosen], library=library).toarray().astype(np.float64)  # (n, m)
    spread = values.std(axis=0)
    varies = spread > 1e-9
    if n < _LEAST_SPOTS or not varies.any():
        raise InputError(
            "too little was measured to learn a map from",
            where="map",
            expected=f"at least {_LEAST_SPOTS} spots, and genes that differ between them",
            found=f"{n:,} spots, {int(varies.sum()):,} genes that vary",
        )
    scaled = (values - values.mean(axis=0))[:, varies] * _informative(values, library)[varies] / spread[varies]
    with threadpool_limits(1):
        pca = PCA(min(rank, n - 1, int(varies.sum())), svd_solver="randomized", random_state=seed, iterated_power=4)
        scores = pca.fit_transform(scaled)
        kept = scores.std(axis=0) > 1e-6 * max(scores.std(axis=0).max(), 1e-12)
        scores = scores[:, kept] / scores[:, kept].std(axis=0)
        level, loadings = _regress_genes(counts, library, scores)
    return Latent(scores, loadings, level, pca.explained_variance_ratio_[kept])


def _informative(values: Float, library: Float) -> Float:
    """Square root of the share of each gene's variance that is more than sampling noise, (t,)."""
    mean = values.mean(axis=0)
    per_10k = np.expm1(mean)
    # one molecule is 1e4 / library counts per 10,000, and ln(1 + v) has the slope 1 / (1 + v)
    noise = (1e4 / np.maximum(library, 1)).mean() * per_10k / (1 + per_10k) ** 2
    return np.asarray(np.sqrt(np.clip(1 - noise / np.maximum(values.var(axis=0), 1e-12), 0.02, 1)))


def _regress_genes(counts: sparse.csr_matrix, library: Float, scores: Float) -> tuple[Float, Float]:
    """Least squares of every gene on the scores, which are uncorrelated: level (t,) and loadings (k, t)."""
    n, t = counts.shape
    level, loadings = np.empty(t), np.empty((scores.shape[1], t))
    for start in range(0, t, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        values = log_per_10k(counts[:, part], library=library)
        level[part] = np.asarray(values.mean(axis=0)).ravel()
        loadings[:, part] = (values.T @ scores).T / n
    return level, loadings
