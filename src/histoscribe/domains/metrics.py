"""How well domains agree with what is known, always beside what needs no method at all.

A score says little alone: layers are found by their place, and many annotations by colour. Every score therefore comes
with its floors: the same clustering into the same number of domains, given only coordinates, or only colour.
"""

from collections.abc import Callable
from typing import Any, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains.histology import histology
from histoscribe.errors import InputError


class Score(TypedDict):
    """One score with its floors; `colour` is None where no colour was given."""

    score: float
    coordinates: float
    colour: float | None


class Scores(TypedDict):
    """Agreement of domains with the truth; of every score, 1 is the best.

    `coherence` is the share of neighbouring pairs with one label; it needs no truth, and that of the truth itself is
    `truth_coherence`. `dropped` counts the spots whose truth is missing.
    """

    ari: Score
    nmi: Score
    coherence: Score
    truth_coherence: float
    n_domains: int
    n_truth: int
    scored: int
    dropped: int


def score_domains(
    labels: NDArray[Any],
    truth: NDArray[Any],
    *,
    xy_um: NDArray[np.float64],
    graph: sparse.csr_matrix,
    colour: NDArray[np.floating] | None,
    seed: int,
) -> Scores:
    """Compare domains with known ones, beside the null baselines.

    Parameters
    ----------
    labels
        (n,) domains found.
    truth
        (n,) known ones, any type; None, NaN and "" are missing, and such spots are dropped from the scores.
    xy_um
        Centres of the spots, (n, 2).
    graph
        Spatial neighbours, (n, n).
    colour
        Mean colour under each spot, (n, c); None where there is no picture.
    seed
        Of the baselines' clustering.

    Returns
    -------
    Scores
        Adjusted Rand index (Hubert and Arabie 1985), normalised mutual information, spatial coherence.

    Raises
    ------
    InputError
        Numbers of spots that differ, or no spot with a known domain.
    """
    labels, truth = np.asarray(labels), np.asarray(truth)
    missing = _checked_truth(labels, truth, len(xy_um))
    known, k = ~missing, len(np.unique(labels))
    code = np.unique(truth[known].astype(str), return_inverse=True)[1]

    coordinates = _floor("position", np.asarray(xy_um), k, xy_um=xy_um, graph=graph, seed=seed)
    by_colour = None if colour is None else _floor("colour", np.asarray(colour), k, xy_um=xy_um, graph=graph, seed=seed)

    def beside(measure: Callable[[NDArray[Any]], float]) -> Score:
        return Score(
            score=measure(labels),
            coordinates=measure(coordinates),
            colour=None if by_colour is None else measure(by_colour),
        )

    return Scores(
        ari=beside(lambda found: adjusted_rand_index(found[known], code)),
        nmi=beside(lambda found: normalised_mutual_information(found[known], code)),
        coherence=beside(lambda found: spatial_coherence(found, graph)),
        truth_coherence=spatial_coherence(code, graph[known][:, known]),
        n_domains=k,
        n_truth=int(code.max()) + 1,
        scored=int(known.sum()),
        dropped=int(missing.sum()),
    )


def _checked_truth(labels: NDArray[Any], truth: NDArray[Any], n: int) -> NDArray[np.bool_]:
    if labels.shape != (n,) or truth.shape != (n,):
        raise InputError(
            "domains, truth and coordinates have different numbers of spots",
            where="labels",
            expected=n,
            found=f"labels {labels.shape}, truth {truth.shape}",
        )
    missing = missing_labels(truth)
    if missing.all():
        raise InputError("no spot has a known domain", where="truth", found=f"{n:,} spots without a label")
    return missing


def adjusted_rand_index(labels: NDArray[Any], truth: NDArray[Any]) -> float:
    """Agreement on which pairs of spots belong together; 1 for equal partitions, 0 on average for random ones."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(truth, labels))


def normalised_mutual_information(labels: NDArray[Any], truth: NDArray[Any]) -> float:
    """Mutual information over the arithmetic mean of the entropies; in [0, 1]."""
    from sklearn.metrics import normalized_mutual_info_score

    return float(normalized_mutual_info_score(truth, labels))


def spatial_coherence(labels: NDArray[Any], graph: sparse.csr_matrix) -> float:
    """Share of neighbouring pairs with one label, in [0, 1]; NaN where no spot has a neighbour.

    Parameters
    ----------
    labels
        (n,).
    graph
        Spatial neighbours, (n, n).
    """
    edges = sparse.triu(graph, k=1).tocoo()
    return float(np.mean(labels[edges.row] == labels[edges.col])) if edges.nnz else float("nan")


def missing_labels(truth: NDArray[Any]) -> NDArray[np.bool_]:
    """Which labels are None, NaN or empty, (n,) bool."""
    import pandas as pd

    empty = np.array([isinstance(label, str) and not label.strip() for label in truth.tolist()], bool)
    return np.asarray(np.asarray(pd.isna(pd.Series(truth)), bool) | empty)


def _floor(
    block: str,
    features: NDArray[Any],
    k: int,
    *,
    xy_um: NDArray[np.float64],
    graph: sparse.csr_matrix,
    seed: int,
) -> NDArray[np.int64]:
    if not np.ptp(features, axis=0).any():  # a picture of one colour: the floor is to know nothing
        return np.ones(len(features), np.int64)
    blocks = {block: features}
    return histology(blocks, graph=graph, xy_um=xy_um, n_domains=k, seed=seed, weights={block: 1.0}).labels
