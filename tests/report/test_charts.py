"""Principal components for the figures."""

import numpy as np
import pytest

from histoscribe.report.charts import leading_components


@pytest.mark.parametrize("shape", [(60, 8), (8, 60), (3, 2), (1, 5)])
def test_scores_equal_those_of_a_singular_value_decomposition(shape):
    x = np.random.default_rng(0).normal(size=shape)
    scores, share = leading_components(x)
    centred = x - x.mean(axis=0)
    left, singular, _ = np.linalg.svd(centred, full_matrices=False)
    count = min(3, shape[0] - 1, shape[1])
    np.testing.assert_allclose(np.abs(scores[:, :count]), np.abs(left * singular)[:, :count], atol=1e-8)
    np.testing.assert_allclose(scores[:, count:], 0, atol=1e-8)
    total = max((singular**2).sum(), 1e-300)
    np.testing.assert_allclose(share[:count], (singular**2 / total)[:count], atol=1e-8)


def test_the_direction_does_not_depend_on_the_order_of_spots():
    x = np.random.default_rng(0).normal(size=(50, 6)) * np.arange(1, 7)
    scores, _ = leading_components(x)
    np.testing.assert_allclose(leading_components(x[::-1])[0][::-1], scores, atol=1e-8)


def test_a_constant_embedding_has_no_components():
    scores, share = leading_components(np.ones((10, 4)))
    assert not scores.any()
    assert not share.any()
