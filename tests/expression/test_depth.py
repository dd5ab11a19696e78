"""What is left once the depth is known."""

import numpy as np
import pytest

from histoscribe.expression.depth import partial_out, partial_pearson


@pytest.fixture
def parts():
    rng = np.random.default_rng(0)
    return rng.normal(size=200), rng.normal(size=(200, 3)), rng.normal(size=(200, 3))


def test_residuals_are_independent_of_the_depth(parts):
    depth, Y, _ = parts
    rest = partial_out(depth, Y + depth[:, None])
    np.testing.assert_allclose(rest.T @ (depth - depth.mean()), 0, atol=1e-9)


def test_residuals_do_not_change_when_depth_is_added(parts):
    depth, Y, _ = parts
    np.testing.assert_allclose(partial_out(depth, Y + 5 * depth[:, None]), partial_out(depth, Y), atol=1e-9)


def test_partial_pearson_is_the_textbook_formula(parts):
    depth, Y, P = parts
    Y, P = Y + depth[:, None], P + 0.5 * Y - depth[:, None]
    for k in range(3):
        yp, yd, pd = (np.corrcoef(a, b)[0, 1] for a, b in ((Y[:, k], P[:, k]), (Y[:, k], depth), (P[:, k], depth)))
        expected = (yp - yd * pd) / np.sqrt((1 - yd**2) * (1 - pd**2))
        assert partial_pearson(Y, P, depth)[k] == pytest.approx(expected)


def test_the_depth_itself_as_prediction_scores_nothing(parts):
    depth, Y, _ = parts
    prediction = np.repeat(depth[:, None], 3, axis=1).astype(np.float32) * 2 + 1
    assert partial_pearson(Y + depth[:, None], prediction, depth).tolist() == [0, 0, 0]


def test_a_constant_truth_has_no_score(parts):
    depth, Y, P = parts
    Y[:, 1] = 4.0
    assert np.isnan(partial_pearson(Y, P, depth)).tolist() == [False, True, False]


def test_a_constant_depth_leaves_the_plain_correlation(parts):
    _, Y, P = parts
    expected = [np.corrcoef(Y[:, k], P[:, k])[0, 1] for k in range(3)]
    np.testing.assert_allclose(partial_pearson(Y, P, np.full(200, 7.3)), expected)
