"""The same section clustered again and again, each time a little disturbed: how sure is each label, how many domains.

Each repeat averages a spot with a random half of its neighbours and visits the spots in another order. What changes
from repeat to repeat is what the data do not decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linear_sum_assignment

from histoscribe.domains.clustering import Cut, Divider
from histoscribe.domains.patches import patch_graph, patch_means, patches
from histoscribe.graph.smooth import neighbour_mean

_SHARE_OF_NEIGHBOURS = 0.5
# Cutting any section in two is stable, because one border is easily found again: two domains are chosen only where no
# other number comes near in stability. Set on synthetic fields, never on annotated sections.
_SHARE_OF_TWO = 0.75
_AS_GOOD = 0.02
# under this the repeats agree on no number: then fewer domains are reported, not more
_AGREED = 0.6
# at a finer level, divisions agree better by this much than those into one domain fewer: more than random variation
_RISE = 0.05
_SHARE_OF_LEVEL = 0.75
_MOST_STABLE = (
    "most stable number from 3 up by mean pairwise ARI over disturbed repeats, of several as good the largest, or the "
    f"smallest where none reaches {_AGREED:g}; 2 where no other comes near"
)
_FINEST = (
    "finest level that holds: the last number whose stability (mean pairwise ARI over disturbed repeats) rises above "
    f"that of one domain fewer by more than {_RISE:g}, to {_AGREED:g} or more and {_SHARE_OF_LEVEL:.0%} of the highest"
)
# a number is admissible if it has at least this share of the chosen one's stability
_ADMISSIBLE = 0.9


@dataclass(frozen=True, slots=True, eq=False)
class Repeats:
    """A clustering and its disturbed repeats, ready to be cut into any number of domains.

    Parameters
    ----------
    patch
        (n,) the patch of each spot; patches are what is clustered (see `patches`).
    cuts
        The undisturbed one first.
    """

    patch: NDArray[np.int64]
    cuts: tuple[Cut, ...]


def repeats(
    X: NDArray[np.float64], *, graph: sparse.csr_matrix, n_repeats: int, seed: int, divider: Divider
) -> Repeats:
    """Cluster a section once as it is and several times disturbed.

    Parameters
    ----------
    X
        Joined features, (n, d), not yet averaged over neighbours.
    graph
        Spatial neighbours, (n, n), symmetric.
    n_repeats
        Number of disturbed ones.
    seed
        Of the disturbances and of the communities.
    divider
        How each repeat is divided.
    """
    mean = neighbour_mean(graph, X)
    patch = patches(mean, graph=graph, seed=seed)
    touching = patch_graph(graph, patch)
    cuts = []
    for i, child in enumerate([None, *np.random.SeedSequence(seed).spawn(n_repeats)]):
        if child is not None:
            mean = neighbour_mean(thinned(graph, np.random.default_rng(child)), X)
        features = patch_means(mean, patch)
        cuts.append(divider.cut(features, graph=touching, seed=seed + i))
    return Repeats(patch, tuple(cuts))


def vote(partitions: Sequence[NDArray[np.int64]], k: int) -> tuple[NDArray[np.int64], sparse.csr_matrix]:
    """Let the repeats vote on every spot's domain.

    Each partition's labels are first matched to those of the first, so that as many spots as possible agree
    (Hungarian algorithm).

    Parameters
    ----------
    partitions
        Each (n,), 0 to k - 1.
    k
        Number of domains.

    Returns
    -------
    (n,) the label with most votes, and the share of votes for each label, (n, k) CSR. Where the vote would leave a
    domain empty, the labels are those of the first partition.
    """
    first = partitions[0]
    n = len(first)
    rows = np.tile(np.arange(n), len(partitions))
    columns = np.concatenate([matched(labels, first, k) for labels in partitions])
    share = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(n, k))
    share.sum_duplicates()
    share.data /= len(partitions)
    winner = np.asarray(share.argmax(axis=1)).ravel().astype(np.int64)
    return (winner if len(np.unique(winner)) == k else first), share


def matched(labels: NDArray[np.int64], reference: NDArray[np.int64], k: int) -> NDArray[np.int64]:
    """Rename labels 0 to k - 1, (n,), so that as many as possible equal the reference's."""
    together = np.zeros((k, k))
    np.add.at(together, (labels, reference), 1)
    own, other = linear_sum_assignment(together, maximize=True)
    name = np.empty(k, np.int64)
    name[own] = other
    return name[labels]


