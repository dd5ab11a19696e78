"""Metrics of a map: agreement with the truth gene by gene, sharpness, mass, coverage, and the noise ceiling.

Arrays of places by genes: places are hidden spots, or the cells of a raster that are tissue. A gene that is constant in
the truth has no score (NaN); a constant prediction scores 0.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse
from scipy.stats import rankdata

from histoscribe.expression.ceiling import split_counts
from histoscribe.expression.normalise import library_size, log_per_10k
from histoscribe.graph.moran import morans_i
from histoscribe.numerics.correlation import columnwise_pearson

Float = NDArray[np.float64]

_FLAT = 1e-9
_SSIM_WINDOW = 7
_LEAST_TRUST = 0.1


def pearson(truth: NDArray[Any], predicted: NDArray[Any]) -> Float:
    """Pearson correlation of each gene, (n, t) twice to (t,)."""
    truth = np.asarray(truth, np.float64)
    score = columnwise_pearson(truth, predicted)
    score[np.ptp(truth, axis=0) <= _FLAT * np.maximum(np.abs(truth).max(axis=0, initial=0), 1e-30)] = np.nan
    return score


def spearman(truth: NDArray[Any], predicted: NDArray[Any]) -> Float:
    """Spearman correlation of each gene, (n, t) twice to (t,)."""
    return pearson(rankdata(truth, axis=0), rankdata(predicted, axis=0))


def moran_ratio(
    truth: NDArray[Any], predicted: NDArray[Any], graph: sparse.csr_matrix, *, reliability: Float | None = None
) -> Float:
    """Moran's I of the prediction over that of the truth, (t,): above 1 it is smoother than the truth.

    Sampling noise adds to a measurement's variance but not to the covariance of neighbours. The truth's I is therefore
    that of the measurement over its `reliability`, (t,), the square of `thinning_ceiling`; 1 where None.

    NaN where the truth has hardly any spatial structure (I below 0.05) or the measurement hardly any reliability
    (below 0.1); the ratio is meaningless there.
    """
    trust = np.ones(np.shape(truth)[1]) if reliability is None else np.asarray(reliability, np.float64)
    own, other = morans_i(truth, graph) / np.maximum(trust, 1e-9), morans_i(predicted, graph)
    known = (own > 0.05) & (trust >= _LEAST_TRUST)
    return np.asarray(np.divide(other, own, out=np.full(len(own), np.nan), where=known))


def grid_graph(tissue: NDArray[np.bool_]) -> sparse.csr_matrix:
    """Four neighbours of the tissue's cells of a raster (rows, columns), (c, c) CSR in raster order."""
    number = np.full(tissue.shape, -1, np.intp)
    number[tissue] = np.arange(np.count_nonzero(tissue))
    pairs = [(number[:, :-1], number[:, 1:]), (number[:-1], number[1:])]
    i = np.concatenate([a.ravel() for a, _ in pairs])
    j = np.concatenate([b.ravel() for _, b in pairs])
    both = (i >= 0) & (j >= 0)
    size = int(number.max(initial=-1)) + 1
    half = sparse.csr_matrix((np.ones(both.sum()), (i[both], j[both])), shape=(size, size))
    return sparse.csr_matrix(half + half.T)


def ssim(truth: NDArray[Any], predicted: NDArray[Any], tissue: NDArray[np.bool_]) -> float:
    """Structural similarity of two rasters (rows, columns) over a fixed window of 7 cells, on tissue only.

    The constants are scaled by the truth's range on tissue (Wang et al. 2004, eq. 13 with L the range), so that a flat
    or faint prediction cannot gain by its own range. NaN where the truth is constant or no window lies in tissue.
    """
    whole = ndimage.binary_erosion(tissue, np.ones((_SSIM_WINDOW, _SSIM_WINDOW)))
    x, y = (np.where(tissue, np.nan_to_num(np.asarray(v, np.float64)), 0.0) for v in (truth, predicted))
    span = float(np.ptp(x[tissue])) if tissue.any() else 0.0
    if span <= 0 or not whole.any():
        return float("nan")

    def mean(values: Float) -> Float:
        return np.asarray(ndimage.uniform_filter(values, _SSIM_WINDOW))

    mx, my = mean(x), mean(y)
    vx, vy, cov = mean(x * x) - mx * mx, mean(y * y) - my * my, mean(x * y) - mx * my
    c1, c2 = (0.01 * span) ** 2, (0.03 * span) ** 2
    score = (2 * mx * my + c1) * (2 * cov + c2) / ((mx * mx + my * my + c1) * (vx + vy + c2))
    return float(score[whole].mean())


def spot_sum_error(measured: NDArray[Any], mapped: NDArray[Any]) -> float:
    """Largest relative error of the mapped sums under spots, (n, t) twice; a measured 0 counts as one molecule."""
    measured = np.asarray(measured, np.float64)
    return float(np.max(np.abs(np.asarray(mapped) - measured) / np.maximum(measured, 1.0), initial=0.0))


def coverage(truth: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> float:
    """Share of values, (n, t), that lie in their interval, ends included."""
    return float(np.mean((truth >= low) & (truth <= high)))


def thinning_ceiling(
    counts: sparse.csr_matrix, *, library: Float | None = None, splits: int = 3, seed: int = 0
) -> Float:
    """Highest Pearson correlation with ln(1 + counts per 10,000) that sampling noise allows, (t,).

    The counts are split at random into halves. Their correlation, corrected to full depth by the formula of Spearman
    and Brown, is the reliability; its square root is what a perfect map would reach.

    Parameters
    ----------
    counts
        (n, t) raw counts, CSR.
    library
        (n,) molecules per place over the whole library; the row sums where None.
    """
    rng = np.random.default_rng(seed)
    size = library_size(counts) if library is None else library
    agreement = np.zeros(counts.shape[1])
    for _ in range(splits):
        halves = [
            log_per_10k(half, library=size / 2).toarray() for half in split_counts(sparse.csr_matrix(counts), rng)
        ]
        agreement += np.nan_to_num(pearson(*halves)) / splits
    reliability = np.clip(2 * agreement / (1 + np.maximum(agreement, 0)), 0, 1)
    return np.asarray(np.sqrt(reliability))
