"""Whether one head is better than another: both scored on the same spots, resampled by spatial blocks.

Neighbouring spots are correlated, so resampling single spots would make every difference look certain. Compact blocks
of a section are drawn with replacement instead, the same ones for both heads, and every section counts the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from histoscribe.errors import InputError
from histoscribe.expression.depth import partial_out
from histoscribe.predict.columns import column_blocks
from histoscribe.predict.metrics import spot_spearman

Floats = NDArray[np.float64]
Metric = Literal["pearson", "pearson_given_depth", "spot_spearman"]


@dataclass(frozen=True, slots=True, eq=False)
class Compared:
    """Two predictions of one section.

    Parameters
    ----------
    Y
        (n, t) measured; NaN columns are ignored.
    first, second
        (n, t) the two predictions.
    blocks
        (n,) spatial block of every spot, from `splits.block_labels`.
    depth
        (n,) for `pearson_given_depth`.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.predict.bootstrap import Compared, paired_bootstrap
    >>> from histoscribe.predict.splits import block_labels
    >>> rng = np.random.default_rng(0)
    >>> Y, xy_um = rng.normal(size=(300, 5)), rng.uniform(0, 6000, (300, 2))
    >>> good, poor = (Y + rng.normal(0, noise, Y.shape) for noise in (0.5, 2.0))
    >>> found = paired_bootstrap([Compared(Y, good, poor, block_labels(xy_um, n_blocks=20))], n_draws=200)
    >>> print(f"{found['first']:.1f} and {found['second']:.1f}; they differ: {found['differs']}")
    0.9 and 0.4; they differ: True
    """

    Y: NDArray[Any]
    first: NDArray[Any]
    second: NDArray[Any]
    blocks: NDArray[Any]
    depth: NDArray[np.float64] | None = None


def paired_bootstrap(
    sections: Sequence[Compared],
    *,
    metric: Metric = "pearson",
    n_draws: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> dict[str, Any]:
    """Difference of two heads, first minus second, with its interval.

    Parameters
    ----------
    sections
        One or more, both heads on the same spots.
    metric
        Mean over targets of the Pearson correlation, the same with the depth partialled out, or the mean over spots of
        the Spearman correlation across targets.
    n_draws
        Resampled data sets.
    level
        Of the percentile interval.
    seed
        Of the draws.

    Returns
    -------
    `metric`, `first`, `second`, `difference` (means over sections), `lower`, `upper`, `level`, `n_draws`, `n_blocks`,
    `differs`: whether the interval excludes 0. It says how certain the difference is on these sections, not on others.

    Raises
    ------
    InputError
        No sections, or fewer than two blocks in one.
    """
    if not sections:
        raise InputError("there is nothing to compare", where="bootstrap")
    rng = np.random.default_rng(seed)
    plain, drawn, n_blocks = np.zeros(2), np.zeros((n_draws, 2)), 0
    for section in sections:
        code, weights = _drawn_blocks(section, n_draws, rng)
        n_blocks += weights.shape[1]
        for head, prediction in enumerate((section.first, section.second)):
            with threadpool_limits(limits=1):  # sums over threads differ in the last digit with their number
                values = _weighted(section, prediction, code, weights, metric)  # (1 + draws,)
            plain[head] += values[0] / len(sections)
            drawn[:, head] += values[1:] / len(sections)
    difference = drawn[:, 0] - drawn[:, 1]
    lower, upper = np.quantile(difference, [(1 - level) / 2, (1 + level) / 2])
    return {
        "metric": metric,
        "first": float(plain[0]),
        "second": float(plain[1]),
        "difference": float(plain[0] - plain[1]),
        "lower": float(lower),
        "upper": float(upper),
        "differs": bool(lower > 0 or upper < 0),
        "level": level,
        "n_draws": n_draws,
        "n_blocks": n_blocks,
    }


def _drawn_blocks(section: Compared, n_draws: int, rng: np.random.Generator) -> tuple[NDArray[np.intp], Floats]:
    """Give every spot the number of its block, (n,), and draw how often blocks count, (1 + draws, blocks)."""
    code = np.unique(section.blocks, return_inverse=True)[1].ravel()
    count = int(code.max()) + 1
    if count < 2:
        raise InputError("a section needs at least two spatial blocks to be resampled", where="bootstrap")
    times = rng.multinomial(count, np.full(count, 1 / count), size=n_draws)
    # the first row counts every block once: the plain score
    return code, np.vstack([np.ones((1, count)), times])


def _weighted(section: Compared, P: NDArray[Any], code: NDArray[Any], weights: Floats, metric: Metric) -> Floats:
    """Score under every row of block weights, (draws, blocks) to (draws,)."""
    measured = np.isfinite(section.Y).all(axis=0)
    Y, P = np.asarray(section.Y, np.float64)[:, measured], np.asarray(P, np.float64)[:, measured]
    if metric == "spot_spearman":
        per_spot = spot_spearman(Y, P)
        known = np.isfinite(per_spot)
        sums = np.bincount(code, np.where(known, per_spot, 0.0))
        share: Floats = (weights @ sums) / np.maximum(weights @ np.bincount(code, known), 1e-12)
        return share
    if metric == "pearson_given_depth":
        if section.depth is None:
            raise InputError("the depth of the spots is not known", where="bootstrap")
        Y, P = partial_out(section.depth, Y), partial_out(section.depth, P)
    return _weighted_pearson(Y, P, code, weights)


def _weighted_pearson(Y: Floats, P: Floats, code: NDArray[Any], weights: Floats) -> Floats:
    """Mean over targets of the correlation, from sums per block: exact, with one pass over the spots."""
    varies = np.ptp(Y, axis=0) > 0
    Y, P = Y[:, varies], P[:, varies]
    blocks = np.eye(int(code.max()) + 1)[:, code]  # (blocks, n)
    n = weights @ blocks.sum(axis=1)  # (draws,)
    total = np.zeros(len(weights))
    for some in column_blocks(max(Y.shape[0], len(weights)), Y.shape[1]):
        a, b = Y[:, some] - Y[:, some].mean(axis=0), P[:, some] - P[:, some].mean(axis=0)
        y, p, yy, pp, yp = (weights @ (blocks @ part) / n[:, None] for part in (a, b, a * a, b * b, a * b))
        vy, vp = yy - y * y, pp - p * p
        # a variance of the size of rounding errors counts as 0
        product = np.where((vy > 1e-10 * yy) & (vp > 1e-10 * pp), vy * vp, 0.0)
        total += np.divide(yp - y * p, np.sqrt(product), out=np.zeros_like(vy), where=product > 0).sum(axis=1)
    return np.asarray(total / max(Y.shape[1], 1), np.float64)
