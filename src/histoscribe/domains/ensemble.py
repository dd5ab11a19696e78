"""What many divisions of one section agree on: they vote on every spot, one that is typical of them all leading."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import ConfigError

# a lead is looked for among one in so many divisions
_TYPICAL = 4


def agreed(divisions: Sequence[NDArray[np.integer]], k: int) -> tuple[NDArray[np.int64], sparse.csr_matrix]:
    """Vote of divisions that may have different numbers of domains.

    One division into k leads. A domain of another division counts for the leading one that holds most of it, so that
    finer and coarser divisions vote too. Of the quarter of the divisions that are most like all others (mean adjusted
    Rand index), the one whose vote is most unanimous leads.

    Parameters
    ----------
    divisions
        Each (n,), from 0 without gaps; at least one into k.
    k
        Number of domains.

    Returns
    -------
    (n,) labels from 0 to k - 1 with most votes, and the share of votes (n, k) CSR. A domain that the vote would leave
    empty keeps those spots of the leading division that have at least half as many votes for it as any spot has.
    """
    from sklearn.metrics import adjusted_rand_score

    exact = [one for one in divisions if int(one.max()) + 1 == k]
    likeness = [float(np.mean([adjusted_rand_score(one, other) for other in divisions])) for one in exact]
    typical = np.argsort(-np.array(likeness), kind="stable")[: -(-len(exact) // _TYPICAL)]
    best, most = None, -1.0
    for lead in (exact[i] for i in typical):
        labels, share = _led(np.asarray(lead, np.int64), divisions, k)
        support = round(float(np.asarray(share[np.arange(len(lead)), labels]).mean()), 9)
        if support > most:
            best, most = (labels, share), support
    if best is None:
        raise ConfigError("no division has this number of domains", where="k", found=k)
    return best


def _led(
    lead: NDArray[np.int64], divisions: Sequence[NDArray[np.integer]], k: int
) -> tuple[NDArray[np.int64], sparse.csr_matrix]:
    """Labels and shares of votes where one division leads."""
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
    lost = np.setdiff1d(np.arange(k), winner)
    for domain in lost:
        votes = np.where(lead == domain, share[:, [domain]].toarray().ravel(), 0.0)
        winner[votes >= votes.max() / 2] = domain
    # giving one back may have emptied another
    return (winner if len(np.unique(winner)) == k else lead), share
