"""One fold of an evaluation: everything is fitted on its training sections; its test sections are used once.

The result is a record of JSON values and the arrays that later steps need. Folds are independent of each other, so that
finished folds survive a failure and folds can be run in any order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from histoscribe.expression.ceiling import noise_ceiling
from histoscribe.expression.counted import Counted
from histoscribe.expression.gene_target import GeneTarget
from histoscribe.expression.targets import Target, make_target
from histoscribe.predict.audit import Ledger
from histoscribe.predict.calibration import calibration_of
from histoscribe.predict.conformal import Conformal, coverage
from histoscribe.predict.count_intervals import CountIntervals
from histoscribe.predict.data import Observed, inputs_of, two_sides
from histoscribe.predict.fitting import (
    Training,
    Unseen,
    cards_of,
    fit_intervals,
    fit_whole,
    folds_within,
    predict_twice_unseen,
    predict_unseen,
    prepare_training,
)
from histoscribe.predict.gene_card import LEAST_SKILL, GeneCard, card_auroc
from histoscribe.predict.metrics import average_sections, score_section
from histoscribe.predict.splits import Fold
from histoscribe.predict.stack import judge_stack, make_stack

Predicted = dict[str, NDArray[Any]]  # by section, (n, t)

BASELINES = ("mean", "depth")
MEMBERS_MEAN = "members_mean"
_DIGITS = 6  # of the numbers in records: further digits are rounding errors


@dataclass(frozen=True, slots=True)
class FoldSettings:
    """What an evaluation does in every fold.

    Parameters
    ----------
    target
        "genes" or "abundance".
    target_options
        Of the target: which genes, how many, on which scale; ranks or not.
    heads
        Names, in order; baselines are added by the caller.
    head_options
        Head to its options.
    level
        Of the intervals.
    seed
        Of everything random.
    stacks
        How several heads are combined, beside their plain mean: "ridge", "mlp".
    """

    target: str
    target_options: Mapping[str, Any] = field(default_factory=dict)
    heads: tuple[str, ...] = ("ridge",)
    head_options: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    level: float = 0.9
    seed: int = 0
    stacks: tuple[str, ...] = ("ridge",)

    @property
    def kind(self) -> Literal["genes", "ranks"]:
        """How a section is scored."""
        return "genes" if self.target == "genes" else "ranks"

    @property
    def main(self) -> str:
        """The score by which heads are compared."""
        return "mean_pearson" if self.target == "genes" else "mean_spot_spearman"

    def make_target(self) -> Target:
        """Make the unfitted target."""
        return make_target(self.target, **self.target_options)


@dataclass(frozen=True, slots=True, eq=False)
class FoldResult:
    """What one fold gave.

    Parameters
    ----------
    record
        Fit for JSON: `fold`, `leaky`, `target`, `heads` with scores, cards and coverage, `ceiling`, `audit`.
    arrays
        "SECTION/measured", "SECTION/HEAD", "SECTION/HEAD/LAYER", float32 (n, t), with the layers that `layers` of the
        intervals gives; "SECTION/spots/xy_um" (n, 2) and, where known, "SECTION/spots/depth" and, of genes,
        "SECTION/spots/molecules" (n,); the marks of the spots likewise.
    """

    record: dict[str, Any]
    arrays: Predicted


def evaluate_fold(sections: Mapping[str, Observed], fold: Fold, settings: FoldSettings) -> FoldResult:
    """Fit on one side, predict the other, score section by section.

    Parameters
    ----------
    sections
        All sections by name.
    fold
        Which train and which are tested.
    settings
        What is done.

    Raises
    ------
    InputError
        What the target or a head refuses.
    ResultError
        The audit found something that was fitted on rows outside the training sections.
    """
    train, test = two_sides(sections, fold)
    ledger = Ledger(train, test)
    # sums over threads differ in the last digit with their number; a rounding must not decide a score
    with threadpool_limits(limits=1):
        training = prepare_training(train, settings.make_target(), ledger, seed=settings.seed)
        side = _TestSide.of(test, training.target, seed=settings.seed)
        unseen, predicted, made = _predict_members(training, test, ledger, settings)
        members = [name for name in settings.heads if name not in BASELINES]
        notes: dict[str, Any] = {}
        if len(members) > 1:
            unseen[MEMBERS_MEAN], predicted[MEMBERS_MEAN] = members_mean(members, unseen, predicted)
            notes = _stacked(members, unseen, predicted, training=training, ledger=ledger, settings=settings)
        heads: dict[str, Any] = {}
        arrays = side.arrays()
        for name in predicted:
            heads[name], intervals = _judge(name, training, unseen[name], predicted[name], side, fold, settings)
            heads[name] |= {"fitted": made[name]} if made.get(name) else {}
            arrays |= {f"{section}/{name}": P for section, P in predicted[name].items()}
            # intervals of baselines are not needed, and they are as large as the predictions
            arrays |= intervals if name not in BASELINES or not members else {}
    ledger.check()
    record = {
        "fold": fold.name,
        "rule": fold.rule,
        "leaky": fold.leaky,
        "inner_groups": next(iter(unseen.values())).kind,
        "target": training.target.record(),
        "heads": heads,
        "ceiling": plain(side.ceilings),
        "audit": ledger.record(),
    }
    if notes:
        record["stack"] = notes
    return FoldResult(record, arrays)


def members_mean(
    members: Sequence[str], unseen: Mapping[str, Unseen], predicted: Mapping[str, Predicted]
) -> tuple[Unseen, Predicted]:
    """Average the heads' predictions: the plain ensemble that any learnt stack has to beat."""
    first = unseen[members[0]]
    averaged = {section: _average([predicted[name][section] for name in members]) for section in predicted[members[0]]}
    return Unseen(_average([unseen[name].P for name in members]), first.groups, first.kind, first.train_mean), averaged


