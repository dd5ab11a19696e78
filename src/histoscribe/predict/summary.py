"""The summary of an evaluation's folds: averages over sections, the chosen head, and comparisons between heads."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.predict.bootstrap import Compared, Metric, paired_bootstrap
from histoscribe.predict.evaluate import BASELINES, MEMBERS_MEAN, FoldSettings, plain
from histoscribe.predict.metrics import PER_TARGET, average_sections, average_targets
from histoscribe.predict.splits import block_labels

VERSION = 1
LEAKY = (
    "LEAKY: sections of one patient stand on both sides of the folds, or the patients are not known; these scores are "
    "too high for a new patient"
)
_COMBINED = (MEMBERS_MEAN, "stack", "stack_ridge", "stack_mlp")
_VERDICTS = ("do not use", "caution", "use")  # the more cautious first: it is taken in a tie
_BOOTSTRAP_BLOCKS = 16


def role_of(name: str) -> str:
    """Return "baseline", "stack" or "head"."""
    return "baseline" if name in BASELINES else "stack" if name in _COMBINED else "head"


def summarise(folds: Sequence[Mapping[str, Any]], settings: FoldSettings) -> dict[str, Any]:
    """Average the records of folds.

    Parameters
    ----------
    folds
        Records of `evaluate_fold`, all folds.
    settings
        What was done in them.

    Returns
    -------
    What `scores.json` holds, but for the comparisons: `version`, `leaky`, `warning`, `main`, `chosen`, `heads`,
    `ceiling`, `folds`.
    """
    heads = {name: _head(name, folds) for name in folds[0]["heads"]}
    leaky = any(fold["leaky"] for fold in folds)
    ceilings = [np.array(values, np.float64) for fold in folds for values in fold["ceiling"].values()]
    known = [float(values[np.isfinite(values)].mean()) for values in ceilings if np.isfinite(values).any()]
    found = {
        "version": VERSION,
        "leaky": leaky,
        "warning": LEAKY if leaky else None,
        "target": settings.target,
        "main": settings.main,
        "chosen": choose(heads, not_worth_it=_not_worth_it(folds)),
        "heads": heads,
        "ceiling": float(np.mean(known)) if known else None,
        "folds": [
            {
                "fold": fold["fold"],
                "rule": fold["rule"],
                "leaky": fold["leaky"],
                "inner_groups": fold["inner_groups"],
                "test": fold["audit"]["test"],
                "train": fold["audit"]["train"],
                "targets": fold["target"]["names"],
                "ceiling": fold["ceiling"],
                "stack": fold.get("stack"),
            }
            for fold in folds
        ],
    }
    made: dict[str, Any] = plain(found)
    return made


def choose(heads: Mapping[str, Mapping[str, Any]], *, not_worth_it: Collection[str] = ()) -> str:
    """Name the head with the best inner score, or a simpler one within one standard error of it.

    Single heads are simpler than their plain mean, and that than what is learnt of their predictions. The standard
    error is that of the paired difference over training sections (Breiman et al. 1984). The held-out sections are not
    used. Ties go by name.

    Parameters
    ----------
    heads
        Name to its summary.
    not_worth_it
        Stacks that the plain mean of their members beats: they are reported, never chosen.
    """
    wanted = [name for name in heads if role_of(name) != "baseline" and name not in not_worth_it]
    candidates = sorted(wanted or heads)

    def merit(name: str) -> tuple[float, str]:
        score = heads[name]["inner_score"]
        return (-np.inf if score is None else float(score), name)

    best = max(candidates, key=merit)
    for level in range(_complexity(best)):
        simpler = max((name for name in candidates if _complexity(name) == level), key=merit, default=best)
        behind = merit(best)[0] - merit(simpler)[0]
        if simpler != best and behind <= _standard_error(heads[best], heads[simpler]):
            return simpler
    return best


def _complexity(name: str) -> int:
    return 1 if name == MEMBERS_MEAN else 2 if role_of(name) == "stack" else 0


def _standard_error(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Of the mean difference between two heads over the sections or blocks where both are scored; 0 below two."""
    mine, theirs = (head.get("inner_scores") or {} for head in (one, other))
    pairs = [(mine[unit], theirs[unit]) for unit in mine.keys() & theirs.keys()]
    gaps = np.array([a - b for a, b in pairs if a is not None and b is not None], np.float64)
    return float(gaps.std(ddof=1) / np.sqrt(len(gaps))) if len(gaps) > 1 else 0.0


