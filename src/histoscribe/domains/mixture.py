"""A Gaussian mixture with one shared covariance, fitted from deterministic starts.

With one covariance the mixture discounts what varies alike inside all domains, such as texture or depth. The covariance
is shrunk a little towards a sphere, so that the features' own scale counts too; in small sections this keeps a handful
of odd spots from being a domain. Domains may also differ in how varied they are: then they share the covariance's
shape, each with its own volume ("VEE" of Fraley and Raftery 2002, J Am Stat Assoc 97:611). The volumes are shrunk
towards the common one, because in many dimensions they would count for more than a domain's mean.

The likelihood has many maxima. Which one is found depends on the start, so with random starts the clustering changes
with the seed. Here the starts are parts of Ward's trees (`tree`): one of the given features, and one of the features
whitened by the covariance that the first fit found. The fit with the higher likelihood is kept. Starts can also be
drawn at random: what the data do not decide then differs from fit to fit, which shows how many domains hold.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from histoscribe.domains.tree import SpotTree, means_of, nearest

Floats = NDArray[np.float64]

_ROUNDS = 200
_TOLERANCE = 1e-6
# how far the covariance is shrunk towards a sphere of the same total variance
SHRINKAGE = 0.1
# of the mean variance of a feature: a domain's spots never coincide
_FLOOR = 1e-6
# spots used for a fit: more of them would hardly change its few hundred numbers
_FIT_SPOTS = 6_000
_KMEANS_ROUNDS = 2
# random starts for one fit, and the rounds that each is given before the best is chosen
_DRAWN, _DRAWN_ROUNDS, _DRAWN_KMEANS = 6, 20, 5


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
    volumes
        (k,) factor of each component's covariance over the shared one; geometric mean 1 over the spots.
    shares
        (k,) of the spots.
    likelihood
        Mean log likelihood of a spot, up to a constant.
    """

    centre: Floats
    means: Floats
    precision: Floats
    volumes: Floats
    shares: Floats
    likelihood: float

    def posterior(self, X: Floats) -> Floats:
        """Probability of each component for each spot, (n, d) to (n, k)."""
        if np.all(self.volumes == 1):
            return _softmax(_linear_scores(X - self.centre, self.means, self.precision, self.shares))[0]
        distances = _distances(X - self.centre, self.means, self.precision)
        return _softmax(_scores(distances, self.volumes, self.shares, n_features=X.shape[1]))[0]


