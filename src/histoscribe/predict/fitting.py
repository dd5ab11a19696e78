"""Fitting a head the honest way: once on all training rows, and once per inner fold for what needs unseen rows.

The inner out-of-fold predictions say how wrong a head is on patients or sections that it has not seen; intervals,
cards and stacks are made from them, so that none of these ever looks at the held-out side.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, nearest
from histoscribe.expression.ceiling import noise_ceiling
from histoscribe.expression.targets import Target
from histoscribe.predict import HEADS
from histoscribe.predict.audit import Ledger
from histoscribe.predict.conformal import Conformal
from histoscribe.predict.data import Grouping, Observed, grouping_of, inputs_of
from histoscribe.predict.gene_card import GeneCard, OutOfFold, make_cards
from histoscribe.predict.head import Head, Inputs, Matrix
from histoscribe.predict.splits import inner_folds

COVERS = ("scaler", "PCA", "strength", "weights")
# of most folds within the training: more cost time and change little
_INNER = 5


@dataclass(frozen=True, slots=True, eq=False)
class Training:
    """The training side of a fold, or of a model, ready for heads.

    Parameters
    ----------
    sections
        As they were read.
    target
        Fitted on them.
    X, Y
        Their rows and targets, (n, t).
    grouping
        What must stay together.
    ceilings
        Section to the (t,) noise ceiling of its targets.
    """

    sections: Sequence[Observed]
    target: Target
    X: Inputs
    Y: NDArray[np.float32]
    grouping: Grouping
    ceilings: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True, slots=True, eq=False)
class Unseen:
    """Inner out-of-fold predictions of all training rows.

    Parameters
    ----------
    P
        (n, t); every row by a model that had not seen its group.
    groups
        (n,) the groups, and what they are: "patient", "section" or "block".
    kind
        What a group is.
    train_mean
        (n, t) mean of the rows that the row's model was fitted on.
    """

    P: Matrix
    groups: NDArray[np.str_]
    kind: str
    train_mean: Matrix


def make_head(name: str, options: Mapping[str, Any] | None = None, *, seed: int = 0) -> Head:
    """Make an unfitted head by name.

    Raises
    ------
    ConfigError
        No such head, or an option that it does not have.
    """
    kind = HEADS.get(name)
    known = inspect.signature(kind).parameters
    for option in options or {}:
        if option not in known:
            raise ConfigError(
                f"the head {name!r} has no option {option!r}",
                where="heads",
                mend=nearest(option, known) if known else "leave the option out",
            )
    given = dict(options or {})
    if "seed" in known:
        given.setdefault("seed", seed)
    return kind(**given)


def prepare_training(sections: Sequence[Observed], target: Target, ledger: Ledger, *, seed: int) -> Training:
    """Fit the target on the training sections and lay out their rows.

    Raises
    ------
    InputError
        What the target or the sections' features refuse.
    """
    measured = [section.require_measured() for section in sections]
    target.fit(measured)
    ledger.note_names("target", getattr(target, "fitted_on_", ()), ("genes", "scale"))
    # features are standardised section by section: nothing of that is learned elsewhere
    ledger.note_colours()
    Y = np.concatenate([target.transform(one) for one in measured])
    ceilings = {one.name: noise_ceiling(target, one, seed=seed) for one in measured}
    return Training(sections, target, inputs_of(sections), Y, grouping_of(sections), ceilings)


def predict_unseen(name: str, training: Training, ledger: Ledger, *, options: Mapping[str, Any], seed: int) -> Unseen:
    """Predict every training row by a head that had not seen its patient, section or block."""
    n = len(training.Y)
    kind, groups = training.grouping.of(np.arange(n))
    P, mean = np.empty_like(training.Y), np.empty_like(training.Y)
    for k, (fit, held) in enumerate(inner_folds(groups, max_folds=_INNER), 1):
        _, inner = training.grouping.of(fit)
        head = ledger.fit(
            make_head(name, options, seed=seed),
            training.X.rows(fit),
            training.Y[fit],
            inner,
            part=f"{name}, inner fold {k}",
            covers=COVERS,
        )
        P[held] = head.predict(without_depth(training.X.rows(held)))
        mean[held] = training.Y[fit].mean(axis=0, dtype=np.float64)
    return Unseen(P, groups, kind, mean)


def fit_whole(name: str, training: Training, ledger: Ledger, *, options: Mapping[str, Any], seed: int) -> Head:
    """Fit a head on all training rows."""
    _, groups = training.grouping.of(np.arange(len(training.Y)))
    head = make_head(name, options, seed=seed)
    return ledger.fit(head, training.X, training.Y, groups, part=name, covers=COVERS)


def fit_intervals(training: Training, unseen: Unseen, *, level: float) -> Conformal:
    """Make intervals from the residuals of unseen rows."""
    return Conformal(level=level).fit(training.Y - unseen.P, unseen.groups, predictions=unseen.P)


def cards_of(training: Training, unseen: Unseen) -> list[GeneCard]:
    """Make a card per target from unseen rows, section by section (block by block of a single section)."""
    labels = np.asarray(training.X.section)
    if len(set(labels.tolist())) < 2:
        labels = unseen.groups
    parts = []
    for name in dict.fromkeys(labels.tolist()):
        rows = np.flatnonzero(labels == name)
        parts.append(
            OutOfFold(
                Y=training.Y[rows],
                P=unseen.P[rows],
                train_mean=unseen.train_mean[rows].mean(axis=0),
                depth=None if training.X.depth is None else training.X.depth[rows],
                ceiling=training.ceilings[str(np.asarray(training.X.section)[rows[0]])],
            )
        )
    return make_cards(training.target.names_, parts)


def without_depth(X: Inputs) -> Inputs:
    """Take away what a slide without counts does not have."""
    return Inputs(X.blocks, X.tiles, X.section, None)
