import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscribe.domains.ensemble import agreed
from histoscribe.domains.metrics import adjusted_rand_index
from histoscribe.errors import ConfigError

THIRDS = np.repeat([0, 1, 2], 20)


def test_a_spot_that_most_divisions_put_elsewhere_goes_there():
    good, odd = np.array([0, 0, 0, 1, 1, 1]), np.array([0, 0, 1, 1, 1, 1])
    vote = agreed([odd, good, good], 2)
    labels, share = vote.labels, vote.share
    assert adjusted_rand_index(labels, good) == 1.0
    assert share[2, labels[2]] == pytest.approx(2 / 3)


def test_finer_and_coarser_divisions_have_their_say():
    finer = np.arange(60) // 10
    assert adjusted_rand_index(agreed([finer, THIRDS, np.minimum(THIRDS, 1)], 3).labels, THIRDS) == 1.0


def test_names_of_domains_do_not_matter():
    rng = np.random.default_rng(0)
    divisions = [np.where(rng.random(60) < 0.2, rng.integers(0, 3, 60), THIRDS) for _ in range(7)]
    turned = [(one + i) % 3 for i, one in enumerate(divisions)]
    assert np.array_equal(agreed(divisions, 3).labels, agreed(turned, 3).labels)


@settings(max_examples=30, deadline=None)
@given(n=st.integers(2, 40), k=st.integers(1, 40), parts=st.integers(1, 6))
def test_the_number_is_obeyed(n, k, parts):
    rng, k = np.random.default_rng(n), min(k, n)
    others = [np.unique(rng.integers(0, parts, n), return_inverse=True)[1] for _ in range(3)]
    vote = agreed([rng.permutation(np.arange(n) % k), *others], k)
    assert np.array_equal(np.unique(vote.labels), np.arange(k))
    assert 0 <= vote.share.max() <= 1 + 1e-12


def test_a_domain_that_the_vote_would_leave_a_crumb_keeps_what_the_leading_division_gives_it():
    lead = np.repeat([0, 1, 2], [30, 20, 10])
    coarse = [np.repeat([0, 1], [30, 30]) for _ in range(3)]
    vote = agreed([lead, *coarse], 3, least=5)
    assert np.array_equal(vote.labels, lead)
    assert not vote.holds
    assert agreed([lead] * 4 + coarse, 3, least=5).holds


def test_without_a_division_into_that_number_it_is_refused():
    with pytest.raises(ConfigError, match="no division"):
        agreed([THIRDS], 4)


def test_a_vote_that_leaves_every_domain_a_place_comes_before_a_more_unanimous_one():
    bands = [np.repeat([0, 1, 2], sizes) for sizes in ([4, 10, 10], [11, 5, 8], [8, 8, 8])]
    odd = [np.array(list(one), int) for one in ("220220002211202202201220", "011112211021220221022222")]
    vote = agreed([odd[0], *bands, odd[1]], 3, least=3)
    assert vote.holds
    assert np.bincount(vote.labels).min() >= 3
