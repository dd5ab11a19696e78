"""Genes that vary together are predicted together; a direction that nothing explains is predicted by its mean."""

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from histoscribe.errors import ConfigError, InputError
from histoscribe.numerics.correlation import columnwise_pearson
from histoscribe.predict.head import Inputs
from histoscribe.predict.heads.lowrank import LowRankHead
from histoscribe.predict.heads.ridge import RidgeHead


def cohort(n=240, t=80, noise=3.0, seed=0):
    """Two hidden programmes, one non-linear, seen by one of two encoders and measured by many noisy genes."""
    random = np.random.default_rng(seed)
    hidden = random.normal(size=(n, 2))
    hidden[:, 1] = np.abs(hidden[:, 0]) - 0.8 + 0.3 * hidden[:, 1]
    seen = np.column_stack([hidden, random.normal(size=(n, 6))]) @ random.normal(size=(8, 8))
    blocks = {
        "a@112": seen,
        "neighbours:a@112": seen + random.normal(size=seen.shape),
        "b@112": random.normal(size=(n, 5)),
        "position": random.normal(size=(n, 2)),
    }
    signal = hidden @ random.normal(size=(2, t))
    section = np.repeat(["s1", "s2", "s3", "s4"], n // 4)
    X = Inputs({name: block.astype(np.float32) for name, block in blocks.items()}, section=section)
    return X, signal + noise * random.normal(size=signal.shape), signal, section


def split():
    X, Y, signal, section = cohort()
    train = section != "s4"
    return X.rows(train), Y[train], section[train], X.rows(~train), signal[~train]


def test_strength_is_borrowed_across_noisy_genes():
    X, Y, groups, new, signal = split()
    lowrank = columnwise_pearson(signal, LowRankHead().fit(X, Y, groups).predict(new)).mean()
    ridge = columnwise_pearson(signal, RidgeHead().fit(X, Y, groups).predict(new)).mean()
    assert lowrank > ridge + 0.1


def test_targets_that_nothing_explains_get_their_mean():
    X, Y, groups, new, _ = split()
    noise = np.random.default_rng(1).normal(size=Y.shape) + 5.0
    predicted = LowRankHead().fit(X, noise, groups).predict(new)
    assert predicted.std(axis=0).mean() < 0.2 * noise.std()
    np.testing.assert_allclose(predicted.mean(), 5.0, atol=0.1)


def test_a_batch_between_sections_is_not_learned():
    X, Y, groups, new, _ = split()
    shift = np.where(groups == "s1", 100.0, 0.0)[:, None]
    plain, shifted = (LowRankHead().fit(X, targets, groups).predict(new) for targets in (Y, Y + shift))
    np.testing.assert_allclose(shifted - plain, 100 / 3, atol=1e-2)


def test_the_position_is_not_looked_at():
    X, Y, groups, new, _ = split()
    head = LowRankHead().fit(X, Y, groups)
    moved = Inputs({**new.blocks, "position": new.blocks["position"] + 9}, section=new.section)
    np.testing.assert_array_equal(head.predict(moved), head.predict(new))


def test_views_are_all_blocks_own_tiles_surroundings_and_each_encoder():
    X, Y, groups, _, _ = split()
    names = LowRankHead().fit(X, Y, groups).view_names_
    assert set(names) == {"all, linear", "all, near", "all", "own", "around", "encoder a", "encoder b"}


def test_threads_do_not_change_a_bit():
    X, Y, groups, new, _ = split()
    predictions = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            predictions.append(LowRankHead().fit(X, Y, groups).predict(new))
    np.testing.assert_array_equal(*predictions)


def test_a_fitted_head_is_restored_from_its_state():
    X, Y, groups, new, _ = split()
    head = LowRankHead(landmarks=50).fit(X, Y, groups)
    again = LowRankHead(**head.params()).with_state(head.state())
    np.testing.assert_array_equal(again.predict(new), head.predict(new))


@pytest.mark.parametrize("groups", [None, np.zeros(9), np.arange(9)])
def test_few_spots_in_any_grouping_give_finite_predictions(groups):
    X, Y, _, _ = cohort(n=240)
    few = X.rows(np.arange(9))
    assert np.isfinite(LowRankHead().fit(few, Y[:9], groups).predict(X)).all()


def test_constant_targets_and_features_are_predicted_by_their_mean():
    predicted = LowRankHead().fit(np.ones((8, 3)), np.full((8, 2), 4.0), np.arange(8) % 2).predict(np.ones((2, 3)))
    np.testing.assert_allclose(predicted, 4.0, atol=1e-6)


def test_missing_values_are_refused():
    with pytest.raises(InputError, match="finite"):
        LowRankHead().fit(np.full((8, 3), np.nan), np.ones((8, 2)))


def test_no_directions_are_refused():
    with pytest.raises(ConfigError, match="component"):
        LowRankHead(rank=0)
