"""Spots that look alike have alike targets; how many are asked is chosen on groups that were not seen."""

import numpy as np
import pytest

from histoscribe.errors import ConfigError, InputError
from histoscribe.numerics.correlation import columnwise_pearson
from histoscribe.predict.heads.knn import NeighboursHead


def cohort(n=300, seed=0, noise=0.2):
    random = np.random.default_rng(seed)
    X = random.normal(size=(n, 3)).astype(np.float32)
    bent = np.column_stack([np.abs(X[:, 0]), X[:, 1] * X[:, 0]])
    return X, bent + noise * random.normal(size=(n, 2)), np.arange(n) % 3


def test_a_relation_that_is_not_linear_is_learnt():
    X, Y, groups = cohort()
    head = NeighboursHead(k=(5, 10)).fit(X[:240], Y[:240], groups[:240])
    assert columnwise_pearson(Y[240:], head.predict(X[240:])).min() > 0.7


def test_one_neighbour_gives_back_the_training_targets():
    X, Y, groups = cohort()
    np.testing.assert_allclose(NeighboursHead(k=(1,)).fit(X, Y, groups).predict(X), Y, rtol=1e-6)


def test_noisier_targets_ask_more_neighbours():
    clean = NeighboursHead(k=(2, 60)).fit(*cohort(noise=0.0))
    noisy = NeighboursHead(k=(2, 60)).fit(*cohort(noise=4.0))
    assert (clean.k_, noisy.k_) == (2, 60)


def test_more_neighbours_than_spots_give_the_mean():
    X, Y, groups = cohort(n=12)
    np.testing.assert_allclose(NeighboursHead(k=(50,)).fit(X, Y, groups).predict(X[:1])[0], Y.mean(axis=0), rtol=1e-5)


def test_a_fitted_head_is_restored_from_its_state():
    X, Y, groups = cohort()
    head = NeighboursHead().fit(X, Y, groups)
    again = NeighboursHead(**head.params()).with_state(head.state())
    np.testing.assert_array_equal(again.predict(X), head.predict(X))


def test_missing_values_are_refused():
    X, Y, groups = cohort()
    Y[0, 0] = np.nan
    with pytest.raises(InputError, match="finite"):
        NeighboursHead().fit(X, Y, groups)


def test_no_neighbours_are_refused():
    with pytest.raises(ConfigError, match="at least one neighbour"):
        NeighboursHead(k=())
