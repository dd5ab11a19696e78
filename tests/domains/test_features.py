import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscribe.domains.features import join_blocks, principal_components
from histoscribe.errors import ConfigError, InputError


def blocks(n=200):
    rng = np.random.default_rng(0)
    return {
        "image": rng.normal(0, 1e-3, (n, 120)) @ rng.normal(0, 1, (120, 120)),
        "nuclei": rng.normal(500, 80, (n, 7)),
        "position": rng.uniform(0, [9000, 300], (n, 2)),
    }


WEIGHTS = {"image": 1.0, "nuclei": 0.5, "position": 0.01}


def test_a_blocks_variance_is_its_weight_whatever_its_unit():
    joined = join_blocks(blocks(), weights=WEIGHTS)
    variances = {name: joined.X[:, part].var(axis=0).sum() for name, part in joined.columns.items()}
    assert variances == pytest.approx(WEIGHTS)


def test_rescaling_a_block_changes_nothing():
    given = blocks()
    scaled = {**given, "nuclei": given["nuclei"] * 1000 + 7, "image": given["image"] * 1e-4}
    assert join_blocks(scaled, weights=WEIGHTS).X == pytest.approx(join_blocks(given, weights=WEIGHTS).X, abs=1e-6)


def test_blocks_are_joined_by_name_and_not_by_position():
    given = blocks()
    turned = dict(reversed(given.items()))
    assert np.array_equal(join_blocks(turned, weights=WEIGHTS).X, join_blocks(given, weights=WEIGHTS).X)


def test_a_long_section_stays_long():
    part = join_blocks({"position": blocks()["position"]}, weights={"position": 1.0}).X
    assert part[:, 0].std() > 20 * part[:, 1].std()  # 9,000 against 300 um


def test_a_wide_block_is_reduced_and_the_kept_variance_recorded():
    joined = join_blocks(blocks(), weights=WEIGHTS, n_components=10)
    assert joined.columns["image"] == slice(0, 10)
    assert 0 < joined.record["image"]["variance_kept"] < 1


def test_constant_columns_are_dropped_and_counted():
    given = blocks()
    given["nuclei"][:, 3] = 123.456
    joined = join_blocks(given, weights=WEIGHTS)
    assert joined.record["nuclei"]["constant"] == 1
    assert joined.columns["nuclei"].stop - joined.columns["nuclei"].start == 6


def test_a_constant_block_beside_others_is_left_out_and_recorded():
    given = {**blocks(), "nuclei": np.full((200, 3), 5.0)}
    joined = join_blocks(given, weights=WEIGHTS)
    assert "nuclei" not in joined.columns
    assert joined.record["nuclei"]["used"] is False


def test_a_block_of_weight_zero_has_no_influence():
    given = blocks()
    without = join_blocks({"image": given["image"]}, weights={"image": 1.0}).X
    joined = join_blocks(given, weights={"image": 1.0, "nuclei": 0.0, "position": 0.0})
    assert np.array_equal(joined.X, without)


def test_the_record_is_json():
    joined = join_blocks(blocks(), weights=WEIGHTS)
    assert json.loads(json.dumps(joined.record)) == joined.record


def test_with_a_graph_components_are_ordered_by_coherence(field):
    joined = join_blocks({"image": field.image}, weights={"image": 1.0}, graph=field.graph)
    found = joined.record["image"]["autocorrelation"]
    assert found == sorted(found, reverse=True)
    assert found[0] > 0.4  # white noise has 0
    assert found[-1] < 0.3


def test_coherent_components_separate_domains_better_than_principal_ones(field):
    def separation(X):  # share of variance between domains, first three components
        between = sum((field.truth == k).mean() * X[field.truth == k].mean(axis=0) ** 2 for k in range(4))
        return (between / X.var(axis=0))[:3].mean()

    plain = join_blocks({"image": field.image}, weights={"image": 1.0})
    coherent = join_blocks({"image": field.image}, weights={"image": 1.0}, graph=field.graph)
    assert separation(coherent.X) > 3 * separation(plain.X)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000), st.integers(4, 40), st.integers(1, 40))
def test_principal_components_are_uncorrelated_ordered_and_keep_distances(seed, n, d):
    X = np.random.default_rng(seed).normal(size=(n, d))
    X -= X.mean(axis=0)
    scores, share = principal_components(X, 100)
    covariance = scores.T @ scores
    assert covariance == pytest.approx(np.diag(np.diag(covariance)), abs=1e-8)
    assert (np.diff(np.diag(covariance)) <= 1e-8).all()
    assert share == pytest.approx(1.0)
    assert (scores**2).sum() == pytest.approx((X**2).sum())


def test_the_sign_of_a_component_is_fixed():
    X = np.random.default_rng(0).normal(size=(50, 5))
    X -= X.mean(axis=0)
    scores, _ = principal_components(X, 5)
    loadings = X.T @ scores
    assert (loadings[np.abs(loadings).argmax(axis=0), range(5)] > 0).all()


def broken(name, row, value):
    given = blocks()
    given[name][row, 0] = value
    return given


@pytest.mark.parametrize(
    ("given", "weights", "error", "words"),
    [
        ({}, {}, InputError, "no features"),
        (blocks(), {**WEIGHTS, "nucleii": 1.0}, ConfigError, "did you mean nuclei"),
        (blocks(), {"image": 1.0, "nuclei": 1.0}, ConfigError, "'position' has no weight"),
        (blocks(), {**WEIGHTS, "image": -1.0}, ConfigError, "must not be negative"),
        (blocks(), {**WEIGHTS, "image": float("nan")}, ConfigError, "must not be negative"),
        (blocks(), dict.fromkeys(WEIGHTS, 0.0), ConfigError, "every feature block has the weight 0"),
        ({**blocks(), "nuclei": np.zeros((7, 2))}, WEIGHTS, InputError, "different numbers of spots"),
        ({**blocks(), "nuclei": np.zeros(200)}, WEIGHTS, InputError, "wrong shape"),
        ({**blocks(), "nuclei": np.zeros((200, 0))}, WEIGHTS, InputError, "wrong shape"),
        (broken("image", 17, np.nan), WEIGHTS, InputError, "first in row 17"),
        (broken("nuclei", 3, np.inf), WEIGHTS, InputError, "1 of 200 spots"),
        ({"image": np.full((200, 4), 0.1)}, {"image": 1.0}, InputError, "no feature differs"),
    ],
)
def test_what_cannot_be_joined_is_refused(given, weights, error, words):
    with pytest.raises(error, match=words):
        join_blocks(given, weights=weights)
