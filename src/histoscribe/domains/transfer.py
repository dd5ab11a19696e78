"""Domains of a new slide from its picture alone, by a model trained on the domains of sequenced sections.

A multinomial classifier is given each spot's embedding beside the means of its surroundings, standardised within the
section so that another patient's stain does not look like another tissue. Its strength and its calibration are fitted
on held-out sections, or on held-out parts of the only section. Where the tissue is unlike all training tissue, or no
domain is more likely than not, it abstains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import sparse

from histoscribe.domains.efnst_batches import cells
from histoscribe.domains.transfer_features import Space, fit_space, spot_features
from histoscribe.domains.transfer_fit import (
    Evidence,
    Head,
    distance,
    fit_head,
    head_logits,
    held_out,
    smoothed_posterior,
    usual_distance,
)
from histoscribe.errors import ConfigError, InputError
from histoscribe.graph.checks import sorted_by_place

UNLIKE, UNSURE = "unlike", "unsure"
MIN_CONFIDENCE = 0.5
# this share of the training spots lies nearer to a domain than the distance from which a spot is called unlike all
_KNOWN_SHARE = 0.97
# that distance is measured on held-out spots from everywhere: with whole parts held out, nothing would seem new later
_FOLDS = 5
# parts of a single section that are held out in turn: compact ones, because neighbours share information
_PARTS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Transferred:
    """Domains of a slide from its picture.

    Parameters
    ----------
    labels
        (n,) int64, the training sections' domains; 0 where the model abstains.
    confidence
        (n,) float64, the calibrated probability of the likeliest domain, averaged over neighbours.
    likeliest
        (n,) int64, that domain, also where the model abstains.
    reason
        (n,) str: "" where there is a label, "unlike" where the tissue is unlike all domains of the training, "unsure"
        where none of them is likely enough.
    """

    labels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    likeliest: NDArray[np.int64]
    reason: NDArray[np.str_]

    @property
    def abstained(self) -> NDArray[np.bool_]:
        """(n,) whether the model abstains."""
        unknown: NDArray[np.bool_] = self.labels == 0
        return unknown


@dataclass(frozen=True, slots=True, eq=False)
class TransferModel:
    """What `fit_transfer` learned; a handful of arrays.

    Parameters
    ----------
    domains
        (k,) int64, the domains it can predict.
    space, head
        How a spot is described, and the classifier.
    temperature
        Divisor of the logits, so that confidences are frequencies.
    max_distance
        Largest distance to a domain, in standard deviations within domains, at which a spot is like it.
    min_confidence
        Least confidence of a label.
    evidence
        How well held-out training spots were predicted, fit for JSON.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.domains.transfer import fit_transfer
    >>> from histoscribe.graph.lattice import lattice_graph
    >>> row, column = (axis.ravel() for axis in np.mgrid[:12, :12])
    >>> xy_um = 200.0 * np.column_stack([column, row])
    >>> graph = lattice_graph(xy_um, kind="square", pitch_um=200.0)
    >>> domains, rng = 1 + (column >= 6), np.random.default_rng(0)
    >>> one, other, new = (np.outer(domains, [1.0, -1.0]) + rng.normal(0, 0.2, (144, 2)) for _ in range(3))
    >>> model = fit_transfer([one, other], [graph, graph], [domains, domains], xy_um=[xy_um, xy_um])
    >>> found = model.predict(new, graph)
    >>> found.labels[:12]
    array([1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2])
    """

    domains: NDArray[np.int64]
    space: Space
    head: Head
    temperature: float
    max_distance: float
    min_confidence: float
    evidence: dict[str, Any]

    def predict(self, embedding: ArrayLike, graph: sparse.csr_matrix) -> Transferred:
        """Label the spots of a slide.

        Parameters
        ----------
        embedding
            (n, d) of the same encoder and tile size as in training.
        graph
            Spatial neighbours, (n, n), symmetric.

        Raises
        ------
        InputError
            The embedding does not fit the model or the graph, or is not finite.
        """
        checked = _checked(embedding, graph, where="embedding", width=len(self.space.loadings))
        features = spot_features(checked, graph, self.space)
        posterior = smoothed_posterior(head_logits(self.head, features), graph, temperature=self.temperature)
        confidence = posterior.max(axis=1)
        likeliest = self.domains[posterior.argmax(axis=1)]
        reason = np.where(confidence < self.min_confidence, UNSURE, "").astype("<U6")
        reason[distance(self.head, features, graph) > self.max_distance] = UNLIKE
        return Transferred(np.where(reason == "", likeliest, 0), confidence, likeliest, reason)


def fit_transfer(
    embeddings: Sequence[ArrayLike],
    graphs: Sequence[sparse.csr_matrix],
    labels: Sequence[ArrayLike],
    *,
    xy_um: Sequence[NDArray[np.float64]],
    groups: Sequence[str] | None = None,
    min_confidence: float = MIN_CONFIDENCE,
) -> TransferModel:
    """Learn to predict the domains of sequenced sections from their pictures.

    Parameters
    ----------
    embeddings
        One per section, (n_s, d).
    graphs
        Spatial neighbours of each, (n_s, n_s), symmetric.
    labels
        Domains of each, (n_s,) integers that mean the same in all sections; 0 or less where there is none.
    xy_um
        Centres of the spots of each, (n_s, 2), x before y.
    groups
        Patient of each section: what is held out together. None for each section on its own. With one group, quarters
        of it are held out, and the calibration knows nothing of the difference between patients.
    min_confidence
        Least confidence of a label; below it the model abstains.

    Raises
    ------
    InputError
        No sections, lists of different lengths, parts that do not fit each other, or fewer than two domains.
    ConfigError
        A confidence outside [0, 1].
    """
    from threadpoolctl import threadpool_limits

    if not 0 <= min_confidence <= 1:
        raise ConfigError("a confidence lies between 0 and 1", where="min_confidence", found=min_confidence)
    checked, codes = _checked_sections(embeddings, graphs, labels, xy_um)
    # more threads would add up in another order
    with threadpool_limits(limits=1):
        space = fit_space(checked, list(graphs))
        features = [spot_features(e, g, space) for e, g in zip(checked, graphs, strict=True)]
        evidence, domains = _evidence(features, graphs, codes, xy_um, groups)
        out = held_out(evidence)
        head = fit_head(evidence.features, evidence.classes, strength=out.strength, k=evidence.k)
        max_distance = float(np.quantile(usual_distance(evidence), _KNOWN_SHARE))
    sure = out.posterior.max(axis=1) >= min_confidence
    right = out.posterior.argmax(axis=1) == evidence.classes
    summary = {
        "spots": len(right),
        "held_out_groups": len(np.unique(evidence.groups)),
        "held_out_sections": len(set(groups or range(len(checked)))) > 1,
        "held_out_accuracy": round(float(right.mean()), 4),
        "held_out_accuracy_where_sure": round(float(right[sure].mean()), 4) if sure.any() else None,
        "held_out_share_sure": round(float(sure.mean()), 4),
        "strength": out.strength,
    }
    return TransferModel(domains, space, head, out.temperature, max_distance, min_confidence, summary)


def _evidence(
    features: Sequence[NDArray[np.float64]],
    graphs: Sequence[sparse.csr_matrix],
    codes: Sequence[NDArray[np.int64]],
    xy_um: Sequence[NDArray[np.float64]],
    names: Sequence[str] | None,
) -> tuple[Evidence, NDArray[np.int64]]:
    together = np.concatenate(codes)
    known = together > 0
    domains, classes = np.unique(together[known], return_inverse=True)
    graph = sparse.csr_matrix(sparse.block_diag(graphs))[known][:, known]
    # by place, so that the order of the rows does not matter
    folds = np.concatenate([np.argsort(sorted_by_place(np.asarray(xy, np.float64))) % _FOLDS for xy in xy_um])
    return Evidence(
        features=np.concatenate(features)[known],
        classes=classes,
        groups=_held_together(xy_um, names)[known],
        folds=folds[known],
        graph=graph,
        k=len(domains),
    ), domains


def _held_together(xy_um: Sequence[NDArray[np.float64]], groups: Sequence[str] | None) -> NDArray[np.int64]:
    """Say who is held out with whom, (spots,): patients, or compact parts where there is one patient."""
    names = list(groups) if groups is not None else [str(i) for i in range(len(xy_um))]
    code = np.unique(names, return_inverse=True)[1]
    if code.max() > 0:
        return np.repeat(code, [len(xy) for xy in xy_um])
    parts = []
    for xy in xy_um:
        part = np.empty(len(xy), np.int64)
        for i, rows in enumerate(cells(xy, most=-(-len(xy) // _PARTS))):
            part[rows] = i
        parts.append(part)
    return np.concatenate(parts)


def _checked_sections(
    embeddings: Sequence[ArrayLike],
    graphs: Sequence[sparse.csr_matrix],
    labels: Sequence[ArrayLike],
    xy_um: Sequence[NDArray[np.float64]],
) -> tuple[list[NDArray[np.float64]], list[NDArray[np.int64]]]:
    lengths = {"embeddings": len(embeddings), "graphs": len(graphs), "labels": len(labels), "xy_um": len(xy_um)}
    if len(set(lengths.values())) > 1 or not len(embeddings):
        raise InputError("every section needs an embedding, a graph, labels and coordinates", found=lengths)
    width = np.shape(embeddings[0])[-1] if np.ndim(embeddings[0]) else None
    checked = [
        _checked(e, g, where=f"embeddings[{i}]", width=width)
        for i, (e, g) in enumerate(zip(embeddings, graphs, strict=True))
    ]
    codes = [np.asarray(label) for label in labels]
    for i, (embedding, code) in enumerate(zip(checked, codes, strict=True)):
        if code.shape != (len(embedding),) or not np.issubdtype(code.dtype, np.integer):
            raise InputError(
                "labels do not fit the spots",
                where=f"labels[{i}]",
                expected=f"{len(embedding):,} integers",
                found=f"{code.dtype} {code.shape}",
            )
    domains = np.unique(np.concatenate(codes))
    if (domains > 0).sum() < 2:
        raise InputError(
            "there is nothing to distinguish",
            where="labels",
            expected="two domains or more",
            found=domains.tolist(),
        )
    return checked, [code.astype(np.int64) for code in codes]


def _checked(embedding: ArrayLike, graph: sparse.csr_matrix, *, where: str, width: int | None) -> NDArray[np.float64]:
    checked = np.asarray(embedding, np.float64)
    n = graph.shape[0]
    if checked.ndim != 2 or checked.shape != (n, width if width is not None else checked.shape[-1]):
        raise InputError(
            "the embedding does not fit",
            where=where,
            expected=f"({n}, {width})",
            found=checked.shape,
            fix="use the encoder and the tile size of the training sections, and one row per spot of the graph",
        )
    if not np.isfinite(checked).all():
        raise InputError("the embedding has missing or infinite values", where=where, fix="embed the slide again")
    return checked