def choose_number(cuts: Sequence[Cut], *, largest: int, finest: bool = False) -> dict[str, Any]:
    """Choose the number of domains on which disturbed repeats agree best, and list the others that hold.

    The stability of a number is the mean adjusted Rand index between pairs of repeats. The most stable number from
    three up is chosen; of several equally good ones the largest, or the smallest where the repeats agree on none of
    them (under 0.6). Two is chosen only where nothing else is nearly as stable.

    Parameters
    ----------
    cuts
        From `repeats`.
    largest
        Last number to try, from 2.
    finest
        Whether to choose the finest level that holds rather than the most stable one: the last number that is more
        stable than one domain fewer by more than 0.05, and has three quarters of the highest stability or more. A
        division into a few large parts is always stable, and says least.

    Returns
    -------
    {"numbers", "stability", "chosen", "as_good", "admissible", "levels", "agreed", "rule"}, fit for JSON. `chosen`
    is one of `as_good`; `admissible` numbers are about as stable; `levels` are stable and more so than those beside
    them.
    """
    from sklearn.metrics import adjusted_rand_score

    numbers = list(range(2, largest + 1))
    curve = []
    for k in numbers:
        found = [cut.exactly(k)[0] for cut in cuts]
        pairs = [adjusted_rand_score(a, b) for i, a in enumerate(found) for b in found[:i]]
        curve.append(float(np.mean(pairs)))
    rule = _MOST_STABLE
    positions = _most_stable(curve)
    if finest and positions != [0] and (last := _finest(curve)):
        positions, rule = last, _FINEST
    as_good = [position + 2 for position in positions]
    agreed = max(curve[k - 2] for k in as_good) >= _AGREED
    chosen = max(as_good) if agreed else min(as_good)
    least = _ADMISSIBLE * curve[chosen - 2]
    return {
        "numbers": numbers,
        "stability": [round(value, 4) for value in curve],
        "chosen": chosen,
        "as_good": as_good,
        "admissible": [k for k, stability in zip(numbers, curve, strict=True) if stability >= least],
        "levels": _peaks(curve),
        "agreed": agreed,
        "rule": rule,
    }


def _peaks(curve: Sequence[float]) -> list[int]:
    """Numbers at which repeats agree, and agree better than with one domain more or fewer: levels of a hierarchy."""
    inner = range(1, len(curve) - 1)
    return [i + 2 for i in inner if curve[i] >= _AGREED and curve[i] > max(curve[i - 1], curve[i + 1])]


def _most_stable(curve: Sequence[float]) -> list[int]:
    """Positions of the numbers to choose from in a curve that starts with the stability of two domains."""
    if len(curve) == 1 or max(curve[1:]) < _SHARE_OF_TWO * curve[0]:
        return [0]
    return [i for i, stability in enumerate(curve) if i > 0 and stability >= max(curve[1:]) - _AS_GOOD]


def _finest(curve: Sequence[float]) -> list[int]:
    """Positions of the finest level that holds, and of the numbers after it that are as stable; none without a rise."""
    enough = max(_AGREED, _SHARE_OF_LEVEL * max(curve))
    rising = [i for i in range(1, len(curve)) if curve[i] >= enough and curve[i] > curve[i - 1] + _RISE]
    if not rising:
        return []
    last = rising[-1]
    end = next((i for i in range(last, len(curve)) if curve[i] < curve[last] - _AS_GOOD), len(curve))
    highest = max(curve[last:end])
    return [i for i in range(last, end) if curve[i] >= highest - _AS_GOOD]


def thinned(graph: sparse.csr_matrix, rng: np.random.Generator) -> sparse.csr_matrix:
    """Leave out half of the edges of a symmetric graph, (n, n) CSR, drawn by `rng`."""
    edges = sparse.triu(graph, k=1).tocoo()
    keep = rng.random(edges.nnz) < _SHARE_OF_NEIGHBOURS
    half = sparse.csr_matrix((edges.data[keep], (edges.row[keep], edges.col[keep])), shape=graph.shape)
    return sparse.csr_matrix(half + half.T)
