"""One sentence says whether to use a prediction, and why."""

import pytest

from histoscribe.predict.gene_card import ONE_PATIENT
from histoscribe.run.cohort.advice import advice


def cards(*verdicts, reason=""):
    return [{"verdict": verdict, "reason": reason} for verdict in verdicts]


def findings(unlike=0.1, **levels):
    """What `Novelty.findings` gives, for the share of unlike spots and other measures."""
    rows = [{"name": "unlike", "found": [unlike], "level": "warning" if unlike > 0.25 else "ok"}]
    rows += [{"name": name, "found": [9.3], "level": level} for name, level in levels.items()]
    return [row | {"training": [[0.05], [0.13]], "spreads": 5.0, "limit": 2.0} for row in rows]


@pytest.mark.parametrize(
    ("given", "found", "said"),
    [
        (cards("use", "use", "caution"), findings(), 'Use the 2 genes with the verdict "use"'),
        (cards("use"), findings(log2_molecules="warning"), "Use the 1 genes"),
        (cards("use"), findings(stain="warning"), "with caution: its stain is of another strength"),
        (cards("use"), findings(0.4), "with caution: 40 % of its spots look unlike"),
        (cards("use"), findings(0.64), "Do not use this prediction: 64 % of its spots look unlike"),
        (cards("caution", reason=ONE_PATIENT), findings(), f"with caution: {ONE_PATIENT}"),
        (cards("do not use"), findings(), "Do not use this prediction: none of the genes"),
    ],
)
def test_the_sentence_says_whether_and_why(given, found, said):
    assert said in advice(given, found, kind="genes")


def test_cell_types_are_called_by_their_name():
    assert "1 cell types" in advice(cards("use"), findings(), kind="abundance")
