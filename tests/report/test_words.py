"""Sentences say what the numbers say."""

import numpy as np
import pytest

from histoscribe.report import words

STAIN = {"section": "S", "normaliser": {"method": "macenko"}}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1234567, "1,234,567"),
        (0.123456, "0.1235"),
        (12345.6, "12,346"),
        (float("nan"), "not known"),
        (True, "yes"),
        (None, "none"),
        (np.float32(0.5), "0.5"),
        (np.int64(2000), "2,000"),
    ],
)
def test_numbers_are_written_for_readers(value, text):
    assert words.number(value) == text


def test_nested_values_become_rows_named_by_their_path():
    rows = dict(words.flat({"a": {"b": 1, "c": [1, 2]}, "d": [{"e": None}]}))
    assert rows == {"a.b": "1", "a.c": "1, 2", "d.1.e": "none"}


def test_the_most_severe_finding_is_the_verdict():
    findings = [{"level": "ok"}, {"level": "refused"}, {"level": "warning"}]
    assert words.worst_level(findings) == "refused"
    assert words.worst_level([]) == "ok"


def test_microns_per_pixel_come_with_sources_and_their_agreement(contents_of):
    text = words.microns_per_pixel(contents_of(preflight={"mpp_by_source": {"pitch": 4.0, "tags": 4.2}}))
    assert "pitch 4; tags 4.2" in text
    assert "5.0 %" in text


def test_one_source_alone_is_said_to_be_alone(contents_of):
    assert "one source only: tiff tags 4" in words.microns_per_pixel(contents_of())


def test_a_requested_number_that_was_missed_is_said(contents_of):
    assert "but the section gave 4" in words.why_this_number({"requested": 5}, 4)[0]
    assert "that is how many" in words.why_this_number({"requested": 4}, 4)[0]


def test_a_chosen_number_is_set_against_the_next_best():
    choice = {"numbers": [3, 4, 5], "stability": [0.6, 0.9, 0.7], "chosen": 4, "rule": "the best."}
    sentences = words.why_this_number({"requested": None, "choice": choice}, 4)
    assert sentences[0] == "No number was asked for; 4 was chosen."
    assert "0.90" in sentences[1]
    assert "5 is the most stable, with 0.70" in sentences[2]
    assert sentences[3] == "The rule: the best."


def test_the_numbers_that_would_do_as_well_are_named():
    choice = {"numbers": [3, 4, 5], "stability": [0.88, 0.9, 0.4], "chosen": 4, "admissible": [3, 4]}
    said = " ".join(words.why_this_number({"requested": None, "choice": choice}, 4))
    assert "equally admissible: 3." in said
    choice["admissible"] = [4]
    assert "admissible" not in " ".join(words.why_this_number({"requested": None, "choice": choice}, 4))


def test_a_stability_that_is_not_known_is_left_out_of_the_curve():
    choice = {"numbers": [4, 3, 5], "stability": [0.9, 0.6, float("nan")]}
    assert words.stability_curve({"choice": choice}) == {3: 0.6, 4: 0.9}


def test_unknown_evidence_gives_no_sentences():
    assert words.why_this_number({}, 4) == []


@pytest.mark.parametrize(("ari", "said"), [(0.8, "0.40 above"), (0.41, "no better than"), (0.2, "0.20 below")])
def test_a_score_is_set_against_its_best_floor(ari, said):
    scores = {"ari": {"score": ari, "coordinates": 0.1, "colour": 0.4}}
    text = " ".join(words.score_sentences(scores))
    assert said in text
    assert "colour only, 0.40" in text


def test_scores_without_floors_make_a_table_of_one_column():
    assert words.score_rows({"ari": {"score": 0.5}, "spots": 170}) == (
        ["this run"],
        [("adjusted Rand index", ["0.500"])],
    )


def test_methods_name_the_encoder_its_licence_the_versions_and_the_seed(contents_of):
    text = words.methods(contents_of())
    for part in (
        "histoscribe 0.1.0",
        "torch 2.13.0",
        "resnet50",
        "licence Apache-2.0",
        "seed 7",
        "Tiles of 100 µm",
        "S1",
    ):
        assert part in text


def test_methods_say_when_a_licence_is_not_stated(contents_of):
    assert "licence not stated" in words.methods(
        contents_of(record={"configuration": {"embed": {"encoder": {"name": "mine"}}}})
    )


def test_methods_name_the_stain_normalisation_and_the_method(contents_of):
    text = words.methods(
        contents_of(record={"configuration": {"embed": {"stain": STAIN}, "domains": {"method": "histology"}}})
    )
    assert "Stain was normalised (macenko)" in text
    assert "by the method histology" in text
    assert "Stain" not in words.methods(contents_of(record={"configuration": {"embed": {"stain": None}}}))


def test_methods_say_of_a_consensus_how_many_divisions_it_is_of(contents_of):
    text = words.methods(contents_of(evidence={"consensus": {"divisions": ["as asked", "seed 1", "3 domains"]}}))
    assert "consensus of 3 divisions" in text
    assert "consensus" not in words.methods(contents_of(evidence={}))


def test_a_choice_that_the_repeats_do_not_support_is_reported():
    evidence = {"requested": None, "choice": {"chosen": 3, "agreed": False, "numbers": [2, 3], "stability": [0.4, 0.5]}}
    assert any(sentence.startswith("No number is stable here") for sentence in words.why_this_number(evidence, 3))
    evidence["choice"]["agreed"] = True
    assert not any(sentence.startswith("No number is stable here") for sentence in words.why_this_number(evidence, 3))


def test_a_domain_from_one_division_alone_is_reported():
    sentences = words.why_this_number({"requested": 8, "all_domains_hold": False}, 8)
    assert any("single division" in sentence for sentence in sentences)
    assert not any("single division" in sentence for sentence in words.why_this_number({"requested": 8}, 8))
