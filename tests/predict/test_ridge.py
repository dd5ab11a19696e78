"""The ridge is the textbook's, its strength comes from groups that it has not seen, and threads do not matter."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_limits

from histoscribe.errors import ConfigError, InputError
from histoscribe.expression.precision import LEAST
from histoscribe.numerics.correlation import columnwise_pearson
from histoscribe.predict import HEADS, Inputs
from histoscribe.predict.heads.ridge import Moments, RidgeHead, Spectrum, held_out_correlation


def cohort(n=120, d=12, t=5, noise=0.5, seed=0):
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, d)).astype(np.float32)
    Y = X @ random.normal(size=(d, t)) + noise * random.normal(size=(n, t)) + 3.0
    return X, Y, np.arange(n) % 4


def test_weights_are_those_of_ridge_regression():
    X, Y, _ = cohort()
    weight = np.random.default_rng(1).uniform(0.1, 2, len(X))
    spectrum = Spectrum.of(Moments.of(X.astype(float), Y, weight))
    reference = Ridge(alpha=0.3 * spectrum.unit).fit(X.astype(float), Y, sample_weight=weight)
    np.testing.assert_allclose(spectrum.weights(0.3), reference.coef_.T, atol=1e-8)


def test_correlation_from_moments_is_the_one_from_rows():
    X, Y, groups = cohort()
    Z, held = X.astype(float), groups == 1
    one = np.ones(len(Z))
    total, part = Moments.of(Z, Y, one), Moments.of(Z[held], Y[held], one[held])
    spectrum = Spectrum.of(total.without(part))
    reference = Ridge(alpha=0.1 * spectrum.unit).fit(Z[~held], Y[~held]).predict(Z[held])
    found = held_out_correlation(spectrum, part, spectrum.turned_weights(0.1))
    np.testing.assert_allclose(found, columnwise_pearson(Y[held], reference), atol=1e-8)


def test_what_is_linear_is_learned():
    X, Y, groups = cohort(noise=0.1)
    head = RidgeHead().fit(X[:90], Y[:90], groups[:90])
    assert columnwise_pearson(Y[90:], head.predict(X[90:])).min() > 0.98


@pytest.mark.parametrize("name", ["ridge", "lowrank"])
def test_spots_without_weight_change_nothing_for_others(name):
    X, Y, groups = cohort()
    wrong = np.random.default_rng(2).choice(len(X), 12, replace=False)
    weight = np.ones(len(X))
    weight[wrong] = LEAST
    predicted = []
    for shift in (0.0, 5.0):
        Y[wrong] += shift
        head = HEADS.get(name)().fit(Inputs({"image@112": X}, weight=weight), Y, groups)
        predicted.append(head.predict({"image@112": X}))
    assert np.abs(predicted[1] - predicted[0]).max() < 0.02  # over 1.6 with the weight of the others


def test_noise_gets_a_stronger_ridge_than_signal():
    X, Y, groups = cohort(n=200, d=60)
    Y[:, 0] = 0.1 * Y[:, 1] + 3 * np.random.default_rng(1).normal(size=200)
    head = RidgeHead(per_target=True).fit(X, Y, groups)
    assert head.strength_[0] > head.strength_[1:].max()


def test_one_strength_serves_all_targets_unless_asked():
    assert len(np.unique(RidgeHead().fit(*cohort()).strength_)) == 1


def test_threads_do_not_change_a_bit():
    data = cohort(n=300, d=40)
    predictions = []
    for threads in (1, 2):
        with threadpool_limits(limits=threads):
            predictions.append(RidgeHead().fit(*data).predict(data[0]))
    np.testing.assert_array_equal(*predictions)


def test_a_fitted_head_is_restored_from_its_state():
    X, Y, groups = cohort()
    head = RidgeHead(components=8).fit(X, Y, groups)
    again = RidgeHead(**head.params()).with_state(head.state())
    np.testing.assert_array_equal(again.predict(X), head.predict(X))


@pytest.mark.parametrize("groups", [None, np.zeros(20), np.arange(20)])
def test_any_grouping_gives_finite_predictions(groups):
    X, Y, _ = cohort(n=20, d=30)
    assert np.isfinite(RidgeHead().fit(X, Y, groups).predict(X)).all()


def test_constant_columns_and_targets_are_predicted_by_their_mean():
    X, Y, groups = cohort()
    X[:, 0], Y[:, 0] = 1.0, 2.0
    np.testing.assert_allclose(RidgeHead().fit(X, Y, groups).predict(X)[:, 0], 2.0, atol=1e-5)


def test_missing_values_are_refused():
    X, Y, groups = cohort()
    X[3, 2] = np.nan
    with pytest.raises(InputError, match="finite"):
        RidgeHead().fit(X, Y, groups)


def test_options_that_cannot_be_are_refused():
    with pytest.raises(ConfigError, match="component"):
        RidgeHead(components=0)
    with pytest.raises(ConfigError, match="strengths"):
        RidgeHead(strengths=(-1.0,))


def test_an_unfitted_head_says_so():
    with pytest.raises(ConfigError, match="not fitted"):
        RidgeHead().predict(np.zeros((2, 3)))
