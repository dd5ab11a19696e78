"""What many divisions of one section agree on: they vote on every spot, matched to the most typical one of them."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import ConfigError

# the leading division is chosen among the most typical: one in so many of all
_TYPICAL = 4


@dataclass(frozen=True, slots=True, eq=False)
class Agreed:
    """What divisions agree on.

    Parameters
    ----------
    labels
        (n,) domains from 0 to k - 1.
    share
        (n, k) CSR, the share of the votes of each spot for each domain.
    holds
        Whether the vote alone gives every domain as many spots as it should have.
    """

    labels: NDArray[np.int64]
    share: sparse.csr_matrix
    holds: bool

    @property
    def support(self) -> float:
        """Mean share of the votes for the domain that a spot is given."""
        return round(float(np.asarray(self.share[np.arange(len(self.labels)), self.labels]).mean()), 9)


def agreed(divisions: Sequence[NDArray[np.integer]], k: int, *, least: float = 1.0) -> Agreed:
    """Vote of divisions that may have different numbers of domains.

    One division into k domains leads. A domain of another division votes for the leading domain that holds most of it,
    so finer and coarser divisions vote too. Each of the quarter of the divisions that are most like all others (mean
    adjusted Rand index) is tried as the leader, and the most unanimous vote wins; votes in which no domain becomes too
    small come first.

    Parameters
    ----------
    divisions
        Each (n,), from 0 without gaps; at least one into k.
    k
        Number of domains.
    least
        Spots that a domain should have.

    Returns
    -------
    For each spot the domain with most votes. A domain that the vote would leave with fewer spots than `least` keeps all
    spots of the leading division: with few votes, but not tiny.
    """
    from sklearn.metrics import adjusted_rand_score

    exact = [one for one in divisions if int(one.max()) + 1 == k]
    likeness = [float(np.mean([adjusted_rand_score(one, other) for other in divisions])) for one in exact]
    typical = np.argsort(-np.array(likeness), kind="stable")[: -(-len(exact) // _TYPICAL)]
    if not exact:
        raise ConfigError("no division has this number of domains", where="k", found=k)
    votes = [_led(np.asarray(exact[i], np.int64), divisions, k, least) for i in typical]
    return max(votes, key=lambda one: (one.holds, one.support))


def _led(lead: NDArray[np.int64], divisions: Sequence[NDArray[np.integer]], k: int, least: float) -> Agreed:
    """Vote where one division leads."""
    n = len(lead)
    columns = []
    for one in divisions:
        parts = int(one.max()) + 1
        together = np.bincount(np.asarray(one, np.int64) * k + lead, minlength=parts * k).reshape(parts, k)
        columns.append(together.argmax(axis=1)[one])
    rows = np.tile(np.arange(n), len(divisions))
    share = sparse.csr_matrix((np.ones(len(rows)), (rows, np.concatenate(columns))), shape=(n, k))
    share.sum_duplicates()
    share.data /= len(divisions)
    winner = np.asarray(share.argmax(axis=1)).ravel().astype(np.int64)
    crumbs = np.flatnonzero(np.bincount(winner, minlength=k) < max(least, 1))
    for domain in crumbs:
        winner[lead == domain] = domain
    # giving one back may have emptied another
    return Agreed(winner if len(np.unique(winner)) == k else lead, share, not len(crumbs))
