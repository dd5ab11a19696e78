"""The law of counting: intervals hold counts as often as they say, at any depth and for any spread."""

import numpy as np
import pytest
from scipy import sparse

from histoscribe.errors import ConfigError
from histoscribe.expression.counted import Counted
from histoscribe.expression.counting import MOST_SPREAD, counting_law

MEANS = np.geomspace(0.03, 3000, 24)


def drawn(spread, n=4000, seed=0):
    """Counts of the Poisson log-normal law, (n, means)."""
    rng = np.random.default_rng(seed)
    return rng.poisson(MEANS * np.exp(spread * rng.normal(size=(n, 1))) * np.ones((n, 1)))


@pytest.mark.parametrize("spread", [0.0, 0.3, 1.0, 2.0])
@pytest.mark.parametrize("level", [0.5, 0.9])
def test_counts_lie_in_their_intervals_as_often_as_said(level, spread):
    counts = drawn(spread)
    lower, upper = counting_law(level).ends(MEANS[None], spread)
    held = ((lower <= counts) & (counts <= upper)).mean(axis=0)
    # whole counts cannot hold a share exactly; on average over means they do, but that 0 alone may hold more
    assert held[MEANS > 1].mean() == pytest.approx(level, abs=0.03)
    assert held.mean() >= level - 0.01
    assert held[MEANS > 30] == pytest.approx(level, abs=0.03)


def test_the_spread_that_a_count_needs_is_that_of_the_interval_that_just_holds_it():
    counts, means = np.array([0, 2, 9, 60, 400]), np.array([6.0, 8.0, 2.0, 200.0, 150.0])
    law = counting_law(0.9)
    needed = law.spread_needed(counts, means)
    for factor, held in ((1.05, True), (0.9, False)):
        lower, upper = law.ends(means, factor * needed)
        assert ((lower <= counts) & (counts <= upper)).tolist() == [held] * 5


def test_a_count_as_expected_needs_no_spread():
    assert counting_law(0.9).spread_needed(np.arange(1, 40), np.arange(1.0, 40.0)) == pytest.approx(0, abs=1e-6)


def test_wider_spreads_and_higher_levels_hold_more():
    spreads = np.linspace(0, MOST_SPREAD, 9)[:, None]
    lower, upper = counting_law(0.9).ends(MEANS[None], spreads)
    assert (np.diff(lower, axis=0) <= 1e-9).all()
    assert (np.diff(upper, axis=0) >= -1e-9).all()
    low, high = counting_law(0.95).ends(MEANS[None], 0.5)
    lower, upper = counting_law(0.9).ends(MEANS[None], 0.5)
    assert (low <= lower + 1e-9).all()
    assert (high >= upper - 1e-9).all()


def test_with_many_molecules_only_the_spread_is_left():
    lower, upper = counting_law(0.9).ends(np.array([1e6]), 0.5)
    assert np.log([lower[0] / 1e6, upper[0] / 1e6]) == pytest.approx([-1.645 * 0.5, 1.645 * 0.5], abs=0.02)


def test_without_molecules_there_is_nothing_to_count():
    lower, upper = counting_law(0.9).ends(np.zeros(1), 0.5)
    assert (lower[0], upper[0]) == pytest.approx((0, 0), abs=0.1)


@pytest.mark.parametrize("level", [0.0, 1.0, 90])
def test_a_level_is_a_share(level):
    with pytest.raises(ConfigError):
        counting_law(level)


def test_a_thinned_copy_has_the_share_of_every_genes_and_spots_molecules():
    rng = np.random.default_rng(0)
    counts = rng.poisson(40.0, (300, 4)).astype(float)
    whole = Counted(sparse.csr_matrix(counts), counts.sum(axis=1) + 1000)
    copy = whole.thinned(1 / 4, rng)
    assert copy.columns(slice(None)).mean(axis=0) == pytest.approx([10.0] * 4, rel=0.05)
    assert copy.total.mean() == pytest.approx(1160 / 4, rel=0.02)
    assert (copy.counts.toarray() <= counts).all()
