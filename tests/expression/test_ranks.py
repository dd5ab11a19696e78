"""Ranks within a spot."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from histoscribe.expression.ranks import within_spot_ranks

TABLES = arrays(np.float64, st.tuples(st.integers(1, 6), st.integers(2, 8)), elements=st.integers(-5, 5).map(float))


def test_the_smallest_is_0_and_the_largest_1():
    assert within_spot_ranks(np.array([[3.0, 1.0, 2.0]])).tolist() == [[1.0, 0.0, 0.5]]


def test_ties_share_the_mean_of_their_ranks():
    # ranks 1, 2.5, 2.5, 4 of four columns
    np.testing.assert_allclose(within_spot_ranks(np.array([[0.0, 1.0, 1.0, 2.0]])), [[0, 0.5, 0.5, 1]])


def test_equal_values_are_all_in_the_middle():
    assert (within_spot_ranks(np.ones((2, 5))) == 0.5).all()


@given(TABLES)
def test_every_spot_has_the_same_mean(table):
    np.testing.assert_allclose(within_spot_ranks(table).mean(axis=1), 0.5, atol=1e-6)


@given(TABLES)
def test_an_increasing_transform_changes_nothing(table):
    np.testing.assert_array_equal(within_spot_ranks(np.exp(table) + 3), within_spot_ranks(table))


@given(TABLES, st.integers(0, 99))
def test_ranks_follow_their_columns(table, seed):
    order = np.random.default_rng(seed).permutation(table.shape[1])
    np.testing.assert_array_equal(within_spot_ranks(table[:, order]), within_spot_ranks(table)[:, order])
