"""A fold is fitted on one side and scored on the other; what is tampered with is found out."""

import json
from dataclasses import replace

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from histoscribe.errors import ConfigError, InputError, ResultError
from histoscribe.predict import evaluate as module
from histoscribe.predict.evaluate import FoldSettings, coverage_by_level, evaluate_fold, plain
from histoscribe.predict.fitting import make_head
from histoscribe.predict.splits import Fold, outer_folds
from histoscribe.predict.summary import choose, compare, majority, summarise

SETTINGS = FoldSettings("genes", {"n_genes": 8}, ("mean", "depth", "ridge"))


def folds_of(sections):
    return outer_folds([(one.name, one.patient) for one in sections.values()])


@pytest.fixture(scope="module")
def sections(make):
    return make.cohort(3)


@pytest.fixture(scope="module")
def results(sections):
    return [evaluate_fold(sections, fold, SETTINGS) for fold in folds_of(sections)]


def test_genes_that_follow_the_features_are_predicted_and_the_others_are_not(results, make):
    record = results[0].record
    pearson = dict(zip(record["target"]["names"], record["heads"]["ridge"]["sections"]["P0S0"]["pearson"], strict=True))
    assert min(pearson[gene] for gene in make.genes[:4]) > 0.7
    assert max(pearson[gene] for gene in make.genes[4:]) < 0.5


def test_the_training_mean_scores_nothing(results):
    average = results[0].record["heads"]["mean"]["sections"]["P0S0"]
    assert (average["mean_pearson"], average["mean_error_ratio"]) == (0, 1)


def test_the_audit_names_the_training_sections_for_every_part(results):
    for entry in results[0].record["audit"]["fitted"]:
        assert {seen["section"] for seen in entry["fitted_on"]} <= {"P1S0", "P2S0"}
    parts = {entry["part"]: entry["covers"] for entry in results[0].record["audit"]["fitted"]}
    assert {"target", "stain reference", "ridge", "ridge, inner fold 1"} <= set(parts)
    assert {"scaler", "PCA", "strength"} <= set(parts["ridge"])


def test_a_test_section_slipped_into_the_training_is_found(sections, monkeypatch):
    honest = module.two_sides

    def leaky(every, fold):
        train, test = honest(every, fold)
        return train, test

    def tampered(name, training, ledger, *, options, seed):
        from histoscribe.predict.data import inputs_of
        from histoscribe.predict.fitting import COVERS

        head = make_head(name, options, seed=seed)
        X = inputs_of(list(sections.values()))
        Y = np.concatenate([training.target.transform(one.measured) for one in sections.values()])
        return ledger.fit(head, X, Y, X.section, part=name, covers=COVERS)

    monkeypatch.setattr(module, "two_sides", leaky)
    monkeypatch.setattr(module, "fit_whole", tampered)
    with pytest.raises(ResultError, match="was fitted on"):
        evaluate_fold(sections, folds_of(sections)[0], SETTINGS)


def test_the_held_out_section_changes_nothing_that_is_fitted(sections, results, make):
    other = dict(sections) | {"P0S0": make.section("P0S0", "P0", seed=9)}
    again = evaluate_fold(other, folds_of(sections)[0], SETTINGS).record
    mine = results[0].record
    assert again["target"]["names"] == mine["target"]["names"]
    assert again["audit"]["fitted"] == mine["audit"]["fitted"]
    assert again["heads"]["ridge"]["cards"] == mine["heads"]["ridge"]["cards"]


def test_the_same_seed_gives_the_same_bytes_on_any_threads(sections, results):
    with threadpool_limits(limits=2):
        again = evaluate_fold(sections, folds_of(sections)[0], SETTINGS)
    assert json.dumps(again.record, sort_keys=True) == json.dumps(results[0].record, sort_keys=True)
    assert all(again.arrays[key].tobytes() == results[0].arrays[key].tobytes() for key in again.arrays)


