"""One sentence on whether to use a prediction, and why."""

from collections.abc import Mapping, Sequence
from typing import Any

from histoscribe.encoders.novelty import MOLECULES, UNLIKE, novelty_warnings

MOST_UNLIKE = 0.5  # a prediction is not to be used where more of the spots are unlike any training spot


def advice(cards: Sequence[Mapping[str, Any]], findings: Sequence[Mapping[str, Any]], *, kind: str) -> str:
    """Say whether to use a prediction of a slide, and why.

    Parameters
    ----------
    cards
        Of the model.
    findings
        Of the slide, from `Novelty.findings`.
    kind
        Of the target, "genes" or "abundance".
    """
    what = "genes" if kind == "genes" else "cell types"
    n_use, n_caution = (sum(card["verdict"] == verdict for card in cards) for verdict in ("use", "caution"))
    if not n_use + n_caution:
        return f"Do not use this prediction: none of the {what} was predicted well on sections that were held out."
    strange = novelty_warnings([row for row in findings if row["name"] != MOLECULES])
    if next(row["found"][0] for row in findings if row["name"] == UNLIKE) > MOST_UNLIKE:
        return f"Do not use this prediction: {'; '.join(strange)}."
    reasons = [*dict.fromkeys(card["reason"] for card in cards if card["reason"]), *strange]
    if not n_use:
        reasons.append(f'none of the {what} has the verdict "use", and {n_caution:,} have "caution"')
    if reasons:
        return f"Use this prediction with caution: {'; '.join(reasons)}."
    return f'Use the {n_use:,} {what} with the verdict "use": in every respect the slide is like the training slides.'