def _stacked(
    members: Sequence[str],
    unseen: dict[str, Unseen],
    predicted: dict[str, Predicted],
    *,
    training: Training,
    ledger: Ledger,
    settings: FoldSettings,
) -> dict[str, Any]:
    """Add the stacks, learnt on inner out-of-fold predictions, and say whether each is worth it."""
    if not settings.stacks:
        return {}
    first, notes = unseen[members[0]], {}
    twice = [
        predict_twice_unseen(
            name, training, unseen[name], ledger, options=settings.head_options.get(name, {}), seed=settings.seed
        )
        for name in members
    ]
    out_of_fold = np.stack([unseen[name].P for name in members])  # (m, n, t)
    for kind in settings.stacks:
        stack = make_stack(kind, seed=settings.seed)
        judged = judge_stack(stack, twice, training.Y, folds=folds_within(training), groups=first.groups)
        fitted = stack.fit(out_of_fold, training.Y, first.groups)
        unseen[stack.name] = Unseen(judged.P, first.groups, first.kind, first.train_mean)
        predicted[stack.name] = {
            section: fitted.predict(np.stack([predicted[name][section] for name in members]))
            for section in predicted[members[0]]
        }
        ledger.note_names(stack.name, [one.name for one in training.sections], ("weights",))
        notes[stack.name] = judged.record()
    return notes


