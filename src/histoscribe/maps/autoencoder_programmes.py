"""Few non-negative programmes for many genes: the autoencoder's gene channels before and after training."""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from histoscribe.errors import InputError
from histoscribe.expression.normalise import log_per_10k

Float = NDArray[np.float64]

_LEAST_SPOTS = 12
_FIT_SPOTS = 4000
_ROUNDS = 60
_AT_ONCE = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Programmes:
    """Programmes of the genes that the network is trained on.

    Parameters
    ----------
    genes
        (m,) columns of the counts, ascending.
    loadings
        (r, m) float64 above 0, in counts per 10,000: activities of 1 give the mean of the spots.
    weight
        (m,) float64: weight of the squared error of ln(1 + counts per 10,000); a gene with much sampling noise in its
        variance weighs less.
    """

    genes: NDArray[np.intp]
    loadings: Float
    weight: Float


def find_programmes(counts: sparse.csr_matrix, library: Float, *, rank: int, most_genes: int, seed: int) -> Programmes:
    """Non-negative factors of the most abundant genes; one channel for each gene where they are as few as the rank.

    Genes are divided by the root of their mean, so that all have the same counting noise.

    Raises
    ------
    InputError
        Fewer than 12 spots, counts that are no numbers or negative, or no gene that varies.
    """
    n = counts.shape[0]
    check_counts(counts, library)
    total = np.asarray(counts.sum(axis=0)).ravel()
    abundant = np.argsort(-total, kind="stable")[:most_genes]
    values = log_per_10k(counts[:, np.sort(abundant)], library=library).toarray().astype(np.float64)  # (n, m)
    varies = values.std(axis=0) > 1e-9
    if n < _LEAST_SPOTS or not varies.any():
        raise InputError(
            "too little was measured to learn a map from",
            where="map",
            expected=f"at least {_LEAST_SPOTS} spots, and genes that differ between them",
            found=f"{n:,} spots, {int(varies.sum()):,} genes that vary",
        )
    genes, values = np.sort(abundant)[varies], values[:, varies]
    return Programmes(genes, _loadings(np.expm1(values), rank, seed), _weights(values, library))


def check_counts(counts: sparse.csr_matrix, library: Float) -> None:
    """Raise InputError where counts or libraries are no numbers, or negative."""
    if not np.isfinite(counts.data).all() or (counts.data < 0).any() or not np.isfinite(library).all():
        raise InputError(
            "some counts are no numbers or negative", where="counts", expected="raw counts", fix="give raw counts"
        )


def fit_loadings(counts: sparse.csr_matrix, library: Float, activity: Float) -> Float:
    """Find loadings, (r, t), not negative, that make every gene likeliest under Poisson noise given activities (n, r).

    Multiplicative updates for the Kullback-Leibler divergence (Lee and Seung 2001, eq. 5) with the activities fixed.
    """
    exposure = activity * (library / 1e4)[:, None]  # (n, r)
    size = np.maximum(exposure.sum(axis=0), 1e-12)
    found = np.empty((activity.shape[1], counts.shape[1]))
    for start in range(0, counts.shape[1], _AT_ONCE):
        part = sparse.csc_matrix(counts[:, start : start + _AT_ONCE], dtype=np.float64)
        gene = np.repeat(np.arange(part.shape[1]), np.diff(part.indptr))
        mean = np.asarray(part.sum(axis=0)).ravel() / size.sum()
        loadings = np.tile(mean, (len(size), 1))  # (r, b)
        for _ in range(_ROUNDS):
            # only where something was counted does the ratio of counts and expectation differ from 0
            expected = np.einsum("ij,ij->i", exposure[part.indices], loadings.T[gene])
            ratio = sparse.csc_matrix((part.data / np.maximum(expected, 1e-12), part.indices, part.indptr), part.shape)
            loadings *= np.asarray(ratio.T @ exposure).T / size[:, None]
        found[:, start : start + _AT_ONCE] = loadings
    return found


def _loadings(per_10k: Float, rank: int, seed: int) -> Float:
    from sklearn.decomposition import NMF
    from sklearn.exceptions import ConvergenceWarning

    mean = per_10k.mean(axis=0)
    n, m = per_10k.shape
    if m <= rank:
        return np.diag(mean)
    few = np.random.default_rng(seed).permutation(n)[:_FIT_SPOTS]
    k = min(rank, len(few) - 1)
    root = np.sqrt(mean)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # training continues from here
        model = NMF(k, init="nndsvda", random_state=seed, tol=1e-3, max_iter=200)
        activity = model.fit_transform(per_10k[few] / root)
    size = activity.mean(axis=0)
    kept = size > 0
    loadings = model.components_[kept] * size[kept, None] * root
    # every gene has a little of every programme, so that training can still increase it
    loadings = loadings + 0.02 * mean / kept.sum()
    return np.asarray(loadings * mean / np.maximum(loadings.sum(axis=0), 1e-12))


def _weights(values: Float, library: Float) -> Float:
    """One over the variance, times the share of it that is not sampling noise."""
    mean, variance = values.mean(axis=0), values.var(axis=0)
    per_10k = np.expm1(mean)
    # one molecule is 1e4 / library counts per 10,000, and ln(1 + v) has the slope 1 / (1 + v)
    noise = (1e4 / np.maximum(library, 1)).mean() * per_10k / (1 + per_10k) ** 2
    return np.asarray(np.clip(1 - noise / variance, 0.02, 1) / variance)
