"""What many divisions of one section agree on: they vote on every spot, one that is typical of them all leading."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import ConfigError

# a lead is looked for among one in so many divisions
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

    One division into k leads. A domain of another division counts for the leading one that holds most of it, so that
    finer and coarser divisions vote too. Of the quarter of the divisions that are most like all others (mean adjusted
    Rand index), the one whose vote is most unanimous leads; votes that leave every domain a place come first.

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
    The domains with most votes. One that the vote would leave with fewer spots than `least` keeps all that the leading
    division gives it: few votes are for it, but it is no crumb.
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
