"""A Gaussian mixture whose components share one covariance, fitted from many starts; linear in spots.

With one covariance the mixture discounts what varies alike inside all domains, such as texture or depth. Drawn a little
towards a sphere it also minds the features' own scale, which in small sections keeps a handful of odd spots from being
a domain. Its likelihood has many maxima, and which one a single start meets is what makes such clusterings change with
the seed. Here many starts run a few rounds and the best go on to the end (the "short runs of EM" of Biernacki, Celeux
and Govaert 2003, doi:10.1016/S0167-9473(02)00163-9), so that every seed finds the same maximum on most data.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

N_STARTS = 24
_SHORT, _LONG, _KEPT = 20, 200, 3
_TOLERANCE = 1e-6
# how far the covariance is drawn towards a sphere of the same total variance
SHRINKAGE = 0.1
# of the mean variance of a feature: a domain's spots never coincide
_FLOOR = 1e-6
# more spots than these say nothing new of some hundred numbers
_FIT_SPOTS = 6_000
_KMEANS_ROUNDS = 5


@dataclass(frozen=True, slots=True, eq=False)
class Mixture:
    """A fitted mixture.

    Parameters
    ----------
    centre
        (d,) mean of the features.
    means
        (k, d) of the components, about the centre.
    precision
        (d, d), the inverse of the shared covariance.
    shares
        (k,) of the spots.
    likelihood
        Mean log likelihood of a spot, up to a constant.
    """

    centre: Floats
    means: Floats
    precision: Floats
    shares: Floats
    likelihood: float

    def posterior(self, X: Floats) -> Floats:
        """Probability of each component for each spot, (n, d) to (n, k)."""
        return _softmax(_scores(X - self.centre, self.means, self.precision, self.shares))[0]


@dataclass(frozen=True, slots=True, eq=False)
class _Data:
    """Centred features (n, d), their covariance (d, d), and how far that of a component is drawn to a sphere."""

    given: Floats
    total: Floats
    shrinkage: float


def fit_mixture(X: Floats, k: int, *, seed: int, n_starts: int = N_STARTS, shrinkage: float = SHRINKAGE) -> Mixture:
    """Fit k components to the spots' features.

    Parameters
    ----------
    X
        (n, d), not all rows equal, in the order of their place.
    k
        From 1 to n.
    seed
        Of the starts.
    n_starts
        How many; one half is drawn where spots lie far apart in the given features, the other in white ones.
    shrinkage
        How far the covariance is drawn towards a sphere, in [0, 1].

    Returns
    -------
    Mixture
        Of all starts the one of the highest likelihood. A component may hold no spot.
    """
    rng = np.random.default_rng(seed)
    if len(X) > _FIT_SPOTS:
        X = X[np.linspace(0, len(X) - 1, _FIT_SPOTS).astype(np.intp)]
    centre = X.mean(axis=0)
    given = X - centre
    white = _white(given)
    data = _Data(given, given.T @ given / len(given), shrinkage)
    if k == 1:
        return Mixture(centre, np.zeros((1, X.shape[1])), np.eye(X.shape[1]), np.ones(1), 0.0)
    starts = (_start(white if i % 2 else given, k, rng) for i in range(n_starts))
    short = sorted((_maximise(data, start, rounds=_SHORT) for start in starts), key=lambda found: -found[0])
    long = (_maximise(data, found[1], rounds=_LONG) for found in short[:_KEPT])
    likelihood, member = max(long, key=lambda found: found[0])
    means, precision, shares = _parameters(data, member)
    return Mixture(centre, means, precision, shares, likelihood)


def _white(given: Floats) -> Floats:
    values, vectors = np.linalg.eigh(given.T @ given / len(given))
    kept = values > 1e-9 * values[-1]
    white: Floats = given @ (vectors[:, kept] / np.sqrt(values[kept]))
    return white


def _start(X: Floats, k: int, rng: np.random.Generator) -> Floats:
    """Membership (n, k) of zeros and ones: k-means++ and a few rounds of Lloyd."""
    n = len(X)
    means = X[[int(rng.integers(n))]]
    gap = ((X - means[0]) ** 2).sum(axis=1)  # (n,)
    while len(means) < k:
        reach = np.cumsum(gap)
        place = int(np.searchsorted(reach, rng.random() * reach[-1])) if reach[-1] > 0 else int(rng.integers(n))
        means = np.vstack([means, X[min(place, n - 1)]])
        gap = np.minimum(gap, ((X - means[-1]) ** 2).sum(axis=1))
    for _ in range(_KMEANS_ROUNDS):
        nearest = ((means**2).sum(axis=1) - 2 * X @ means.T).argmin(axis=1)
        size = np.bincount(nearest, minlength=k)
        total = np.stack([np.bincount(nearest, weights=column, minlength=k) for column in X.T], axis=1)
        means = np.where(size[:, None] > 0, total / np.maximum(size, 1)[:, None], means)
    member: Floats = np.eye(k)[nearest]
    return member


def _maximise(data: _Data, member: Floats, *, rounds: int) -> tuple[float, Floats]:
    """Do rounds of expectation and maximisation; returns the log likelihood and the membership (n, k)."""
    old = -np.inf
    likelihood = old
    for _ in range(rounds):
        means, precision, shares = _parameters(data, member)
        member, log_sum = _softmax(_scores(data.given, means, precision, shares))
        # the spot's own quadratic term, left out of the scores, averages to a trace
        constant = 0.5 * np.linalg.slogdet(precision)[1] - 0.5 * (precision * data.total).sum()
        likelihood = float(log_sum.mean() + constant)
        if abs(likelihood - old) < _TOLERANCE:
            break
        old = likelihood
    return likelihood, member


def _parameters(data: _Data, member: Floats) -> tuple[Floats, Floats, Floats]:
    given, total, d = data.given, data.total, len(data.total)
    size = np.maximum(member.sum(axis=0), 1e-9)  # (k,)
    shares = size / size.sum()
    means = (member.T @ given) / size[:, None]
    within = total - (means.T * shares) @ means
    mean_variance = max(np.trace(within), 0.0) / d
    sphere = data.shrinkage * mean_variance + _FLOOR * np.trace(total) / d
    within = (1 - data.shrinkage) * (within + within.T) / 2 + sphere * np.eye(d)
    return means, np.linalg.inv(within), shares


def _scores(given: Floats, means: Floats, precision: Floats, shares: Floats) -> Floats:
    directions = precision @ means.T  # (d, k)
    scores: Floats = given @ directions - 0.5 * (means.T * directions).sum(axis=0) + np.log(shares)
    return scores


def _softmax(scores: Floats) -> tuple[Floats, Floats]:
    highest = scores.max(axis=1)
    weight = np.exp(scores - highest[:, None])
    total = weight.sum(axis=1)
    return weight / total[:, None], highest + np.log(total)