class MixtureFit:
    """Mixtures with any number of components on one set of features.

    Parameters
    ----------
    X
        (n, d), at least two rows, not all equal, in the order of their place.
    least
        Spots that a part of a tree should have where a fit starts.
    shrinkage
        How far the covariance is shrunk towards a sphere, in [0, 1].
    volume
        How far components may differ in volume: 0 not at all, 1 as far as the spots say.
    """

    def __init__(self, X: Floats, *, least: float = 1.0, shrinkage: float = SHRINKAGE, volume: float = 0.0) -> None:
        n = len(X)
        if n > _FIT_SPOTS:
            X = X[np.linspace(0, n - 1, _FIT_SPOTS).astype(np.intp)]
        self._least = least * len(X) / n
        self._centre = X.mean(axis=0)
        self._given = X - self._centre
        self._total = self._given.T @ self._given / len(X)
        self._shrinkage = shrinkage
        self._volume = volume

    @cached_property
    def _tree(self) -> SpotTree:
        return SpotTree(self._given)

    def with_components(self, k: int, *, seed: int | None = None) -> Mixture:
        """Fit k components, from 1 to n; some of them may hold no spot. With a seed the starts are random."""
        d = len(self._total)
        if k == 1:
            return Mixture(self._centre, np.zeros((1, d)), np.eye(d), np.ones(1), np.ones(1), 0.0)
        if seed is not None:
            return self._random_starts(k, np.random.default_rng(seed))
        first = self._from(self._tree, self._given, k)
        sphere = self._given @ np.linalg.cholesky(first.precision)
        second = self._from(SpotTree(sphere), sphere, k)
        return max(first, second, key=lambda fitted: fitted.likelihood)

    def _from(self, tree: SpotTree, features: Floats, k: int) -> Mixture:
        """Fit from the parts of one tree; `features` are those of the tree."""
        means = tree.means(k, least=self._least)
        for _ in range(_KMEANS_ROUNDS):
            labels = nearest(features, means)
            kept = np.unique(labels)
            means = means_of(features, np.searchsorted(kept, labels), len(kept))
        return self._maximised(np.eye(k)[labels])

    def _random_starts(self, k: int, rng: np.random.Generator) -> Mixture:
        """Fit from the best of a few starts, half of them drawn where spots lie far apart in whitened features."""
        values, vectors = np.linalg.eigh(self._total)
        kept = values > 1e-9 * values[-1]
        white = self._given @ (vectors[:, kept] / np.sqrt(values[kept]))
        short = [
            self._maximised(np.eye(k)[_drawn(white if i % 2 else self._given, k, rng)], rounds=_DRAWN_ROUNDS)
            for i in range(_DRAWN)
        ]
        best = max(short, key=lambda fitted: fitted.likelihood)
        return self._maximised(best.posterior(self._given + self._centre))

    def _maximised(self, member: Floats, *, rounds: int = _ROUNDS) -> Mixture:
        """Do rounds of expectation and maximisation from a membership, (n, k)."""
        old, volumes = -np.inf, np.ones(member.shape[1])
        for _ in range(rounds):
            size = np.maximum(member.sum(axis=0), 1e-9)  # (k,)
            shares = size / size.sum()
            means = (member.T @ self._given) / size[:, None]
            precision = self._precision(member, means, volumes)
            likelihood = 0.5 * float(np.linalg.slogdet(precision)[1])
            if self._volume > 0:
                distances = _distances(self._given, means, precision)
                volumes = self._volumes(member, distances)
                scores = _scores(distances, volumes, shares, n_features=len(self._total))
            else:  # the spot's own quadratic term, left out of the scores, averages to a trace
                scores = _linear_scores(self._given, means, precision, shares)
                likelihood -= 0.5 * float((precision * self._total).sum())
            member, log_sum = _softmax(scores)
            likelihood += float(log_sum.mean())
            if abs(likelihood - old) < _TOLERANCE:
                break
            old = likelihood
        return Mixture(self._centre, means, precision, volumes, shares, likelihood)

    def _precision(self, member: Floats, means: Floats, volumes: Floats) -> Floats:
        """Inverse of the covariance that the components share, up to their volumes."""
        total, d = self._total, len(self._total)
        scatter = total
        if self._volume > 0:
            weight = member @ (1 / volumes)  # (n,)
            scatter = (self._given.T * weight) @ self._given / len(member)
        within = scatter - (means.T * (member.sum(axis=0) / volumes / len(member))) @ means
        mean_variance = max(np.trace(within), 0.0) / d
        sphere = self._shrinkage * mean_variance + _FLOOR * np.trace(total) / d
        within = (1 - self._shrinkage) * (within + within.T) / 2 + sphere * np.eye(d)
        precision = np.linalg.inv(within)
        symmetric: Floats = (precision + precision.T) / 2
        return symmetric

    def _volumes(self, member: Floats, distances: Floats) -> Floats:
        """Volume of each component, (k,), as if a domain of the least size with the common volume were part of it."""
        size = member.sum(axis=0)
        own = (member * distances).sum(axis=0) / len(self._total)
        few = max(self._least, 1.0)
        volumes = ((own + few) / (size + few)) ** self._volume
        common: Floats = volumes / np.exp((size * np.log(volumes)).sum() / size.sum())
        return common


def _drawn(X: Floats, k: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Labels (n,) from 0 to k - 1, not all of which need occur, by k-means from starts far apart."""
    from sklearn.cluster import KMeans

    known = KMeans(k, init="k-means++", n_init=1, max_iter=_DRAWN_KMEANS, random_state=int(rng.integers(2**31)))
    return np.asarray(known.fit_predict(X), np.int64)


def _scores(distances: Floats, volumes: Floats, shares: Floats, *, n_features: int) -> Floats:
    """Log of share times density, (n, k), from squared distances, (n, k)."""
    scores: Floats = np.log(shares) - 0.5 * n_features * np.log(volumes) - 0.5 * distances / volumes
    return scores


def _linear_scores(given: Floats, means: Floats, precision: Floats, shares: Floats) -> Floats:
    """Leave out of `_scores`, where all volumes are one, what is then the same for all components of a spot."""
    directions = precision @ means.T  # (d, k)
    scores: Floats = given @ directions - 0.5 * (means.T * directions).sum(axis=0) + np.log(shares)
    return scores


def _distances(given: Floats, means: Floats, precision: Floats) -> Floats:
    """Squared Mahalanobis distance of every spot from every mean, (n, k)."""
    directions = precision @ means.T  # (d, k)
    own = ((given @ precision) * given).sum(axis=1)
    distances: Floats = own[:, None] - 2 * given @ directions + (means.T * directions).sum(axis=0)
    return np.maximum(distances, 0.0)


def _softmax(scores: Floats) -> tuple[Floats, Floats]:
    highest = scores.max(axis=1)
    weight = np.exp(scores - highest[:, None])
    total = weight.sum(axis=1)
    return weight / total[:, None], highest + np.log(total)
