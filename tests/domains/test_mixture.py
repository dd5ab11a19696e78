import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscribe.domains.metrics import adjusted_rand_index
from histoscribe.domains.mixture import MixtureFit
from histoscribe.domains.mixture_cut import MixtureCut, split_to
from histoscribe.domains.tree import SpotTree


def long_clouds(n=900, seed=0):
    """Three clouds side by side, stretched twenty times across the direction in which they differ."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 3
    X = rng.normal(0, 1, (n, 2)) * [1.0, 20.0]
    X[:, 0] += 7 * truth
    return X, truth


def test_variance_that_all_domains_share_does_not_count():
    X, truth = long_clouds()
    labels = MixtureFit(X, shrinkage=0.0).with_components(3).posterior(X).argmax(axis=1)
    assert adjusted_rand_index(labels, truth) > 0.95


def test_full_shrinkage_goes_by_distance_alone():
    X, truth = long_clouds()
    labels = MixtureFit(X, shrinkage=1.0).with_components(3).posterior(X).argmax(axis=1)
    assert adjusted_rand_index(labels, truth) < 0.2


def test_a_posterior_adds_up_to_one():
    X, _ = long_clouds()
    assert MixtureFit(X).with_components(4).posterior(X).sum(axis=1) == pytest.approx(np.ones(len(X)))


def test_a_few_odd_spots_are_no_part_to_start_from():
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (100, 2)), rng.normal(0, 1, (100, 2)) + [8, 0], [[4.0, 90.0], [4.0, 91.0]]])
    means = SpotTree(X).means(2, least=10)
    assert sorted(means[:, 0].round().tolist()) == [0, 8]


def test_without_a_least_size_odd_spots_are_a_part():
    X = np.concatenate([np.random.default_rng(0).normal(0, 1, (200, 2)), [[4.0, 90.0]]])
    assert SpotTree(X).means(2).tolist()[-1] == [4.0, 90.0]


def test_a_fit_is_no_worse_than_from_many_random_starts():
    from sklearn.mixture import GaussianMixture

    rng = np.random.default_rng(3)
    X = np.concatenate([rng.normal(0, 1, (80, 4)) + shift for shift in rng.normal(0, 2.5, (5, 4))])
    ours = MixtureFit(X, shrinkage=0.0).with_components(5)
    theirs = GaussianMixture(5, covariance_type="tied", n_init=20, max_iter=300, random_state=0).fit(X)
    agree = adjusted_rand_index(ours.posterior(X).argmax(axis=1), theirs.predict(X))
    assert agree > 0.95


def test_parts_are_split_until_there_are_as_many_as_asked_for_large_enough():
    X = np.repeat([[0.0], [1.0], [10.0], [30.0]], [50, 50, 50, 2], axis=0)
    assert sorted(SpotTree(X).means(3, least=20).ravel().tolist()) == [0.0, 1.0, 10.0]


@settings(max_examples=25, deadline=None)
@given(n=st.integers(3, 40), k=st.integers(1, 40), distinct=st.integers(1, 5))
def test_any_number_up_to_the_spots_is_obeyed(n, k, distinct):
    X = np.random.default_rng(n).normal(0, 1, (distinct, 2))[np.arange(n) % distinct]
    labels, _ = MixtureCut(X).exactly(min(k, n))
    assert np.array_equal(np.unique(labels), np.arange(min(k, n)))


def test_splitting_halves_the_widest_domain():
    X = np.array([[0.0], [0.1], [5.0], [9.0]])
    assert split_to(np.array([0, 0, 1, 1]), X, 3).tolist() in ([0, 0, 1, 2], [0, 0, 2, 1])


def test_random_starts_find_clouds_too_and_repeat_with_their_seed():
    X, known = long_clouds()
    one, again = (MixtureCut(X, shrinkage=0.0, seed=3).exactly(3)[0] for _ in range(2))
    assert np.array_equal(one, again)
    assert adjusted_rand_index(one, known) > 0.9


def tight_in_wide(n=400, seed=0):
    """A tight cloud at the side of a wide one, in four features."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % 2
    X = rng.normal(0, 1, (n, 4)) * np.where(truth == 1, 4.0, 1.0)[:, None]
    X[:, 0] += 5 * truth
    return X, truth


def test_domains_may_differ_in_how_varied_they_are():
    X, truth = tight_in_wide()
    shared, own = (
        adjusted_rand_index(MixtureFit(X, volume=volume).with_components(2).posterior(X).argmax(axis=1), truth)
        for volume in (0.0, 1.0)
    )
    assert own > 0.85
    assert own > shared + 0.1


def test_volumes_are_common_on_average_and_drawn_together():
    X, _ = tight_in_wide()
    half, whole = (MixtureFit(X, volume=volume).with_components(2) for volume in (0.5, 1.0))
    assert np.exp((whole.shares * np.log(whole.volumes)).sum()) == pytest.approx(1.0, rel=0.02)
    ratio = [one.volumes.max() / one.volumes.min() for one in (half, whole)]
    assert 1.5 < ratio[0] < ratio[1]
    assert ratio[1] == pytest.approx(16, rel=0.35)  # variances of 1 and 16
