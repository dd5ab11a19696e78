"""A graph cut into exactly as many communities as asked for."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains.communities import By, communities

# above this many spots, the first and slowest steps are done once, and the search runs on their small communities
_FINE_LIMIT = 500
_N_SMALL = 200
_STEPS = 11
_RESOLUTIONS = (1e-2, 1e2)


class Partitioner:
    """Leiden or Louvain at any number of communities on one graph; remembers every resolution that it tried.

    Parameters
    ----------
    graph
        (n, n), symmetric, weights positive.
    X
        Features, (n, d): say which communities to merge where no resolution gives the number.
    seed
        Sets the order in which spots are visited.
    by
        What finds the communities.
    """

    def __init__(
        self,
        graph: sparse.csr_matrix,
        X: NDArray[np.float64],
        *,
        seed: int,
        by: By = "leiden",
    ) -> None:
        self._seed = seed
        self._by = by
        self._fine = graph
        self._X = X
        self._small = np.arange(len(X))  # (n,) small community of each spot
        self._graph = graph
        if len(X) > _FINE_LIMIT:
            self._small = at_least(graph, _N_SMALL, seed=seed, start=_N_SMALL / 10, by=by)
            member = membership(self._small)
            self._graph = sparse.csr_matrix(member.T @ graph @ member)
        self._tried: dict[float, NDArray[np.int64]] = {}

    def exactly(self, k: int) -> tuple[NDArray[np.int64], float]:
        """Cut into k communities by bisection on the logarithm of the resolution.

        Where every resolution gives fewer or more, the partition with the fewest communities above k is taken, and
        pairs that raise the variance within communities least are merged until k are left (Ward 1963).

        Parameters
        ----------
        k
            From 1 to n.

        Returns
        -------
        (n,) int64 from 0 to k - 1, and the resolution at which the partition was found.
        """
        low, high = _RESOLUTIONS
        enough: list[tuple[int, float]] = []
        for _ in range(_STEPS):
            # every search halves the same interval, so that searches for other numbers share their first steps
            middle = float(np.sqrt(low * high))
            count = int(self._at(middle).max()) + 1
            if count >= k:
                enough.append((count, middle))
            if count == k:
                break
            low, high = (middle, high) if count < k else (low, middle)
        if not enough:
            labels = at_least(self._fine, k, seed=self._seed, start=_RESOLUTIONS[1], by=self._by)
            return merge_to(labels, self._X, k), float("inf")
        _, resolution = min(enough)
        return merge_to(self._at(resolution)[self._small], self._X, k), resolution

    def _at(self, resolution: float) -> NDArray[np.int64]:
        if resolution not in self._tried:
            self._tried[resolution] = communities(self._graph, resolution=resolution, seed=self._seed, by=self._by)
        return self._tried[resolution]


def merge_to(labels: NDArray[np.int64], X: NDArray[np.float64], k: int) -> NDArray[np.int64]:
    """Merge communities, always the pair that raises the variance within them least, until k are left.

    Parameters
    ----------
    labels
        (n,) from 0 without gaps, at least k different ones.
    X
        (n, d) features.
    k
        Number wanted.

    Returns
    -------
    (n,) int64 from 0 to k - 1.
    """
    labels = labels.copy()
    member = membership(labels)
    size = np.asarray(member.sum(axis=0)).ravel()  # (c,)
    centre = (member.T @ X) / size[:, None]  # (c, d)
    while len(size) > k:
        squared = (centre**2).sum(axis=1)
        gap = np.maximum(squared[:, None] + squared - 2 * centre @ centre.T, 0.0)
        cost = gap * (size[:, None] * size / (size[:, None] + size))
        np.fill_diagonal(cost, np.inf)
        first, second = sorted(int(i) for i in np.unravel_index(cost.argmin(), cost.shape))
        total = size[first] + size[second]
        centre[first] = (centre[first] * size[first] + centre[second] * size[second]) / total
        size[first] = total
        centre, size = np.delete(centre, second, axis=0), np.delete(size, second)
        labels[labels == second] = first
        labels[labels > second] -= 1
    return labels


def at_least(graph: sparse.csr_matrix, k: int, *, seed: int, start: float, by: By = "leiden") -> NDArray[np.int64]:
    """Communities at the first resolution of start, 2 start, 4 start, ... that gives k of them or more.

    Ends for every k up to the number of spots, since at a high enough resolution every spot is alone.
    """
    resolution = start
    while True:
        labels = communities(graph, resolution=resolution, seed=seed, by=by)
        if labels.max() + 1 >= k:
            return labels
        resolution *= 2


def membership(labels: NDArray[np.integer]) -> sparse.csr_matrix:
    """One column for each label from 0, a one where a row has it; (n, K) CSR."""
    n = len(labels)
    return sparse.csr_matrix((np.ones(n), (np.arange(n), labels)), shape=(n, int(labels.max()) + 1))