def test_intervals_hold_the_share_they_promise_on_sections_of_one_kind(results):
    held = [result.record["heads"]["ridge"]["coverage"] for result in results]
    shares = [values["all"] for coverage in held for values in coverage.values()]
    assert 0.84 < np.mean(shares) < 0.98


def test_cards_find_the_genes_that_follow_the_features(results, make):
    verdicts = {card["name"]: card["verdict"] for card in results[0].record["heads"]["ridge"]["cards"]}
    assert {verdicts[gene] for gene in make.genes[:4]} == {"use"}
    assert "use" not in {verdicts[gene] for gene in make.genes[4:]}
    assert results[0].record["heads"]["ridge"]["card_auroc"] > 0.85


def test_cell_types_are_scored_within_spots_beside_a_constant_ranking(make):
    sections = make.cohort(3, abundance=True)
    settings = FoldSettings("abundance", {"ranks": True}, ("mean", "ridge"))
    record = evaluate_fold(sections, folds_of(sections)[0], settings).record
    ridge, mean = (record["heads"][name]["sections"]["P0S0"] for name in ("ridge", "mean"))
    assert ridge["mean_spot_spearman"] > ridge["constant_spot_spearman"]
    assert mean["mean_spot_spearman"] == pytest.approx(mean["constant_spot_spearman"], abs=0.01)


def test_two_patients_are_enough(sections):
    two = {name: sections[name] for name in ("P0S0", "P1S0")}
    record = evaluate_fold(two, folds_of(two)[0], SETTINGS).record
    assert record["inner_groups"] == "block"


def test_sections_without_shared_genes_are_refused(make):
    sections = make.cohort(2) | {"P2S0": make.section("P2S0", "P2", genes=tuple(f"mm{k}" for k in range(8)))}
    with pytest.raises(InputError, match="share no genes"):
        evaluate_fold(sections, Fold("P0", ("P1S0", "P2S0"), ("P0S0",), "patient", leaky=False), SETTINGS)


def test_an_unknown_option_of_a_head_is_named():
    with pytest.raises(ConfigError, match="no option 'componens'"):
        make_head("ridge", {"componens": 3})


def test_averages_are_over_sections_and_the_choice_looks_at_inner_scores(results):
    found = summarise([result.record for result in results], SETTINGS)
    ridge = found["heads"]["ridge"]
    each = [section["mean_pearson"] for section in ridge["sections"].values()]
    assert ridge["average"]["mean_pearson"] == pytest.approx(np.mean(each), abs=1e-5)
    assert (found["chosen"], found["leaky"], found["warning"]) == ("ridge", False, None)


def test_a_choice_never_falls_on_a_baseline_and_ignores_held_out_scores():
    heads = {
        "mean": {"inner_score": 0.9},
        "ridge": {"inner_score": 0.3, "average": {"mean_pearson": 0.0}},
        "knn": {"inner_score": 0.2, "average": {"mean_pearson": 0.9}},
    }
    assert choose(heads) == "ridge"


def test_a_leaky_fold_is_said_in_the_scores(results):
    records = [dict(result.record, leaky=True) for result in results]
    assert summarise(records, SETTINGS)["warning"].startswith("LEAKY")


def test_heads_are_compared_on_the_same_spots(results):
    rows = compare("ridge", ["ridge", "mean"], [result.arrays for result in results], SETTINGS)
    assert {(row["second_name"], row["metric"]) for row in rows} == {
        ("mean", "pearson"),
        ("mean", "pearson_given_depth"),
    }
    assert rows[0]["differs"]


def test_the_more_cautious_verdict_wins_a_tie():
    assert majority(["use", "caution", "use", "caution"]) == "caution"
    assert majority(["use", "use", "do not use"]) == "use"


def test_coverage_is_reported_by_thirds_of_the_level():
    Y = np.tile(np.arange(6.0), (10, 1))
    found = coverage_by_level(Y, np.zeros_like(Y), np.full_like(Y, 3.5))
    assert (found["low"], found["middle"], found["high"]) == (1.0, 1.0, 0.0)


