"""Few latent components for many genes: their shared variation over the spots, found on the best-measured genes."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError
from histoscribe.expression.normalise import log_per_10k
from histoscribe.expression.precision import counting_noise

Float = NDArray[np.float64]

_LEAST_SPOTS = 12
_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True, eq=False)
class Latent:
    """Components of the spots and what they mean for genes.

    Parameters
    ----------
    scores
        (n, k) float64 of mean 0 and unit variance, both weighted.
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


def find_latent(
    counts: sparse.csr_matrix, library: Float, *, weight: Float, rank: int, most_genes: int, seed: int
) -> Latent:
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
    weight
        (n,) above 0: how much each spot counts.
    rank
        Components wanted; fewer where the spots or genes are fewer.
    most_genes
        Genes that the components are found on.

    Raises
    ------
    InputError
        Fewer than 12 spots, or no gene that varies.
    """
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    n = counts.shape[0]
    share = weight / weight.sum()
    total = np.asarray(counts.sum(axis=0)).ravel()
    # abundance decides; equal genes keep their order
    chosen = np.sort(np.argsort(-total, kind="stable")[:most_genes])
    values = log_per_10k(counts[:, chosen], library=library).toarray().astype(np.float64)  # (n, m)
    mean = share @ values
    variance = share @ (values - mean) ** 2
    varies = variance > 1e-18
    if n < _LEAST_SPOTS or not varies.any():
        raise InputError(
            "too little was measured to learn a map from",
            where="map",
            expected=f"at least {_LEAST_SPOTS} spots, and genes that differ between them",
            found=f"{n:,} spots, {int(varies.sum()):,} genes that vary",
        )
    noise = counting_noise(mean) * (share @ (1 / np.maximum(library, 1)))
    scaled = (values - mean)[:, varies] * (_informative(noise, variance) / np.sqrt(np.maximum(variance, 1e-18)))[varies]
    with threadpool_limits(1):
        rows = np.sqrt(share)[:, None] * scaled
        _, size, axes = randomized_svd(rows, min(rank, n - 1, int(varies.sum())), n_iter=4, random_state=seed)
        kept = size > 1e-6 * max(float(size.max()), 1e-12)
        scores = scaled @ axes[kept].T / size[kept]
        level, loadings = _regress_genes(counts, library, scores, share)
    return Latent(scores, loadings, level, size[kept] ** 2 / float((rows**2).sum()))


def _informative(noise: Float, variance: Float) -> Float:
    """Square root of the share of each gene's variance that is more than sampling noise, (t,)."""
    return np.asarray(np.sqrt(np.clip(1 - noise / np.maximum(variance, 1e-12), 0.02, 1)))


def _regress_genes(counts: sparse.csr_matrix, library: Float, scores: Float, share: Float) -> tuple[Float, Float]:
    """Least squares of every gene on the scores, which are uncorrelated: level (t,) and loadings (k, t)."""
    t = counts.shape[1]
    level, loadings = np.empty(t), np.empty((scores.shape[1], t))
    weighed = scores * share[:, None]
    for start in range(0, t, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        values = log_per_10k(counts[:, part], library=library)
        level[part] = values.T @ share
        loadings[:, part] = (values.T @ weighed).T
    return level, loadings
