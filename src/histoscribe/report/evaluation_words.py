"""What the page of an evaluation says in words: names of the scores, and sentences made of the numbers."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from histoscribe.report.evaluation_contents import EvaluationContents, Rung


class ScoreName(NamedTuple):
    """How a score is called and read."""

    label: str
    meaning: str


SCORES = {
    "mean_pearson": ScoreName(
        "mean Pearson correlation",
        "per gene over the spots of a section; 0 is no better than a constant",
    ),
    "mean_spearman": ScoreName("mean Spearman correlation", "the same on ranks of the spots"),
    "mean_pearson_given_depth": ScoreName(
        "mean Pearson, depth taken out",
        "what is left when the number of molecules of the spot is known",
    ),
    "share_of_ceiling": ScoreName("share of the ceiling", "mean Pearson correlation over the mean noise ceiling"),
    "mean_error_ratio": ScoreName(
        "error ratio", "squared error over that of the training mean; above 1 is worse than no picture"
    ),
    "mean_spread_ratio": ScoreName("spread ratio", "spread of the predictions over that of the truth"),
    "mean_spot_spearman": ScoreName(
        "mean per-spot Spearman", "across cell types within a spot; read it against the constant ranking"
    ),
    "constant_spot_spearman": ScoreName("constant ranking", "the same score for one ranking given to every spot"),
}
TARGET_SCORES = {
    "pearson": "Pearson",
    "spearman": "Spearman",
    "pearson_given_depth": "Pearson, depth out",
    "error_ratio": "Error ratio",
    "spread_ratio": "Spread ratio",
    "ceiling": "Ceiling",
    "n_sections": "Sections",
}
LEAKY = "LEAKY"
LEAKY_SENTENCE = (
    "Sections of one patient are in both training and test, or the patients are not known. These scores are too "
    "high for a new patient; do not quote them as the accuracy on new patients."
)
LIMITS = (
    "Scores are means over held-out sections, never over pooled spots. Between laboratories, stains and scanners they "
    "fall further than between these sections.",
    "The noise ceiling holds the noise of counting molecules only. No method can be expected to reach it.",
    "A correlation that is mostly depth only separates dense tissue from sparse; the column with the depth taken out "
    "shows what is predicted beyond that.",
    'A gene with the verdict "do not use" may still be predicted well on one section; nothing here says when.',
    "Predictions are research results. They replace no measurement, and no diagnosis follows from them.",
)


def leaky_title(title: str, *, leaky: bool) -> str:
    """Put the word LEAKY before a title where it belongs."""
    return f"{LEAKY}: {title}" if leaky else title


def things(contents: EvaluationContents) -> str:
    """Say what the targets are: "genes" or "cell types"."""
    return "cell types" if contents.target.get("kind") == "abundance" else "genes"


def ordered(contents: EvaluationContents) -> list[Rung]:
    """Rungs from the best to the worst; what is not known comes last."""

    def height(rung: Rung) -> tuple[float, str]:
        score = float(rung.scores[contents.main])
        return (-score if math.isfinite(score) else math.inf, rung.name)

    return sorted(contents.ladder, key=height)


def score(value: Any) -> str:
    """Write a score with three digits; "–" where it is not known."""
    if value is None or isinstance(value, str) or not math.isfinite(float(value)):
        return "–"
    return f"{float(value):.3f}".replace("-", "−")


def summary(contents: EvaluationContents) -> list[str]:
    """Say the result in sentences: the best head, what it beats, the ceiling, the genes that can be used."""
    rungs = ordered(contents)
    by_name = {rung.name: rung for rung in rungs}
    best = by_name[contents.best]
    name, main = SCORES[contents.main].label, contents.main
    sentences = [f"{contents.best} reaches a {name} of {score(best.scores[main])} on held-out sections."]
    floors = [rung for rung in rungs if rung.role == "baseline" and math.isfinite(float(rung.scores[main]))]
    if floors:
        gain = float(best.scores[main]) - float(floors[0].scores[main])
        word = f"{gain:.3f} above" if gain > 0.0005 else "no better than" if gain > -0.0005 else f"{-gain:.3f} below"
        sentences.append(f"That is {word} the best baseline, {floors[0].name} ({score(floors[0].scores[main])}).")
    if contents.ceiling is not None and main == "mean_pearson" and contents.ceiling > 0:
        share = 100 * float(best.scores[main]) / contents.ceiling
        sentences.append(f"The noise ceiling of these genes is {contents.ceiling:.2f}; {share:.0f} % of it is reached.")
    verdicts = [row["verdict"] for row in contents.targets if row.get("verdict")]
    if verdicts:
        counts = ", ".join(f"{verdicts.count(v):,} {v}" for v in ("use", "caution", "do not use"))
        sentences.append(f"Of {len(verdicts):,} {things(contents)} the cards say: {counts}.")
    for value, what in (
        (contents.card_auroc, "0.2"),
        (contents.card_auroc_given_depth, "0.1 with the depth taken out"),
    ):
        if value is not None and math.isfinite(value):
            sentences.append(
                f"The cards predict which {things(contents)} reach {what} on held-out patients with an AUROC of "
                f"{value:.2f} (0.5 is chance)."
            )
    return sentences


def comparison(row: Mapping[str, Any]) -> str:
    """Say one comparison of the bootstrap in a sentence."""
    verdict = "differ" if row.get("differs") else "do not differ clearly on these sections"
    return (
        f"{row['first_name']} minus {row['second_name']}: {score(row['difference'])} "
        f"({100 * row.get('level', 0.95):.0f} % interval {score(row['lower'])} to {score(row['upper'])}); "
        f"they {verdict}."
    )
