"""Which genes can be trusted: a card per gene, made in advance from the training sections alone.

Every training section was predicted by a model that had not seen it (inner out-of-fold predictions). A gene's score
there predicts its score on a new section. The patient is the unit: sections of one patient count together, and what was
only seen on sections of the training's one patient is never said to be of use on another. The card's own accuracy is
measured on held-out patients.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError
from histoscribe.predict.metrics import score_section

Verdict = Literal["use", "caution", "do not use"]

# the rule, in one place; the documentation quotes it
USE_SKILL = 0.2
LEAST_SKILL = 0.1
LEAST_CEILING = 0.2
USE_PATIENTS = 2
RULE = (
    "do not use: skill or skill beyond depth, less two standard errors over patients (over sections of a single one), "
    f"is below {LEAST_SKILL}, the ceiling is below {LEAST_CEILING}, or the error is not below that of the training "
    f"mean; use: both, less one standard error, are at least {USE_SKILL}, on at least {USE_PATIENTS} patients that "
    "were not trained on; caution: all others"
)
# why a gene is not said to be of use on another patient
ONE_PATIENT = "only serial sections of one patient were seen"
UNKNOWN_PATIENTS = "the patients of the training sections are not known"
NONE_LEFT_OUT = "no patient was left out as a whole"


@dataclass(frozen=True, slots=True)
class GeneCard:
    """What is known of one gene before it is used.

    Parameters
    ----------
    name
        The gene, or cell type.
    ceiling
        Mean noise ceiling of its counts, a Pearson correlation; NaN where it is not known.
    skill
        Mean over training patients of the out-of-fold Pearson correlation, over sections where these are of one
        patient or of patients that are not known; NaN where the gene is constant in all.
    skill_depth
        The same with the spot's depth partialled out; NaN where the depth is not known.
    error_ratio
        Mean squared error over that of the training mean.
    skill_error, skill_depth_error
        Standard errors over the same, shrunk towards that of all genes.
    n_sections
        Sections on which it could be scored.
    n_patients
        Patients on which it could be scored by a model that had not seen them; 0 where all sections are of one.
    verdict
        "use", "caution" or "do not use", by `RULE`.
    reason
        Why it is not better, where the number of patients is the reason; else "".
    """

    name: str
    ceiling: float
    skill: float
    skill_depth: float
    error_ratio: float
    skill_error: float
    skill_depth_error: float
    n_sections: int
    n_patients: int
    verdict: Verdict
    reason: str

    def record(self) -> dict[str, Any]:
        """Return the card as plain values, NaN as None, fit for JSON."""
        return {key: None if value != value else value for key, value in asdict(self).items()}


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """One training section as predicted by a model that had not seen it.

    Parameters
    ----------
    Y, P
        (n, t) measured and predicted.
    train_mean
        (t,) mean of the spots that the model was trained on.
    depth
        (n,) ln(1 + molecules), or None.
    ceiling
        (t,) from `expression.ceiling.noise_ceiling`, or None.
    patient
        The section's, or None where it is not known.
    unseen
        Whether the model had seen no section of that patient.
    """

    Y: NDArray[Any]
    P: NDArray[Any]
    train_mean: NDArray[Any]
    depth: NDArray[np.float64] | None = None
    ceiling: NDArray[np.float64] | None = None
    patient: str | None = None
    unseen: bool = False


def make_cards(names: Sequence[str], sections: Sequence[OutOfFold]) -> list[GeneCard]:
    """Make a card per target.

    Parameters
    ----------
    names
        (t,) targets.
    sections
        The training sections, at least two.

    Raises
    ------
    InputError
        Fewer than two sections.
    """
    if len(sections) < 2:
        raise InputError(
            "a card needs out-of-fold predictions of at least two training sections",
            where="gene cards",
            found=f"{len(sections)}",
        )
    scores = [score_section(s.Y, s.P, train_mean=s.train_mean, depth=s.depth) for s in sections]
    unknown = np.full(len(names), np.nan)
    by_section = {
        "ceiling": [unknown if s.ceiling is None else s.ceiling for s in sections],
        "skill": [score["pearson"] for score in scores],
        "skill_depth": [score.get("pearson_given_depth", unknown) for score in scores],
        "error_ratio": [score["error_ratio"] for score in scores],
    }
    counted = np.isfinite(by_section["skill"]).sum(axis=0)
    units = _units(sections)
    by_unit = {key: np.stack([_mean(np.stack(rows)[own]) for own in units]) for key, rows in by_section.items()}
    measures = {key: _mean(values) for key, values in by_unit.items()}
    errors = {f"{key}_error": _standard_error(by_unit[key]) for key in ("skill", "skill_depth")}
    patients = np.isfinite(by_unit["skill"]).sum(axis=0) if sections[0].unseen else np.zeros(len(names), int)
    few = _too_few_patients(sections)
    cards = []
    for k, name in enumerate(names):
        values = {key: float(column[k]) for key, column in (measures | errors).items()}
        verdict = _verdict(**values)
        capped = verdict != "do not use" and patients[k] < USE_PATIENTS
        cards.append(
            GeneCard(
                name,
                **values,
                n_sections=int(counted[k]),
                n_patients=int(patients[k]),
                verdict="caution" if capped else verdict,
                reason=few if capped else "",
            )
        )
    return cards


def _units(sections: Sequence[OutOfFold]) -> list[NDArray[np.intp]]:
    """Which sections count together: those of one unseen patient; else each counts by itself."""
    labels = np.array([str(s.patient) if s.unseen else f"{k}" for k, s in enumerate(sections)])
    return [np.flatnonzero(labels == label) for label in dict.fromkeys(labels.tolist())]


def _too_few_patients(sections: Sequence[OutOfFold]) -> str:
    """Say why what was seen is no evidence of other patients."""
    patients = {s.patient for s in sections}
    if None in patients:
        return UNKNOWN_PATIENTS
    return ONE_PATIENT if len(patients) < USE_PATIENTS else NONE_LEFT_OUT


def card_auroc(
    cards: Sequence[GeneCard],
    held_out: NDArray[np.float64],
    *,
    measure: Literal["skill", "skill_depth"] = "skill",
    threshold: float = USE_SKILL,
) -> float:
    """How well the cards predict which genes reach `threshold` on held-out patients: area under the ROC curve.

    Parameters
    ----------
    cards
        Made from the training sections.
    held_out
        (t,) scores of the genes on sections of patients that were not trained on: Pearson correlations, with the depth
        taken out for "skill_depth"; NaN is ignored.
    measure
        Which measure of the cards is to predict them.
    threshold
        What counts as predictable.

    Returns
    -------
    In [0, 1], 0.5 is chance; NaN where all genes or none reach the threshold.
    """
    from sklearn.metrics import roc_auc_score

    expected = np.nan_to_num([getattr(card, measure) for card in cards], nan=-1.0)
    known = np.isfinite(held_out)
    reached = np.asarray(held_out)[known] >= threshold
    if reached.all() or not reached.any():
        return float("nan")
    return float(roc_auc_score(reached, expected[known]))


def _verdict(
    *,
    ceiling: float,
    skill: float,
    skill_depth: float,
    error_ratio: float,
    skill_error: float,
    skill_depth_error: float,
) -> Verdict:
    """Apply the rule, but for the number of patients."""
    known = [(skill, skill_error)] + ([] if np.isnan(skill_depth) else [(skill_depth, skill_depth_error)])
    shown = not np.isnan(skill) and all(value - 2 * error >= LEAST_SKILL for value, error in known)
    if not shown or ceiling < LEAST_CEILING or error_ratio >= 1:
        return "do not use"
    return "use" if all(value - error >= USE_SKILL for value, error in known) else "caution"


def _standard_error(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the standard error of the mean over sections, (s, t) to (t,): half the gene's own variance, half of all."""
    known = np.isfinite(values)
    n = known.sum(axis=0)
    centred = np.where(known, values - _mean(values), 0.0)
    own = (centred**2).sum(axis=0) / np.maximum(n - 1, 1)
    many = n > 1
    common = float(own[many].mean()) if many.any() else 0.0
    variance = np.where(many, (own + common) / 2, common)
    return np.where(n > 0, np.sqrt(variance / np.maximum(n, 1)), np.nan)


def _mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(values)
    total = np.where(known, values, 0.0).sum(axis=0)
    return np.where(known.any(axis=0), total / np.maximum(known.sum(axis=0), 1), np.nan)
