"""Spots cut into exactly as many domains as asked for by a Gaussian mixture."""

import numpy as np
from numpy.typing import NDArray

from histoscribe.domains.mixture import SHRINKAGE, MixtureFit
from histoscribe.domains.partition import merge_to


class MixtureCut:
    """A mixture at any number of domains on one set of features; the counterpart of `partition.Partitioner`.

    Parameters
    ----------
    X
        Features, (n, d), rows in the order of their place.
    least
        Spots that a part of the tree should have where a fit starts.
    shrinkage, volume
        Of the mixture's covariance, see `MixtureFit`.
    seed
        Of random starts; None for deterministic ones.
    """

    def __init__(
        self,
        X: NDArray[np.float64],
        *,
        least: float = 1.0,
        shrinkage: float = SHRINKAGE,
        volume: float = 0.0,
        seed: int | None = None,
    ) -> None:
        self._X, self._seed = X, seed
        alike = not np.ptp(X, axis=0).any()
        self._fit = None if alike else MixtureFit(X, least=least, shrinkage=shrinkage, volume=volume)
        self._posteriors: dict[int, NDArray[np.float64]] = {}

    def exactly(self, k: int) -> tuple[NDArray[np.int64], float]:
        """Cut into k domains; (n,) int64 from 0 to k - 1, and infinity: a mixture has no resolution.

        For every component that holds no spot, the domain with the largest spread is split.
        """
        labels = np.unique(self.posterior(k).argmax(axis=1), return_inverse=True)[1].astype(np.int64)
        return split_to(labels, self._X, k), float("inf")

    def posterior(self, k: int) -> NDArray[np.float64]:
        """Probability of each of k components, (n, k); of one where all spots are alike, (n, 1)."""
        if self._fit is None:
            return np.ones((len(self._X), 1))
        if k not in self._posteriors:
            self._posteriors[k] = self._fit.with_components(k, seed=self._seed).posterior(self._X)
        return self._posteriors[k]


def split_to(labels: NDArray[np.int64], X: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Split domains, always the one with the largest sum of squares, until there are k.

    A domain is halved by the sign of its spots' first principal component, or by place where all its spots are alike.

    Parameters
    ----------
    labels
        (n,) from 0 without gaps, at most k different ones.
    X
        (n, d) features, rows in the order of their place.
    k
        Number wanted, up to n.

    Returns
    -------
    (n,) int64 from 0 to k - 1.
    """
    labels = labels.copy()
    while (count := int(labels.max()) + 1) < k:
        spread = np.array([_spread(X[labels == j]) for j in range(count)])
        rows = np.flatnonzero(labels == int(spread.argmax()))
        part = X[rows] - X[rows].mean(axis=0)
        _, singular, axes = np.linalg.svd(part, full_matrices=False)
        first = part @ axes[0] > 0 if singular[0] > 0 else np.arange(len(rows)) >= len(rows) // 2
        if first.all() or not first.any():
            first = np.arange(len(rows)) >= len(rows) // 2
        labels[rows[first]] = count
    return labels if int(labels.max()) + 1 == k else merge_to(labels, X, k)


def _spread(X: NDArray[np.float64]) -> float:
    """Sum of squares about the mean; -1 for a single spot, which cannot be split."""
    return float(((X - X.mean(axis=0)) ** 2).sum()) if len(X) > 1 else -1.0