def _not_worth_it(folds: Sequence[Mapping[str, Any]]) -> set[str]:
    """Stacks that were not worth it in at least one fold."""
    stacks = [item for fold in folds for item in (fold.get("stack") or {}).items()]
    return {name for name, judged in stacks if judged["note"] != "worth it"}


def compare(
    chosen: str, names: Sequence[str], arrays: Sequence[Mapping[str, NDArray[Any]]], settings: FoldSettings
) -> list[dict[str, Any]]:
    """Compare the chosen head with every other by paired spatial-block bootstrap on the held-out sections.

    Parameters
    ----------
    arrays
        Of every fold, as `evaluate_fold` gave them.
    """
    rows = []
    for other in names:
        if other == chosen:
            continue
        for metric in _metrics(arrays, settings):
            compared = [
                Compared(
                    part[f"{section}/measured"],
                    part[f"{section}/{chosen}"],
                    part[f"{section}/{other}"],
                    block_labels(xy := part[f"{section}/spots/xy_um"], n_blocks=min(_BOOTSTRAP_BLOCKS, len(xy))),
                    part.get(f"{section}/spots/depth"),
                )
                for part in arrays
                for section in sections_in(part)
            ]
            found = paired_bootstrap(compared, metric=metric, seed=settings.seed)
            rows.append(plain({"first_name": chosen, "second_name": other, **found}))
    return rows


def sections_in(arrays: Mapping[str, NDArray[Any]]) -> list[str]:
    """Name the sections that a fold's arrays are of, in order."""
    return [key.removesuffix("/measured") for key in sorted(arrays) if key.endswith("/measured")]


def majority(verdicts: Sequence[str]) -> str:
    """Return the verdict that most folds gave, the more cautious one in a tie."""
    counted = Counter(verdicts)
    return max(_VERDICTS, key=lambda verdict: (counted[verdict], -_VERDICTS.index(verdict)))


def verdicts_of(folds: Sequence[Mapping[str, Any]], head: str) -> dict[str, tuple[str, str]]:
    """Verdict on every target by its cards of all folds, and why it is not better, or ""."""
    given: dict[str, list[Mapping[str, Any]]] = {}
    for fold in folds:
        for card in fold["heads"][head]["cards"]:
            given.setdefault(card["name"], []).append(card)
    found = {}
    for name, cards in given.items():
        verdict = majority([card["verdict"] for card in cards])
        reasons = [card["reason"] for card in cards if card["verdict"] == verdict]
        found[name] = (verdict, max(reasons, key=reasons.count))
    return found


def _metrics(arrays: Sequence[Mapping[str, NDArray[Any]]], settings: FoldSettings) -> tuple[Metric, ...]:
    if settings.target != "genes":
        return ("spot_spearman",)
    return ("pearson", "pearson_given_depth")


def _head(name: str, folds: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    scored: dict[str, dict[str, Any]] = {}
    names, aurocs, beyond, inner = [], [], [], []
    for fold in folds:
        record = fold["heads"][name]
        for section, values in record["sections"].items():
            scored[section] = {
                key: np.array(value, np.float64) if key in PER_TARGET else value for key, value in values.items()
            }
            names.append(fold["target"]["names"])
        aurocs.append(record["card_auroc"])
        beyond.append(record["card_auroc_given_depth"])
        inner.append(record["inner_score"])
    return {
        "role": role_of(name),
        "average": average_sections(list(scored.values())),
        "sections": scored,
        "targets": average_targets(list(scored.values()), names),
        "inner_score": _mean(inner),
        "inner_scores": _by_unit([fold["heads"][name]["inner_scores"] for fold in folds]),
        "card_auroc": _mean(aurocs),
        "card_auroc_given_depth": _mean(beyond),
        "coverage": {section: values for fold in folds for section, values in fold["heads"][name]["coverage"].items()},
        "cards": {fold["fold"]: fold["heads"][name]["cards"] for fold in folds},
        "fitted": {fold["fold"]: fold["heads"][name].get("fitted") for fold in folds},
    }


def _by_unit(scores: Sequence[Mapping[str, float | None]]) -> dict[str, float | None]:
    """Mean over folds of what each section, or block, scored within the training."""
    units = dict.fromkeys(unit for fold in scores for unit in fold)
    return {unit: _mean([fold[unit] for fold in scores if unit in fold]) for unit in units}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