def test_what_is_not_finite_becomes_null():
    assert plain({"a": np.array([1.0, np.nan]), "b": np.int64(2), "c": float("inf")}) == {
        "a": [1.0, None],
        "b": 2,
        "c": None,
    }


def test_the_plain_mean_of_several_heads_stands_beside_them(make):
    sections = make.cohort(3, n=30)
    settings = FoldSettings("genes", {"n_genes": 4}, ("mean", "ridge", "knn"))
    found = evaluate_fold(sections, folds_of(sections)[0], settings)
    members = [found.arrays[f"P0S0/{name}"] for name in ("ridge", "knn")]
    np.testing.assert_allclose(found.arrays["P0S0/members_mean"], np.mean(members, axis=0), atol=1e-6)


def test_every_stack_asked_for_is_scored_and_said_to_be_worth_it_or_not(make):
    sections = make.cohort(4, n=30)
    settings = FoldSettings("genes", {"n_genes": 4}, ("mean", "ridge", "knn"), stacks=("ridge", "mlp"))
    found = evaluate_fold(sections, folds_of(sections)[0], settings)
    assert {"stack_ridge", "stack_mlp"} <= set(found.record["heads"])
    assert {judged["note"] for judged in found.record["stack"].values()} <= {"worth it", "not worth it"}
    assert set(found.record["stack"]) == {"stack_ridge", "stack_mlp"}


def test_no_stack_is_chosen_where_there_is_nothing_to_learn(make):
    """Cell types differ between patients and follow no feature."""
    rng, sections = np.random.default_rng(0), {}
    for name, one in make.cohort(4, n=24, abundance=True).items():
        types = np.exp(rng.normal(size=4) + 0.3 * rng.normal(size=(24, 4)))
        sections[name] = replace(one, measured=replace(one.measured, abundance=types))
    settings = FoldSettings("abundance", {"ranks": True}, ("mean", "ridge", "knn"), stacks=("ridge", "mlp"))
    summary = summarise([evaluate_fold(sections, folds_of(sections)[0], settings).record], settings)
    assert summary["heads"][summary["chosen"]]["role"] == "head"


def test_no_stack_is_chosen_for_the_sake_of_a_member_that_overfits(make):
    sections = make.cohort(4, n=40)
    overfits = {"knn": {"k": [1], "components": 40}}  # the one most similar spot, noise and all
    settings = FoldSettings("genes", {"n_genes": 8}, ("mean", "ridge", "knn"), overfits, stacks=("ridge",))
    summary = summarise([evaluate_fold(sections, folds_of(sections)[0], settings).record], settings)
    assert summary["heads"]["knn"]["inner_score"] < summary["heads"]["ridge"]["inner_score"] - 0.1
    assert summary["chosen"] == "ridge"


def test_with_two_training_patients_a_stack_is_judged_on_blocks_within_each(make):
    sections = make.cohort(3, n=40)
    settings = FoldSettings("genes", {"n_genes": 4}, ("mean", "ridge", "knn"))
    record = evaluate_fold(sections, folds_of(sections)[0], settings).record
    assert "stack_ridge" in record["heads"]
    parts = {entry["part"]: entry["fitted_on"] for entry in record["audit"]["fitted"]}
    assert [one["section"] for one in parts["ridge, inner fold 1.1"]] == [
        one["section"] for one in parts["ridge, inner fold 1"]
    ]


def test_inner_scores_are_kept_section_by_section(results):
    inner = results[0].record["heads"]["ridge"]
    assert set(inner["inner_scores"]) == {"P1S0", "P2S0"}
    assert np.mean(list(inner["inner_scores"].values())) == pytest.approx(inner["inner_score"], abs=1e-5)


def test_of_a_single_training_section_inner_scores_are_kept_block_by_block(make):
    two = make.cohort(2)
    record = evaluate_fold(two, folds_of(two)[0], SETTINGS).record
    assert len(record["heads"]["ridge"]["inner_scores"]) > 2
