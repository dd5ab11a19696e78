"""How well domains agree with known ones, always beside baselines that need no method.

A score alone says little: layers can be found by position alone, and many annotations by colour or by the number of
molecules captured. Every score therefore comes with its floors: a clustering into the same number of domains, given
only coordinates, only colour, or only three numbers per spot (`depth_numbers`) averaged over the surroundings.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains.histology import histology
from histoscribe.errors import InputError
from histoscribe.expression.mitochondrial import mitochondrial
from histoscribe.expression.normalise import library_size
from histoscribe.graph.smooth import neighbour_mean

# rings of neighbours over which the three numbers of a spot are averaged for their floor
_RINGS = 2


class Score(TypedDict):
    """One score with its floors; `colour` and `depth` are None where a section has no picture or no counts."""

    score: float
    coordinates: float
    colour: float | None
    depth: float | None


class Scores(TypedDict):
    """Agreement of domains with the truth; of every score, 1 is the best.

    `boundary` says whether borders lie where they should. `coherence` is the share of neighbouring pairs with one
    label; it needs no truth, and that of the truth itself is `truth_coherence`. `dropped` counts the spots without a
    known label.

    Examples
    --------
    Domains of layered tissue can score well where coordinates alone do as well:

    >>> import numpy as np
    >>> from histoscribe.domains.metrics import score_domains
    >>> from histoscribe.graph.lattice import lattice_graph
    >>> row, column = (axis.ravel() for axis in np.mgrid[:24, :12])
    >>> xy_um = 200.0 * np.column_stack([column, row])
    >>> graph = lattice_graph(xy_um, kind="square", pitch_um=200.0)
    >>> truth = np.where(row < 12, "cortex", "white matter")
    >>> scores = score_domains(np.where(row < 10, 1, 2), truth, xy_um=xy_um, graph=graph, colour=None, seed=0)
    >>> print(f"{scores['ari']['score']:.1f}; coordinates alone {scores['ari']['coordinates']:.1f}")
    0.7; coordinates alone 0.7
    """

    ari: Score
    nmi: Score
    boundary: Score
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
    depth: NDArray[np.floating] | None = None,
    seed: int,
) -> Scores:
    """Compare domains with known ones, beside the null baselines.

    Parameters
    ----------
    labels, truth
        (n,) domains found and known, any type; of the known, None, NaN and "" are missing, and such spots are dropped.
    xy_um, graph
        Centres of the spots, (n, 2), and spatial neighbours, (n, n).
    colour
        Mean colour under each spot, (n, c); None where there is no picture.
    depth
        From `depth_numbers`; None where there are no counts.
    seed
        Of the baselines' clustering.

    Returns
    -------
    Scores
        With the adjusted Rand index of Hubert and Arabie (1985).

    Raises
    ------
    InputError
        Numbers of spots that differ, or no spot with a known domain.
    """
    labels, truth = np.asarray(labels), np.asarray(truth)
    missing = _checked_truth(labels, truth, len(xy_um))
    known, k = ~missing, len(np.unique(labels))
    code = np.unique(truth[known].astype(str), return_inverse=True)[1]
    floors = _floors(k, xy_um=xy_um, graph=graph, colour=colour, depth=depth, seed=seed)
    inside = sparse.csr_matrix(graph)[known][:, known]
    return Scores(
        ari=_beside(lambda found: adjusted_rand_index(found[known], code), labels, floors),
        nmi=_beside(lambda found: normalised_mutual_information(found[known], code), labels, floors),
        boundary=_beside(lambda found: boundary_agreement(found[known], code, inside), labels, floors),
        coherence=_beside(lambda found: spatial_coherence(found, graph), labels, floors),
        truth_coherence=spatial_coherence(code, inside),
        n_domains=k,
        n_truth=int(code.max()) + 1,
        scored=int(known.sum()),
        dropped=int(missing.sum()),
    )


class _Floors(NamedTuple):
    """Divisions that need no method, (n,) each; None where there is nothing to make one of."""

    coordinates: NDArray[Any]
    colour: NDArray[Any] | None
    depth: NDArray[Any] | None


def _floors(
    k: int,
    *,
    xy_um: NDArray[np.float64],
    graph: sparse.csr_matrix,
    colour: NDArray[np.floating] | None,
    depth: NDArray[np.floating] | None,
    seed: int,
) -> _Floors:
    places = {"xy_um": xy_um, "graph": graph, "seed": seed}
    return _Floors(
        _floor("position", np.asarray(xy_um), k, **places),
        None if colour is None else _floor("colour", np.asarray(colour), k, **places),
        None if depth is None else _depth_floor(np.asarray(depth, np.float64), k, graph=graph, seed=seed),
    )


def _beside(measure: Callable[[NDArray[Any]], float], labels: NDArray[Any], floors: _Floors) -> Score:
    return Score(
        score=measure(labels),
        coordinates=measure(floors.coordinates),
        colour=None if floors.colour is None else measure(floors.colour),
        depth=None if floors.depth is None else measure(floors.depth),
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


def boundary_agreement(labels: NDArray[Any], truth: NDArray[Any], graph: sparse.csr_matrix) -> float:
    """Whether borders run where they should, in [0, 1].

    A border runs between two neighbours of different labels. The score is the harmonic mean of two shares: of the
    found pieces of border that are true, and of the true ones that were found (the F measure of Martin, Fowlkes and
    Malik 2004, doi:10.1109/TPAMI.2004.1273918, on a graph and without tolerance).

    Parameters
    ----------
    labels, truth
        (n,).
    graph
        Spatial neighbours, (n, n).

    Returns
    -------
    1 where neither has a border, 0 where only one has.
    """
    edges = sparse.triu(graph, k=1).tocoo()
    found = labels[edges.row] != labels[edges.col]
    true = truth[edges.row] != truth[edges.col]
    both = int(found.sum() + true.sum())
    return 2 * float((found & true).sum()) / both if both else 1.0


def seed_pair_ari(partitions: Sequence[NDArray[Any]]) -> float:
    """Mean adjusted Rand index over all pairs of divisions of the same spots; 1 where every seed gives one division.

    Raises
    ------
    InputError
        Fewer than two divisions.
    """
    if len(partitions) < 2:
        raise InputError("agreement needs two divisions or more", where="partitions", found=len(partitions))
    pairs = [adjusted_rand_index(a, b) for i, a in enumerate(partitions) for b in partitions[:i]]
    return float(np.mean(pairs))


def depth_numbers(counts: Any, genes: Sequence[str]) -> NDArray[np.float64]:
    """Three numbers per spot that need no method: ln total counts, ln genes found, mitochondrial share.

    Parameters
    ----------
    counts
        (n, g) raw counts, sparse.
    genes
        (g,) symbols or Ensembl identifiers, see `mitochondrial`.

    Returns
    -------
    (n, 3) float64; a column of zeros where no gene is mitochondrial.
    """
    counts = sparse.csr_matrix(counts)
    total = library_size(counts)
    share = np.asarray(counts @ mitochondrial(genes).astype(np.float64)).ravel() / np.maximum(total, 1.0)
    return np.column_stack([np.log1p(total), np.log1p(np.diff(counts.indptr)), share])


def missing_labels(truth: NDArray[Any]) -> NDArray[np.bool_]:
    """Which labels are None, NaN or empty, (n,) bool."""
    import pandas as pd

    empty = np.array([isinstance(label, str) and not label.strip() for label in truth.tolist()], bool)
    return np.asarray(np.asarray(pd.isna(pd.Series(truth)), bool) | empty)


def _depth_floor(depth: NDArray[np.float64], k: int, *, graph: sparse.csr_matrix, seed: int) -> NDArray[np.int64]:
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    unit = (depth - depth.mean(axis=0)) / np.maximum(depth.std(axis=0), np.finfo(np.float64).tiny)
    smooth = neighbour_mean(graph, unit, rounds=_RINGS)
    distinct = len(np.unique(smooth, axis=0))
    with threadpool_limits(limits=1):
        return np.asarray(KMeans(min(k, distinct), n_init=10, random_state=seed).fit_predict(smooth), np.int64)


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
