"""The law of counting: which counts are to be expected of a spot, given how many are expected and how sure that is.

A gene that makes up the share s of a spot's molecules gives a Poisson count with mean D s where D are counted. The
share itself is known up to a factor with a log-normal law, so that the count follows the Poisson log-normal law
(Bulmer 1974). Its interval is that of the mid-distribution, P(C < c) + P(C = c) / 2, which holds the promised share on
average over means where whole counts cannot hold it exactly (Ma, Genton and Parzen 2011). What the lower end cannot cut
off, because there is nothing below 0, the upper end does.

For every count the intervals that hold it are found once, on a grid of spreads: a few tables then answer any number of
spots and genes.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, map_coordinates
from scipy.special import gammaincc, ndtri, polygamma, psi

from histoscribe.errors import ConfigError

Floats = NDArray[np.float64]

MOST_SPREAD = 4.0  # of ln(share): a factor of 700 at 90 %
_SPREADS = np.linspace(0.0, MOST_SPREAD, 41)
_FEW = 24  # counts up to which the law is summed; beyond, ln(mean) given the count is nearly normal
_COUNTS = np.concatenate([np.arange(_FEW + 1.0), _FEW * 1.08 ** np.arange(1, 180)])  # to 2e7
_STEP = 0.1
_LOG_MEANS = np.arange(-10.0, 17.0, _STEP)  # ln of the expected count


@dataclass(frozen=True, slots=True, eq=False)
class CountingLaw:
    """Intervals of counts at one level; `counting_law` makes it.

    Parameters
    ----------
    level
        Share of the counts that an interval is to hold.
    lower_, upper_
        (means, spreads) ends on the scale ln(1 + count).
    needed_
        (counts, means) smallest spread of which the interval holds the count.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.expression.counting import counting_law
    >>> lower, upper = counting_law(0.9).ends(np.array([[0.05, 4.0, 400.0]]), 0.0)
    >>> lower.round(1), upper.round(1)
    (array([[  0. ,   0.9, 367.1]]), array([[  0.8,   7.6, 432.9]]))
    """

    level: float
    lower_: Floats
    upper_: Floats
    needed_: Floats

    def ends(self, expected: NDArray[np.floating], spread: NDArray[np.floating] | float) -> tuple[Floats, Floats]:
        """Return the lower and the upper end of the counts, like `expected`.

        Parameters
        ----------
        expected
            Counts that are expected, depth times share; from 0.
        spread
            Standard deviation of ln(share), of any shape that fits; 0 is the noise of counting alone.
        """
        at = np.broadcast_arrays(_place_of_mean(expected), np.clip(spread, 0.0, MOST_SPREAD) / _SPREADS[1])
        lower, upper = (
            np.expm1(map_coordinates(table, at, order=1, mode="nearest")) for table in (self.lower_, self.upper_)
        )
        return lower, upper

    def spread_needed(self, counts: NDArray[np.floating], expected: NDArray[np.floating]) -> Floats:
        """Return the smallest spread of ln(share) with which the interval holds each count, 0 to `MOST_SPREAD`."""
        place = np.interp(np.log1p(counts), np.log1p(_COUNTS), np.arange(len(_COUNTS)))
        needed: Floats = map_coordinates(self.needed_, (place, _place_of_mean(expected)), order=1, mode="nearest")
        return needed


@lru_cache(maxsize=16)
def counting_law(level: float) -> CountingLaw:
    """Make the tables of one level; the result is kept.

    Raises
    ------
    ConfigError
        A level that is no share.
    """
    if not 0 < level < 1:
        raise ConfigError("the level of an interval is a share", where="level", found=level)
    first, last = _means_that_hold(level)  # (counts, spreads) each
    held = range(len(_SPREADS))
    logs = np.log1p(_COUNTS)
    upper = np.stack([np.interp(_LOG_MEANS, first[:, k], logs) for k in held], axis=1)
    lower = np.stack([np.interp(_LOG_MEANS, last[:, k], logs) for k in held], axis=1)
    needed = np.empty((len(_COUNTS), len(_LOG_MEANS)))
    for c in range(len(_COUNTS)):
        # a smaller mean needs more spread to reach up to the count, a larger one to reach down to it
        below = np.interp(_LOG_MEANS, first[c, ::-1], _SPREADS[::-1])
        above = np.interp(_LOG_MEANS, last[c], _SPREADS)
        needed[c] = np.maximum(below, above)
    needed[0] = np.interp(_LOG_MEANS, last[0], _SPREADS)  # no mean is too small for a count of 0
    return CountingLaw(level, lower, upper, needed)


def _means_that_hold(level: float) -> tuple[Floats, Floats]:
    """Ln of the smallest and of the largest expected count whose interval holds each count: (counts, spreads) twice."""
    tail = (1 - level) / 2
    mid = _mid_distributions()
    # of a tail below 0 that does not exist, the upper end cuts the more off, the likelier 0 is
    upper_tail = 2 * tail - tail * np.minimum(1.0, tail / np.maximum(mid[0], 1e-12))  # (means, spreads)
    first, last = np.empty((len(_COUNTS), len(_SPREADS))), np.empty((len(_COUNTS), len(_SPREADS)))
    for c in range(_FEW + 1):
        for k in range(len(_SPREADS)):
            first[c, k] = _crossing(mid[c, :, k] - (1 - upper_tail[:, k]))
            last[c, k] = _crossing(mid[c, :, k] - tail)
    shape = _COUNTS[_FEW + 1 :, None] + 0.5
    middle, spread = psi(shape), np.sqrt(polygamma(1, shape) + _SPREADS**2)  # of ln(mean) given the count
    for k in range(len(_SPREADS)):
        there = np.interp(middle[:, 0], _LOG_MEANS, upper_tail[:, k])
        first[_FEW + 1 :, k] = middle[:, 0] + ndtri(there) * spread[:, k]
        last[_FEW + 1 :, k] = middle[:, 0] - NormalDist().inv_cdf(tail) * spread[:, k]
    # intervals of a larger spread hold all that those of a smaller one do, and larger means larger counts
    first = np.maximum.accumulate(np.minimum.accumulate(first, axis=1), axis=0)
    last = np.maximum.accumulate(np.maximum.accumulate(last, axis=1), axis=0)
    return first, last


@cache
def _mid_distributions() -> Floats:
    """P(C < c) + P(C = c) / 2 of every small count at every mean and spread, (counts, means, spreads)."""
    means, counts = np.exp(_LOG_MEANS), np.arange(_FEW + 1)[:, None]
    below = np.where(counts > 0, gammaincc(np.maximum(counts, 1), means), 0.0)
    poisson = (below + gammaincc(counts + 1, means)) / 2  # (counts, means)
    # a spread of ln(share) is one of ln(mean)
    mixed = [poisson, *(gaussian_filter1d(poisson, s / _STEP, axis=1, mode="nearest") for s in _SPREADS[1:])]
    return np.stack(mixed, axis=2)


def _crossing(falling: Floats) -> float:
    """Ln of the mean at which a falling function of it passes 0; the first one where it is below from the start."""
    return float(np.interp(0.0, -falling, _LOG_MEANS))


def _place_of_mean(expected: NDArray[np.floating]) -> Floats:
    logs = np.log(np.maximum(expected, np.exp(_LOG_MEANS[0])))
    place: Floats = (logs - _LOG_MEANS[0]) / _STEP
    return place
