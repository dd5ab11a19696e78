"""Fitting a head: once on all training rows, and once per inner fold for predictions of unseen rows.

The inner out-of-fold predictions show how wrong a head is on patients or sections that it has not seen. Intervals,
cards and stacks are made from them, so that none of these uses the held-out side.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, nearest
from histoscribe.expression.ceiling import noise_ceiling
from histoscribe.expression.counted import Counted
from histoscribe.expression.gene_target import GeneTarget
from histoscribe.expression.measured import Measured
from histoscribe.expression.precision import spot_weights
from histoscribe.expression.select import counts_of
from histoscribe.expression.targets import Target
from histoscribe.predict import HEADS
from histoscribe.predict.audit import Ledger
from histoscribe.predict.conformal import Conformal
from histoscribe.predict.count_intervals import CountIntervals
from histoscribe.predict.data import Grouping, Observed, grouping_of, inputs_of
from histoscribe.predict.gene_card import GeneCard, OutOfFold, make_cards
from histoscribe.predict.head import Head, Inputs, Matrix
from histoscribe.predict.nested import twice_unseen
from histoscribe.predict.patient_shift import mean_and_spread, patient_shift
from histoscribe.predict.splits import Index, inner_folds

COVERS = ("scaler", "PCA", "strength", "weights")
# at most so many folds within the training: more cost time and change little
INNER_FOLDS = 5


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
    counted
        Section to the counts of its targets; empty where these are no genes.
    """

    sections: Sequence[Observed]
    target: Target
    X: Inputs
    Y: NDArray[np.float32]
    grouping: Grouping
    ceilings: Mapping[str, NDArray[np.float64]]
    counted: Mapping[str, Counted]


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
        No such head, or an option or a preset that it does not have.
    """
    kind = HEADS.get(name)
    given = with_preset(name, options or {})
    known = inspect.signature(kind).parameters
    for option in given:
        if option not in known:
            raise ConfigError(
                f"the head {name!r} has no option {option!r}",
                where="heads",
                fix=nearest(option, known) if known else "leave the option out",
            )
    if "seed" in known:
        given.setdefault("seed", seed)
    return kind(**given)


def with_preset(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Put the options that a head's `preset` stands for in its place; what is given beside it wins.

    Raises
    ------
    ConfigError
        No such head, or a preset that it does not have.
    """
    given = dict(options)
    if "preset" not in given:
        return given
    preset, presets = given.pop("preset"), HEADS.get(name).presets
    if preset not in presets:
        raise ConfigError(
            f"the head {name!r} has no preset {preset!r}",
            where="heads",
            fix=nearest(str(preset), presets) if presets else "leave the preset out",
        )
    return {**presets[preset], **given}


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
    # features are standardised section by section: no other section is involved
    ledger.note_colours()
    Y = np.concatenate([target.transform(one) for one in measured])
    ceilings = {one.name: noise_ceiling(target, one, seed=seed) for one in measured}
    counted = {one.name: target.counted(one) for one in measured} if isinstance(target, GeneTarget) else {}
    X = replace(inputs_of(sections), weight=weights_of(measured, target))
    return Training(sections, target, X, Y, grouping_of(sections), ceilings, counted)


def weights_of(measured: Sequence[Measured], target: Target) -> NDArray[np.float64] | None:
    """Weigh the spots of all sections, (n,), by the law of depth of each; None for targets that are no counts."""
    if not isinstance(target, GeneTarget):
        return None
    return np.concatenate([spot_weights(counts_of(one, target.names_), one.molecules()) for one in measured])


def folds_within(training: Training) -> list[tuple[Index, Index]]:
    """Pairs of rows to fit and rows to predict, within the training; every row is predicted once."""
    _, groups = training.grouping.of(np.arange(len(training.Y)))
    return inner_folds(groups, max_folds=INNER_FOLDS)


