"""Signs, correlation and bilinear weights, against what is known of them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.interpolate import RegularGridInterpolator

from histoscribe.numerics.bilinear import corners_around
from histoscribe.numerics.correlation import columnwise_pearson
from histoscribe.numerics.signs import with_fixed_signs

numbers = st.floats(-1e3, 1e3, allow_subnormal=False)


@given(arrays(np.float64, (5, 3), elements=numbers), arrays(np.bool_, 3))
def test_a_component_and_its_negative_become_one(vectors, turned):
    vectors[0] += 3e3  # the largest entry is one only
    np.testing.assert_array_equal(with_fixed_signs(vectors * np.where(turned, -1, 1)), with_fixed_signs(vectors))


def test_a_component_of_zeros_stays():
    assert not with_fixed_signs(np.zeros((3, 1))).any()


@given(arrays(np.float64, (9, 2), elements=numbers), arrays(np.float64, (9, 2), elements=numbers))
def test_correlation_is_numpys_and_never_above_one(A, B):
    found = columnwise_pearson(A, B)
    assert (np.abs(found) <= 1).all()
    for k in range(2):
        if min(np.ptp(A[:, k]), np.ptp(B[:, k])) > 1e-3:
            assert found[k] == pytest.approx(np.corrcoef(A[:, k], B[:, k])[0, 1], abs=1e-6)


def test_a_constant_column_correlates_with_nothing():
    assert columnwise_pearson(np.ones((4, 1)), np.arange(4.0)[:, None]).tolist() == [0]


@given(arrays(np.float64, (6, 2), elements=st.floats(0, 4.999)))
def test_bilinear_weights_are_those_of_scipy(place):
    grid = np.random.default_rng(0).normal(size=(6, 6))
    points, weights = corners_around(place)
    assert weights.sum(axis=0) == pytest.approx(1)
    expected = RegularGridInterpolator((np.arange(6), np.arange(6)), grid)(place)
    assert (weights * grid[points[..., 0], points[..., 1]]).sum(axis=0) == pytest.approx(expected)
