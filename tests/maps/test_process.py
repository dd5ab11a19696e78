import numpy as np
import pytest

from histoscribe.maps import process
from histoscribe.maps.process import Strengths, find_strengths, fit_field, student_weights


@pytest.fixture(scope="module")
def places():
    return np.random.default_rng(0).uniform(0, 2000, (250, 2))


def smooth(xy):
    return np.sin(xy[:, 0] / 300) + np.cos(xy[:, 1] / 400)


def test_a_smooth_field_is_found_again_between_the_spots(places):
    y = smooth(places)
    y = (y - y.mean()) / y.std()
    found = find_strengths(y, places, [], start_um=200.0)
    other = np.random.default_rng(1).uniform(200, 1800, (100, 2))
    predicted = fit_field(y, places, [], strengths=found).smooth(other)
    assert np.corrcoef(predicted, smooth(other))[0, 1] > 0.98
    assert found.noise < 0.1


def test_what_features_explain_is_left_to_the_features(places):
    rng = np.random.default_rng(2)
    features = rng.normal(size=(250, 10))
    y = features @ np.linspace(1, -1, 10) + rng.normal(0, 0.3, 250)
    y = (y - y.mean()) / y.std()
    found = find_strengths(y, places, [features], start_um=200.0)
    field = fit_field(y, places, [features], strengths=found)
    assert found.blocks[0] > 3 * found.field
    assert np.corrcoef(field.weights[0], np.linspace(1, -1, 10))[0, 1] > 0.98


def test_noise_is_called_noise(places):
    y = np.random.default_rng(3).normal(size=250)
    assert find_strengths(y, places, [], start_um=200.0).noise > 0.7


def test_the_gradient_is_that_of_the_likelihood(places):
    rng = np.random.default_rng(4)
    few, y = places[:60], rng.normal(size=60)
    distance = process._distance(few, few)
    features, rough = rng.normal(size=(60, 5)), rng.uniform(0.5, 5, 60)
    start = np.log([0.5, 200.0, 0.3, 0.5])
    x = start + 0.2

    def loss(at):
        return process._negative_log_likelihood(at, start, y, distance, [features @ features.T / 5], rough)

    steps = np.eye(4) * 1e-5
    numeric = [(loss(x + s)[0] - loss(x - s)[0]) / 2e-5 for s in steps]
    assert loss(x)[1] == pytest.approx(numeric, rel=1e-4, abs=1e-5)


def test_many_spots_are_carried_by_few(monkeypatch, places):
    monkeypatch.setattr(process, "INDUCING", 80)
    y = smooth(places)
    field = fit_field(y, places, [], strengths=Strengths(1.0, 400.0, (), 0.01))
    assert len(field.nodes_um) == 80
    assert np.corrcoef(field.smooth(places), y)[0, 1] > 0.99


def test_a_spot_of_weight_two_counts_like_two_spots(places):
    rng = np.random.default_rng(5)
    y, features = rng.normal(size=250), rng.normal(size=(250, 3))
    strengths = Strengths(1.0, 400.0, (0.5,), 0.5)
    twice = np.concatenate([np.arange(250), np.arange(40)])
    one = fit_field(y, places, [features], strengths=strengths, weight=1.0 + (np.arange(250) < 40))
    other = fit_field(y[twice], places[twice], [features[twice]], strengths=strengths)
    assert one.smooth(places) == pytest.approx(other.smooth(places), abs=1e-3)
    assert one.weights[0] == pytest.approx(other.weights[0], abs=1e-3)


def test_a_spot_that_nothing_explains_loses_its_weight_and_no_other_does():
    residuals = np.random.default_rng(6).normal(size=(300, 8)) * np.geomspace(0.01, 100, 8)  # in any unit
    before = student_weights(residuals)
    residuals[:9] *= 20
    weight = student_weights(residuals)
    assert weight[:9].max() < 0.1
    assert weight[9:] == pytest.approx(before[9:], abs=0.05)
    assert before.min() > 0.5
    assert before.max() == 1
