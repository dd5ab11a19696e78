"""Scores of one section, and their mean over sections."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from histoscribe.errors import InputError
from histoscribe.predict.metrics import average_sections, average_targets, score_section, spot_spearman


def example(n=60, t=5, seed=0):
    rng = np.random.default_rng(seed)
    Y = np.round(rng.normal(2, 1, (n, t)), 1)  # with ties
    return Y, (0.6 * Y + rng.normal(0, 0.8, (n, t))).astype(np.float32), Y.mean(axis=0) + 0.1


def test_correlations_are_those_of_scipy():
    Y, P, mean = example()
    scores = score_section(Y, P, train_mean=mean)
    for k in range(Y.shape[1]):
        assert scores["pearson"][k] == pytest.approx(stats.pearsonr(Y[:, k], P[:, k]).statistic)
        assert scores["spearman"][k] == pytest.approx(stats.spearmanr(Y[:, k], P[:, k]).statistic)


def test_the_error_ratio_is_1_for_the_training_mean_and_0_for_the_truth():
    Y, _, mean = example()
    constant = np.broadcast_to(mean, Y.shape)
    np.testing.assert_allclose(score_section(Y, constant, train_mean=mean)["error_ratio"], 1)
    np.testing.assert_allclose(score_section(Y, Y, train_mean=mean)["error_ratio"], 0)


def test_the_spread_ratio_is_that_of_standard_deviations():
    Y, P, mean = example()
    np.testing.assert_allclose(
        score_section(Y, P, train_mean=mean)["spread_ratio"], P.std(axis=0) / Y.std(axis=0), rtol=1e-5
    )


def test_a_constant_prediction_scores_0_and_is_counted():
    Y, P, mean = example()
    P[:, 2] = 1.7
    scores = score_section(Y, P, train_mean=mean, depth=np.arange(60.0))
    for key in ("pearson", "spearman", "spread_ratio", "pearson_given_depth"):
        assert scores[key][2] == 0
    assert scores["n_constant_prediction"] == 1
    assert scores["n_scored"] == 5


def test_a_constant_truth_is_left_out_and_counted():
    Y, P, mean = example()
    Y[:, 1] = 3.0
    scores = score_section(Y, P, train_mean=mean)
    assert np.isnan(scores["pearson"]).tolist() == [False, True, False, False, False]
    assert (scores["n_constant_truth"], scores["n_scored"]) == (1, 4)
    assert scores["mean_pearson"] == pytest.approx(np.nanmean(scores["pearson"]))


def test_a_target_that_was_not_measured_is_left_out_and_counted():
    Y, P, mean = example()
    Y[:, 4] = np.nan
    scores = score_section(Y, P, train_mean=mean)
    assert np.isnan(scores["error_ratio"][4])
    assert (scores["n_not_measured"], scores["n_constant_truth"]) == (1, 0)


def test_the_depth_as_prediction_scores_nothing_beyond_the_depth():
    Y, _, mean = example()
    depth = np.random.default_rng(1).normal(8, 1, 60)
    Y = Y + depth[:, None]
    scores = score_section(Y, np.repeat(depth[:, None], 5, axis=1), train_mean=mean, depth=depth)
    assert scores["mean_pearson"] > 0.3
    np.testing.assert_array_equal(scores["pearson_given_depth"], 0)


def test_without_depth_nothing_is_said_about_it():
    Y, P, mean = example()
    assert not any("depth" in key for key in score_section(Y, P, train_mean=mean))


def test_the_share_of_the_ceiling_is_that_of_the_scored_targets():
    Y, P, mean = example()
    Y[:, 1] = 3.0
    scores = score_section(Y, P, train_mean=mean, ceiling=np.array([0.8, 0.1, 0.8, np.nan, 0.5]))
    assert scores["mean_ceiling"] == pytest.approx(0.7)
    assert scores["share_of_ceiling"] == pytest.approx(scores["pearson"][[0, 2, 4]].mean() / 0.7)


def test_ranks_are_compared_across_targets_beside_one_constant_ranking():
    Y, P, mean = example()
    scores = score_section(Y, P, train_mean=mean, kind="ranks", constant_ranking=np.arange(5))
    expected = [stats.spearmanr(Y[k], P[k]).statistic for k in range(60)]
    np.testing.assert_allclose(scores["spot_spearman"], expected)
    constant = [stats.spearmanr(Y[k], np.arange(5)).statistic for k in range(60)]
    assert scores["constant_spot_spearman"] == pytest.approx(np.mean(constant))


def test_a_spot_without_order_is_left_out_and_a_prediction_without_one_scores_0():
    Y, P = np.array([[1.0, 1, 1], [1, 2, 3]]), np.array([[1.0, 2, 3], [5, 5, 5]])
    found = spot_spearman(Y, P)
    assert np.isnan(found[0])
    assert found[1] == 0


@given(st.floats(0.1, 50), st.floats(-20, 20), st.integers(0, 20))
def test_correlations_do_not_depend_on_the_unit_of_the_prediction(factor, offset, seed):
    Y, P, mean = example(seed=seed)
    P = P.astype(np.float64)
    first = score_section(Y, P, train_mean=mean)["pearson"]
    np.testing.assert_allclose(score_section(Y, factor * P + offset, train_mean=mean)["pearson"], first, atol=1e-7)


@given(st.integers(0, 50))
def test_the_order_of_spots_does_not_matter(seed):
    Y, P, mean = example(seed=seed)
    order = np.random.default_rng(seed).permutation(len(Y))
    first, second = (score_section(Y[o], P[o], train_mean=mean, depth=Y[o, 0]) for o in (np.arange(len(Y)), order))
    for key in ("mean_pearson", "mean_spearman", "mean_error_ratio"):
        assert first[key] == pytest.approx(second[key])


@pytest.mark.parametrize(
    "change",
    [
        lambda Y, P, m: (Y[:-1], P, m),
        lambda Y, P, m: (Y, P, m[:-1]),
        lambda Y, P, m: (Y, np.where(P == P[0, 0], np.nan, P), m),
        lambda Y, P, m: (np.where(Y == Y[0, 0], np.nan, Y), P, m),
    ],
)
def test_what_does_not_fit_is_refused(change):
    Y, P, mean = change(*example())
    with pytest.raises(InputError):
        score_section(Y, P, train_mean=mean)


def test_sections_count_the_same_and_are_never_pooled():
    Y, _, mean = example(40)
    good, bad = score_section(Y, Y, train_mean=mean), score_section(Y[:10], 0 * Y[:10], train_mean=mean)
    average = average_sections([good, bad])
    assert average["mean_pearson"] == pytest.approx(0.5)  # by spots it would be 0.8
    assert average["n_sections"] == 2
    assert average["n_spots"] == 50
    assert average["sd_over_sections_mean_pearson"] == pytest.approx(np.std([1, 0], ddof=1))


def test_distinguishing_sections_earns_nothing():
    rng = np.random.default_rng(0)
    sections = []
    for level in (0.0, 10.0):
        Y = level + rng.normal(size=(50, 3))
        sections.append(score_section(Y, np.full((50, 3), level), train_mean=np.full(3, 5.0)))
    assert average_sections(sections)["mean_pearson"] == 0


def test_a_mean_of_sections_passes_over_what_could_not_be_scored():
    Y, P, mean = example()
    nothing = score_section(np.ones_like(Y), P, train_mean=mean)
    average = average_sections([score_section(Y, Y, train_mean=mean), nothing])
    assert average["mean_pearson"] == pytest.approx(1)


def test_targets_are_joined_by_name_over_sections():
    Y, P, mean = example(t=2)
    scores = score_section(Y, P, train_mean=mean)
    rows = average_targets([scores, scores], [("A", "B"), ("B", "C")])
    assert list(rows) == ["A", "B", "C"]
    assert rows["B"]["pearson"] == pytest.approx(scores["pearson"].mean())
    assert (rows["A"]["n_sections"], rows["B"]["n_sections"]) == (1, 2)
    assert np.isnan(rows["A"]["pearson_given_depth"])


def test_scores_that_were_read_back_from_json_average_the_same():
    Y, P, mean = example()
    Y[:, 1] = 3.0
    scores = score_section(Y, P, train_mean=mean)
    record = {key: [None if v != v else v for v in value] if np.ndim(value) else value for key, value in scores.items()}
    names = [tuple("ABCDE")]
    np.testing.assert_equal(average_targets([record], names), average_targets([scores], names))
    np.testing.assert_equal(average_sections([record | {"mean_pearson": None}])["mean_pearson"], float("nan"))


def test_no_sections_have_no_average():
    with pytest.raises(InputError):
        average_sections([])
