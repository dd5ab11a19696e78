"""Cards predict which genes can be trusted, and say of use only what was seen on other patients."""

import json
from dataclasses import replace

import numpy as np
import pytest

from histoscribe.errors import InputError
from histoscribe.predict.gene_card import (
    NONE_LEFT_OUT,
    ONE_PATIENT,
    UNKNOWN_PATIENTS,
    OutOfFold,
    card_auroc,
    make_cards,
)

NAMES = ("clear", "faint", "noise", "depth", "constant")


def section(seed, *, n=800, depth=True, ceiling=None):
    """Genes that the prediction knows well, a little, not at all, through the depth alone, and one that is constant."""
    rng = np.random.default_rng(seed)
    signal, molecules = rng.normal(size=(n, 5)), rng.normal(8, 0.5, n)
    Y = np.array([0.8, 0.19, 0, 0, 0]) * signal + np.array([0.6, 0.98, 1, 0.4, 0]) * rng.normal(size=(n, 5))
    Y[:, 3] += 1.5 * (molecules - 8)
    P = np.array([0.6, 0.19, 0.1, 0, 0.1]) * signal
    P[:, 3] = 1.2 * (molecules - 8) + 0.1 * rng.normal(size=n)
    depths = molecules if depth else None
    return OutOfFold(Y + 2, P + 2, np.full(5, 2.0), depths, ceiling, patient=f"P{seed}", unseen=True)


@pytest.fixture
def cards():
    return dict(zip(NAMES, make_cards(NAMES, [section(k) for k in range(5)]), strict=True))


def test_verdicts_follow_what_the_picture_knows(cards):
    assert {name: card.verdict for name, card in cards.items()} == {
        "clear": "use",
        "faint": "caution",
        "noise": "do not use",
        "depth": "do not use",
        "constant": "do not use",
    }


def test_a_gene_that_is_depth_alone_has_skill_but_none_beyond_depth(cards):
    assert cards["depth"].skill > 0.5
    assert abs(cards["depth"].skill_depth) < 0.1


def test_without_depth_skill_alone_decides():
    cards = dict(zip(NAMES, make_cards(NAMES, [section(k, depth=False) for k in range(5)]), strict=True))
    assert cards["depth"].verdict == "use"
    assert np.isnan(cards["depth"].skill_depth)


def test_a_gene_that_is_noise_of_counting_is_not_to_be_used():
    low = np.array([0.05, 0.9, 0.9, 0.9, 0.9])
    card = make_cards(NAMES, [section(k, ceiling=low) for k in range(5)])[0]
    assert card.ceiling == pytest.approx(0.05)
    assert card.verdict == "do not use"


def test_a_prediction_worse_than_the_mean_is_not_to_be_used():
    sections = [section(k) for k in range(5)]
    loud = [replace(s, P=2 + 6 * (s.P - 2)) for s in sections]
    card = make_cards(NAMES, loud)[0]
    assert card.skill > 0.5
    assert card.error_ratio > 1
    assert card.verdict == "do not use"


def test_skill_that_comes_and_goes_is_not_to_be_used():
    sections = [section(k) for k in range(4)]
    fickle = [replace(s, P=s.P if k % 2 else 4 - s.P) for k, s in enumerate(sections)]
    card = make_cards(NAMES, fickle)[0]
    assert card.verdict == "do not use"


@pytest.mark.parametrize(
    ("differs", "reason"),
    [
        ({"patient": "P0", "unseen": False}, ONE_PATIENT),
        ({"patient": None, "unseen": False}, UNKNOWN_PATIENTS),
        ({"unseen": False}, NONE_LEFT_OUT),
        ({"patient": "P0"}, ONE_PATIENT),
    ],
)
def test_what_was_not_seen_on_two_other_patients_is_not_said_to_be_of_use(differs, reason):
    cards = make_cards(NAMES, [replace(section(k), **differs) for k in range(5)])
    assert {card.name: (card.verdict, card.reason) for card in cards} == {
        "clear": ("caution", reason),
        "faint": ("caution", reason),
        **dict.fromkeys(("noise", "depth", "constant"), ("do not use", "")),
    }


def test_sections_of_one_patient_count_as_one():
    """A fourth of the sections, but half of the patients: skill that only one patient shows."""
    shown = [replace(section(k), patient="P0") for k in range(3)]
    other = section(3)
    hidden = replace(other, P=np.random.default_rng(0).permutation(other.P))
    card = make_cards(NAMES, [*shown, hidden])[0]
    assert card.skill == pytest.approx(0.4, abs=0.05)
    assert (card.n_sections, card.n_patients) == (4, 2)


def test_the_constant_gene_was_scored_nowhere(cards):
    assert cards["constant"].n_sections == 0
    assert cards["clear"].n_sections == 5


def test_a_record_is_json(cards):
    record = json.loads(json.dumps(cards["constant"].record(), allow_nan=False))
    assert record["skill"] is None
    assert record["verdict"] == "do not use"


def test_cards_predict_the_held_out_section(cards):
    held_out = np.array([0.7, 0.25, 0.0, 0.6, np.nan])
    assert card_auroc(list(cards.values()), held_out) == 1.0
    assert card_auroc(list(cards.values()), -held_out, threshold=-0.1) == 0.0


def test_cards_are_judged_beyond_depth_too(cards):
    held_out = np.array([0.7, 0.15, 0.0, 0.0, np.nan])
    assert card_auroc(list(cards.values()), held_out, measure="skill_depth", threshold=0.1) == 1.0


def test_the_auroc_is_unknown_where_all_genes_are_alike(cards):
    assert np.isnan(card_auroc(list(cards.values()), np.full(5, 0.9)))


def test_one_section_makes_no_card():
    with pytest.raises(InputError, match="at least two"):
        make_cards(NAMES, [section(0)])
