import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscribe.domains.metrics import adjusted_rand_index, seed_pair_ari
from histoscribe.domains.mixture import fit_mixture
from histoscribe.domains.mixture_cut import MixtureCut, split_to


def long_clouds(n=900, seed=0):
    """Three clouds side by side, stretched twenty times across the direction in which they differ."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    X = rng.normal(0, 1, (n, 2)) * [1.0, 20.0]
    X[:, 0] += 7 * truth
    return X, truth


def test_variance_that_all_domains_share_does_not_count():
    X, truth = long_clouds()
    labels = fit_mixture(X, 3, seed=0, shrinkage=0.0).posterior(X).argmax(axis=1)
    assert adjusted_rand_index(labels, truth) > 0.95


def test_full_shrinkage_goes_by_distance_alone():
    X, truth = long_clouds()
    labels = fit_mixture(X, 3, seed=0, shrinkage=1.0).posterior(X).argmax(axis=1)
    assert adjusted_rand_index(labels, truth) < 0.2


def test_a_posterior_adds_up_to_one():
    X, _ = long_clouds()
    assert fit_mixture(X, 4, seed=1).posterior(X).sum(axis=1) == pytest.approx(np.ones(len(X)))


def test_every_seed_finds_the_same_division():
    X, _ = long_clouds()
    found = [MixtureCut(X, seed=seed, shrinkage=0.0).exactly(3)[0] for seed in range(4)]
    assert seed_pair_ari(found) > 0.99


def test_more_starts_never_lower_the_likelihood():
    X = np.random.default_rng(0).normal(0, 1, (200, 4))
    few, many = (fit_mixture(X, 5, seed=0, n_starts=n).likelihood for n in (2, 30))
    assert many >= few - 1e-9


@settings(max_examples=25, deadline=None)
@given(n=st.integers(3, 40), k=st.integers(1, 40), distinct=st.integers(1, 5))
def test_any_number_up_to_the_spots_is_obeyed(n, k, distinct):
    X = np.random.default_rng(n).normal(0, 1, (distinct, 2))[np.arange(n) % distinct]
    labels, _ = MixtureCut(X, seed=0, n_starts=2).exactly(min(k, n))
    assert np.array_equal(np.unique(labels), np.arange(min(k, n)))


def test_splitting_halves_the_widest_domain():
    X = np.array([[0.0], [0.1], [5.0], [9.0]])
    assert split_to(np.array([0, 0, 1, 1]), X, 3).tolist() in ([0, 0, 1, 2], [0, 0, 2, 1])
