"""Which genes can be trusted: a card per gene, made in advance from the training sections alone.

Every training section was predicted by a model that had not seen it (inner out-of-fold predictions). A gene's score
there predicts its score on a new section. The card's own accuracy is measured on the held-out fold.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError
from histoscribe.predict.metrics import score_section

Verdict = Literal["use", "caution", "do not use"]

# of a card, in the order in which they are measured
_MEASURES = ("ceiling", "skill", "skill_depth", "error_ratio", "skill_error", "skill_depth_error")
# the rule, in one place; the documentation quotes it
USE_SKILL = 0.2
LEAST_SKILL = 0.1
LEAST_CEILING = 0.2
RULE = (
    f"do not use: skill or skill beyond depth, less two standard errors over sections, is below {LEAST_SKILL}, the "
    f"ceiling is below {LEAST_CEILING}, or the error is not below that of the training mean; use: both, less one "
    f"standard error, are at least {USE_SKILL}; caution: all others"
)


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
        Mean over training sections of the out-of-fold Pearson correlation; NaN where the gene is constant in all.
    skill_depth
        The same with the spot's depth partialled out; NaN where the depth is not known.
    error_ratio
        Mean squared error over that of the training mean.
    skill_error, skill_depth_error
        Standard errors over sections, shrunk towards that of all genes.
    n_sections
        Sections on which it could be scored.
    verdict
        "use", "caution" or "do not use", by `RULE`.
    """

    name: str
    ceiling: float
    skill: float
    skill_depth: float
    error_ratio: float
    skill_error: float
    skill_depth_error: float
    n_sections: int
    verdict: Verdict

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
    """

    Y: NDArray[Any]
    P: NDArray[Any]
    train_mean: NDArray[Any]
    depth: NDArray[np.float64] | None = None
    ceiling: NDArray[np.float64] | None = None


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
    skill = np.stack([score["pearson"] for score in scores])  # (sections, t)
    beyond = np.stack([score.get("pearson_given_depth", unknown) for score in scores])
    ratio = np.stack([score["error_ratio"] for score in scores])
    ceiling = np.stack([unknown if s.ceiling is None else s.ceiling for s in sections])
    skill_error, beyond_error = _standard_error(skill), _standard_error(beyond)
    values = np.column_stack([*map(_mean, (ceiling, skill, beyond, ratio)), skill_error, beyond_error])
    counted = np.isfinite(skill).sum(axis=0)
    return [
        GeneCard(name, **dict(zip(_MEASURES, map(float, row), strict=True)), n_sections=int(n), verdict=_verdict(*row))
        for name, row, n in zip(names, values, counted, strict=True)
    ]


def card_auroc(cards: Sequence[GeneCard], held_out_pearson: NDArray[np.float64], *, threshold: float = 0.2) -> float:
    """How well the cards predict which genes reach `threshold` on the held-out fold: area under the ROC curve.

    Parameters
    ----------
    cards
        Made from the training sections.
    held_out_pearson
        (t,) scores of the genes on the held-out sections; NaN is ignored.
    threshold
        What counts as predictable.

    Returns
    -------
    In [0, 1], 0.5 is chance; NaN where all genes or none reach the threshold.
    """
    from sklearn.metrics import roc_auc_score

    expected = np.array([-1.0 if np.isnan(card.skill) else card.skill for card in cards])
    known = np.isfinite(held_out_pearson)
    reached = np.asarray(held_out_pearson)[known] >= threshold
    if reached.all() or not reached.any():
        return float("nan")
    return float(roc_auc_score(reached, expected[known]))


def _verdict(
    ceiling: float, skill: float, beyond: float, ratio: float, skill_error: float, beyond_error: float
) -> Verdict:
    known = [(skill, skill_error)] + ([] if np.isnan(beyond) else [(beyond, beyond_error)])
    shown = not np.isnan(skill) and all(value - 2 * error >= LEAST_SKILL for value, error in known)
    if not shown or ceiling < LEAST_CEILING or ratio >= 1:
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