def _average(predictions: Sequence[NDArray[Any]]) -> NDArray[np.float32]:
    return np.asarray(np.mean(predictions, axis=0, dtype=np.float64), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class _TestSide:
    """Held-out sections, what was measured on them, (n, t) each, its counts if any, and noise ceilings, (t,) each."""

    sections: Sequence[Observed]
    truth: Predicted
    counted: Mapping[str, Counted]
    ceilings: Mapping[str, NDArray[np.float64]]

    @classmethod
    def of(cls, sections: Sequence[Observed], target: Target, *, seed: int) -> "_TestSide":
        """Measure the sections by a fitted target."""
        genes = target if isinstance(target, GeneTarget) else None
        return cls(
            sections,
            {one.name: target.transform(one.require_measured()) for one in sections},
            {one.name: genes.counted(one.require_measured()) for one in sections} if genes else {},
            {one.name: noise_ceiling(target, one.require_measured(), seed=seed) for one in sections},
        )

    def arrays(self) -> Predicted:
        """Return what a reader of the scores needs beside the predictions: measurements, places, depths."""
        arrays: Predicted = {f"{name}/measured": Y for name, Y in self.truth.items()}
        for one in self.sections:
            arrays[f"{one.name}/spots/xy_um"] = one.xy_um
            arrays |= {f"{one.name}/spots/{mark}": values for mark, values in one.marks.items()}
            depth = one.depth()
            if depth is not None:
                arrays[f"{one.name}/spots/depth"] = depth
            if one.name in self.counted:
                arrays[f"{one.name}/spots/molecules"] = self.counted[one.name].total
        return arrays


def _predict_members(
    training: Training, test: Sequence[Observed], ledger: Ledger, settings: FoldSettings
) -> tuple[dict[str, Unseen], dict[str, Predicted], dict[str, dict[str, str]]]:
    """Inner out-of-fold predictions of every head, its predictions of the test sections, and what it records."""
    unseen: dict[str, Unseen] = {}
    predicted: dict[str, Predicted] = {}
    made: dict[str, dict[str, str]] = {}
    for name in settings.heads:
        options = settings.head_options.get(name, {})
        unseen[name] = predict_unseen(name, training, ledger, options=options, seed=settings.seed)
        head = fit_whole(name, training, ledger, options=options, seed=settings.seed)
        predicted[name] = {one.name: head.predict(inputs_of([one], depth=False)) for one in test}
        made[name] = head.record()
    return unseen, predicted, made


def _judge(
    name: str,
    training: Training,
    unseen: Unseen,
    predicted: Predicted,
    side: _TestSide,
    fold: Fold,
    settings: FoldSettings,
) -> tuple[dict[str, Any], Predicted]:
    """Score one predictor on every test section; returns its record and its intervals."""
    intervals = fit_intervals(training, unseen, level=settings.level, new_patient=not fold.leaky)
    cards = cards_of(training, unseen)
    train_mean = training.Y.mean(axis=0, dtype=np.float64)
    sections: dict[str, Any] = {}
    covered: dict[str, Any] = {}
    arrays: Predicted = {}
    for one in side.sections:
        Y, P = side.truth[one.name], predicted[one.name]
        ceiling = side.ceilings[one.name] if np.isfinite(side.ceilings[one.name]).any() else None
        sections[one.name] = score_section(
            Y, P, train_mean=train_mean, depth=one.depth(), kind=settings.kind, ceiling=ceiling
        )
        layers, covered[one.name] = _covered(intervals, P, Y, side.counted.get(one.name), name=name, settings=settings)
        arrays |= {f"{one.name}/{name}/{layer}": values for layer, values in layers.items()}
    record = {
        "sections": sections,
        "inner_score": inner_score(training, unseen, settings),
        "inner_scores": inner_scores(training, unseen, settings),
        "cards": [card.record() for card in cards],
        **_own_accuracy(cards, list(sections.values()), fold),
        "coverage": covered,
    }
    return plain(record), arrays


def _covered(
    intervals: Conformal | CountIntervals,
    P: NDArray[Any],
    Y: NDArray[Any],
    counted: Counted | None,
    *,
    name: str,
    settings: FoldSettings,
) -> tuple[Predicted, dict[str, Any]]:
    """Intervals of a test section at its spots' own depth, and the share of the measurements that they hold."""
    if not isinstance(intervals, CountIntervals) or counted is None:
        layers = intervals.layers(P)
        return layers, coverage_by_level(Y, layers["lower"], layers["upper"])
    layers = intervals.layers(P, total=counted.total)
    found: dict[str, Any] = coverage_by_level(Y, layers["lower"], layers["upper"])
    if name not in BASELINES:
        measured = np.isfinite(Y).all(axis=0)
        found |= calibration_of(intervals, counted, P, measured=measured, seed=settings.seed)
    return layers, found


def _own_accuracy(cards: Sequence[GeneCard], sections: Sequence[Mapping[str, Any]], fold: Fold) -> dict[str, Any]:
    """How well the cards foretold the scores, plain and with the depth taken out; only of patients not trained on."""
    if fold.leaky:
        return {"card_auroc": None, "card_auroc_given_depth": None}
    plain_scores = column_means([scored["pearson"] for scored in sections])
    found = {"card_auroc": card_auroc(cards, plain_scores), "card_auroc_given_depth": float("nan")}
    if all("pearson_given_depth" in scored for scored in sections):
        beyond = column_means([scored["pearson_given_depth"] for scored in sections])
        found["card_auroc_given_depth"] = card_auroc(cards, beyond, measure="skill_depth", threshold=LEAST_SKILL)
    return found


def inner_score(training: Training, unseen: Unseen, settings: FoldSettings) -> float:
    """Average the main score of inner out-of-fold predictions over sections: the only score that may choose a head."""
    scores = _scored(training, unseen, settings, np.asarray(training.X.section))
    return float(average_sections(list(scores.values()))[settings.main])


def inner_scores(training: Training, unseen: Unseen, settings: FoldSettings) -> dict[str, float]:
    """Score section by section, or block by block of a single one: how far the inner score is a matter of chance."""
    labels = np.asarray(training.X.section)
    if len(np.unique(labels)) < 2:
        labels = unseen.groups
    return {name: float(found[settings.main]) for name, found in _scored(training, unseen, settings, labels).items()}


def _scored(
    training: Training, unseen: Unseen, settings: FoldSettings, labels: NDArray[Any]
) -> dict[str, dict[str, Any]]:
    scores = {}
    for name in dict.fromkeys(labels.tolist()):
        rows = labels == name
        mean = unseen.train_mean[rows].mean(axis=0)
        scores[str(name)] = score_section(training.Y[rows], unseen.P[rows], train_mean=mean, kind=settings.kind)
    return scores


def coverage_by_level(Y: NDArray[Any], lower: NDArray[Any], upper: NDArray[Any]) -> dict[str, float]:
    """Share of measurements inside their interval: of all targets, and of thirds of them by measured level."""
    found = {"all": coverage(Y, lower, upper)}
    known = np.flatnonzero(np.isfinite(Y).all(axis=0))
    if len(known) >= 3:
        order = known[np.argsort(Y[:, known].mean(axis=0), kind="stable")]
        for third, columns in zip(("low", "middle", "high"), np.array_split(order, 3), strict=True):
            found[third] = coverage(Y[:, columns], lower[:, columns], upper[:, columns])
    return found


def column_means(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean of several arrays (t,) over those that are known, NaN where none is."""
    values = np.stack(rows)
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    mean: NDArray[np.float64] = np.where(known.any(axis=0), total / known.sum(axis=0).clip(1), np.nan)
    return mean


def plain(value: Any) -> Any:
    """Turn scores into plain values for JSON: arrays to lists, numbers to six digits, what is not finite to None."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(part) for part in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return round(float(value), _DIGITS) if np.isfinite(value) else None
    return value
