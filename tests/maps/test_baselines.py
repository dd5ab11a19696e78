import numpy as np
import pytest

from histoscribe.maps import baselines

XY = np.stack(np.meshgrid(np.arange(0, 1500, 100.0), np.arange(0, 1500, 100.0)), -1).reshape(-1, 2)
AT = np.random.default_rng(0).uniform(200, 1200, (40, 2))


def field(xy):
    return np.column_stack([np.sin(xy[:, 0] / 250), np.cos(xy[:, 1] / 300)])


@pytest.mark.parametrize("method", [baselines.gaussian_smoothing, baselines.kriging])
def test_a_smooth_field_is_predicted_between_noisy_spots(method):
    noisy = field(XY) + np.random.default_rng(1).normal(0, 0.3, (len(XY), 2))
    found = method(XY, noisy, AT, pitch_um=100.0)
    near = baselines.nearest_spot(XY, noisy, AT)
    assert np.abs(found - field(AT)).mean() < 0.6 * np.abs(near - field(AT)).mean()


def test_the_nearest_spot_is_the_nearest():
    values = np.arange(float(len(XY)))[:, None]
    assert baselines.nearest_spot(XY, values, XY[[7, 3]] + 10).ravel().tolist() == [7, 3]


def test_ridge_learns_what_features_explain_and_shrinks_what_they_do_not():
    rng = np.random.default_rng(2)
    X, Z = rng.normal(size=(150, 20)), rng.normal(size=(60, 20))
    weight = np.zeros((20, 2))
    weight[:3, 0] = 1
    Y = X @ weight + rng.normal(0, 0.5, (150, 2))
    found = baselines.ridge(X, Y, Z)
    assert np.corrcoef(found[:, 0], Z @ weight[:, 0])[0, 1] > 0.95
    assert found[:, 1].std() < 0.4


def test_a_gene_alone_is_predicted_as_among_others():
    rng = np.random.default_rng(4)
    X, Z = rng.normal(size=(40, 3)), rng.normal(size=(9, 3))
    Y = X[:, :1] + rng.normal(0, 0.1, (40, 1))
    alone = baselines.ridge(X, Y, Z)
    assert alone.shape == (9, 1)
    np.testing.assert_allclose(alone, baselines.ridge(X, np.hstack([Y, Y]), Z)[:, :1])