def predict_unseen(name: str, training: Training, ledger: Ledger, *, options: Mapping[str, Any], seed: int) -> Unseen:
    """Predict every training row by a head that had not seen its patient, section or block."""
    kind, groups = training.grouping.of(np.arange(len(training.Y)))
    P, mean = np.empty_like(training.Y), np.empty_like(training.Y)
    refit = _Refit(name, training, ledger, options, seed)
    for k, (fit, held) in enumerate(folds_within(training), 1):
        P[held] = refit(fit, held, f"inner fold {k}")
        mean[held] = training.Y[fit].mean(axis=0, dtype=np.float64)
    return Unseen(P, groups, kind, mean)


def predict_twice_unseen(
    name: str, training: Training, unseen: Unseen, ledger: Ledger, *, options: Mapping[str, Any], seed: int
) -> NDArray[np.float32]:
    """Predict the training rows once more for each inner fold, by heads that had not seen that fold either.

    Parameters
    ----------
    unseen
        What `predict_unseen` gave for the same head.

    Returns
    -------
    (k, n, t) float32, as of `twice_unseen`. With two folds, the rows beside fold k are divided by their own groups:
    sections of one patient, blocks of one section.
    """
    folds = folds_within(training)
    refit = _Refit(name, training, ledger, options, seed)
    if len(folds) > 2:
        return twice_unseen(refit, unseen.P, folds)
    twice = np.repeat(unseen.P[None], len(folds), axis=0)
    for k, (rows, _) in enumerate(folds):
        _, finer = training.grouping.of(rows)
        for number, (fit, held) in enumerate(inner_folds(finer, max_folds=INNER_FOLDS), 1):
            twice[k, rows[held]] = refit(rows[fit], rows[held], f"inner fold {k + 1}.{number}")
    return twice


@dataclass(frozen=True, slots=True, eq=False)
class _Refit:
    """Fits a head on some of the training rows and predicts others of them."""

    name: str
    training: Training
    ledger: Ledger
    options: Mapping[str, Any]
    seed: int

    def __call__(self, fit: Index, held: Index, part: str) -> Matrix:
        training = self.training
        _, groups = training.grouping.of(fit)
        head = make_head(self.name, self.options, seed=self.seed)
        named = f"{self.name}, {part}"
        self.ledger.fit(head, training.X.rows(fit), training.Y[fit], groups, part=named, covers=COVERS)
        return head.predict(without_depth(training.X.rows(held)))


def fit_whole(name: str, training: Training, ledger: Ledger, *, options: Mapping[str, Any], seed: int) -> Head:
    """Fit a head on all training rows."""
    _, groups = training.grouping.of(np.arange(len(training.Y)))
    head = make_head(name, options, seed=seed)
    return ledger.fit(head, training.X, training.Y, groups, part=name, covers=COVERS)


def fit_intervals(training: Training, unseen: Unseen, *, level: float, new_patient: bool) -> Conformal | CountIntervals:
    """Make intervals from unseen rows: of genes from their counts, of cell types from the residuals.

    Parameters
    ----------
    new_patient
        Whether they are for patients that are not in the training. Where the unseen rows are not of other patients,
        and so say nothing of them, genes get the stated prior of `patient_shift`.
    """
    target = training.target
    if not isinstance(target, GeneTarget):
        return Conformal(level=level).fit(training.Y - unseen.P, unseen.groups, predictions=unseen.P)
    sections = [training.counted[one.name] for one in training.sections]
    prior = None
    if new_patient and unseen.kind != "patient":
        prior = patient_shift().variance(*mean_and_spread(sections))
    return CountIntervals(level, target.scale).fit(
        Counted.stacked(sections), unseen.groups, predictions=unseen.P, between_patients=prior
    )


def cards_of(training: Training, unseen: Unseen) -> list[GeneCard]:
    """Make a card per target from unseen rows, section by section (block by block of a single section)."""
    labels = np.asarray(training.X.section)
    if len(set(labels.tolist())) < 2:
        labels = unseen.groups
    patients = {one.name: one.patient for one in training.sections}
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
                patient=patients[str(np.asarray(training.X.section)[rows[0]])],
                unseen=unseen.kind == "patient",
            )
        )
    return make_cards(training.target.names_, parts)


def without_depth(X: Inputs) -> Inputs:
    """Remove the depth and the weight by it, which a slide without counts does not have."""
    return replace(X, depth=None, weight=None)
