"""Parts of a section from a tree of its spots: a deterministic start for a division.

Two spots, then groups of spots, are joined where that raises the variance within groups least (Ward 1963). Cut into
exactly k parts, such a tree spends some of them on single odd spots. Here it is cut lower, until k parts have a useful
size, and the other spots go to the nearest of these.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.cluster import hierarchy
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist

Floats = NDArray[np.float64]

# a tree takes time and memory by the square of the spots; so many of them, evenly spread, show every part that counts
_TREE_SPOTS = 1_500


class SpotTree:
    """The tree of a section's spots, or of an even sample of them.

    Parameters
    ----------
    X
        Features, (n, d), rows in the order of their place, at least two.
    """

    def __init__(self, X: Floats) -> None:
        self._share = min(1.0, _TREE_SPOTS / len(X))
        self._sample = X[np.linspace(0, len(X) - 1, min(len(X), _TREE_SPOTS)).astype(np.intp)]  # (m, d)
        self._merges = hierarchy.linkage(pdist(self._sample), method="ward")  # (m - 1, 4)

    def means(self, k: int, *, least: float = 1.0) -> Floats:
        """Mean features of k parts, (k, d).

        Parameters
        ----------
        k
            From 1 to the number of spots.
        least
            Spots of the section that a part should have; fewer where the tree has not k such parts.
        """
        m = len(self._sample)
        least *= self._share
        while (parts := self._parts_with(k, least)) is None:
            least = least / 2 if least > 1 else 0.0
        merges = self._merges[: m - parts]
        node = m + np.arange(len(merges))
        ends = np.concatenate([merges[:, 0], merges[:, 1]]).astype(np.intp)
        joined = sparse.csr_matrix((np.ones(2 * len(merges)), (np.tile(node, 2), ends)), shape=(2 * m, 2 * m))
        part = np.unique(connected_components(joined, directed=False)[1][:m], return_inverse=True)[1]
        size = np.bincount(part)
        large = np.sort(np.argsort(-size, kind="stable")[:k])
        total = np.stack([np.bincount(part, weights=column) for column in self._sample.T], axis=1)  # (parts, d)
        means: Floats = (total / size[:, None])[large]
        return means

    def _parts_with(self, k: int, least: float) -> int | None:
        """Fewest parts of which k have at least so many of the sampled spots."""
        m = len(self._sample)
        size = np.concatenate([np.ones(m), self._merges[:, 3]])  # of every node of the tree
        large = (size >= least).astype(np.int64)
        ends = self._merges[:, :2].astype(np.intp)
        # undoing the merges from the last one on, one part becomes two
        gained = (large[ends].sum(axis=1) - large[m:])[::-1]
        count = np.concatenate([[large[-1]], large[-1] + np.cumsum(gained)])
        enough = np.flatnonzero(count >= k)
        return int(enough[0]) + 1 if len(enough) else None


def nearest(X: Floats, means: Floats) -> NDArray[np.int64]:
    """Which of the means, (k, d), is nearest to each spot, (n, d); (n,) int64, the first of equally near ones."""
    return np.asarray(((means**2).sum(axis=1) - 2 * X @ means.T).argmin(axis=1), np.int64)


def means_of(X: Floats, labels: NDArray[np.int64], k: int) -> Floats:
    """Mean features of each label 0 to k - 1, (k, d), all of which occur."""
    total = np.stack([np.bincount(labels, weights=column, minlength=k) for column in X.T], axis=1)
    means: Floats = total / np.bincount(labels, minlength=k)[:, None]
    return means
