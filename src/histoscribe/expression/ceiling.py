"""How much of a gene can be predicted: counting few molecules adds noise, which no picture can predict.

The counts of every spot are split at random into two halves, as if it had been measured twice. How far the halves
agree says how reliable half the molecules are, and the formula of Spearman and Brown (1910) what that makes for all of
them: 2 r / (1 + r). Its square root is the correlation that the true expression itself would reach with what was
measured (Spearman 1904), and so the ceiling of every prediction. Only the noise of sampling is in it; what else varies
from spot to spot counts as signal, so that the ceiling is generous.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.expression.depth import partial_pearson
from histoscribe.expression.gene_target import GeneTarget
from histoscribe.expression.measured import Measured
from histoscribe.expression.select import counts_of


def noise_ceiling(target: Any, section: Measured, *, splits: int = 5, seed: int = 0) -> NDArray[np.float64]:
    """Return the highest Pearson correlation that can be expected of each gene of a fitted target on one section.

    Parameters
    ----------
    target
        A fitted `GeneTarget`; the halves are brought to its scale.
    section
        Its counts are split.
    splits
        Random splits to average.
    seed
        Of the splits.

    Returns
    -------
    (t,) float64 in [0, 1]: 0 where the halves do not agree, NaN for genes that are constant or were not measured, and
    for targets that are no counts.

    Examples
    --------
    >>> from histoscribe.expression.ceiling import noise_ceiling
    >>> from histoscribe.expression.gene_target import GeneTarget
    >>> from histoscribe.expression.measured import Measured
    >>> from histoscribe.phantom import make_phantom
    >>> spots = make_phantom(7, size_um=1200.0, mpp=1.0, n_domains=3).spots()
    >>> section = Measured("P0S0", spots.X, tuple(spots.var_names))
    >>> ceiling = noise_ceiling(GeneTarget(n_genes=600).fit([section]), section)
    >>> print(f"most abundant genes {ceiling[:20].mean():.1f}, rarest {ceiling[-20:].mean():.1f}")
    most abundant genes 0.9, rarest 0.2
    """
    if not isinstance(target, GeneTarget):
        return np.full(len(target.names_), np.nan)
    counts = counts_of(section, target.names_)
    rest = np.rint(section.molecules() - np.asarray(counts.sum(axis=1)).ravel()).clip(0)
    rng = np.random.default_rng(seed)
    agreement = np.zeros(len(target.names_))
    for _ in range(splits):
        first, second = split_counts(counts, rng)
        rest_first = rng.binomial(rest.astype(np.int64), 0.5)
        sizes = [np.asarray(half.sum(axis=1)).ravel() for half in (first, second)]
        a = target.scaled(first, sizes[0] + rest_first)
        b = target.scaled(second, sizes[1] + rest - rest_first)
        # a constant "depth" takes out the means alone: the plain correlation of the halves
        agreement += np.nan_to_num(partial_pearson(a, b, np.ones(len(a)))) / splits
    reliability = np.clip(2 * agreement / (1 + np.maximum(agreement, 0)), 0.0, 1.0)
    reliability[_constant(counts)] = np.nan
    return np.asarray(np.sqrt(reliability), np.float64)


def split_counts(counts: sparse.csr_matrix, rng: np.random.Generator) -> tuple[sparse.csr_matrix, sparse.csr_matrix]:
    """Give every molecule to one of two halves at random: (n, g) raw counts to two matrices that add up to them."""
    whole = np.rint(counts.data).astype(np.int64)
    drawn = rng.binomial(whole, 0.5)
    first, second = counts.copy(), counts.copy()
    first.data, second.data = drawn.astype(np.float64), (whole - drawn).astype(np.float64)
    return first, second


def _constant(counts: sparse.csr_matrix) -> NDArray[np.bool_]:
    by_column = counts.tocsc()
    return np.asarray(by_column.max(axis=0).toarray() == by_column.min(axis=0).toarray()).ravel()
