"""The audit records the rows that were really used, and a leak is found whatever its label."""

import numpy as np
import pytest

from histoscribe.errors import ResultError
from histoscribe.predict import Inputs
from histoscribe.predict.audit import Ledger
from histoscribe.predict.data import inputs_of
from histoscribe.predict.heads.mean import MeanHead


@pytest.fixture
def sides(make):
    a, b, c = make.cohort(3, n=12).values()
    return [a, b], [c]


def fit(ledger, X):
    return ledger.fit(MeanHead(), X, np.zeros((len(X), 2)), X.section, part="mean", covers=("weights",))


def test_a_fit_is_noted_with_its_sections_and_rows(sides):
    ledger = Ledger(*sides)
    fit(ledger, inputs_of(sides[0]))
    ledger.check()
    entry = ledger.record()["fitted"][0]
    assert [(seen["section"], seen["rows"]) for seen in entry["fitted_on"]] == [("P0S0", 12), ("P1S0", 12)]
    assert ledger.record()["test_patients"] == ["P2"]


def test_a_test_section_in_a_fit_is_found(sides):
    ledger = Ledger(*sides)
    fit(ledger, inputs_of([*sides[0], *sides[1]]))
    with pytest.raises(ResultError, match=r"mean was fitted on(.|\n)*P2S0"):
        ledger.check()


def test_test_spots_under_a_training_sections_name_are_found(sides):
    X = inputs_of([*sides[0], *sides[1]])
    disguised = Inputs(X.blocks, None, np.where(X.section == "P2S0", "P1S0", X.section), X.depth)
    ledger = Ledger(*sides)
    fit(ledger, disguised)
    with pytest.raises(ResultError, match=r"under the name P1S0"):
        ledger.check()


def test_a_target_fitted_on_a_test_section_is_found(sides):
    ledger = Ledger(*sides)
    ledger.note_names("target", ("P0S0", "P2S0"), ("genes",))
    with pytest.raises(ResultError, match="target was fitted on"):
        ledger.check()


def test_a_white_background_is_noted_as_fitted_on_nothing(sides):
    from dataclasses import replace

    plain, white = Ledger(*sides), Ledger(*([replace(one, background="white") for one in side] for side in sides))
    for ledger in (plain, white):
        ledger.note_colours()
    noted = [entry for entry in white.record()["fitted"] if entry not in plain.record()["fitted"]]
    assert noted == [{"part": "background", "covers": ["white off the tissue"], "fitted_on": [], "method": "white"}]


def test_colours_taken_from_a_test_section_are_found(sides):
    from dataclasses import replace

    train, test = ([replace(one, coloured_as="P2S0") for one in side] for side in sides)
    ledger = Ledger(train, test)
    ledger.note_colours()
    with pytest.raises(ResultError, match=r"stain reference was fitted on(.|\n)*P2S0"):
        ledger.check()
