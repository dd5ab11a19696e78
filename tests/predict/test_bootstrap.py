"""Which head is better, and how sure that is."""

import numpy as np
import pytest

from histoscribe.errors import InputError
from histoscribe.predict.bootstrap import Compared, paired_bootstrap
from histoscribe.predict.metrics import score_section
from histoscribe.predict.splits import block_labels


def compared(gain=0.0, seed=0, n_side=16, t=30):
    """Two predictions of one truth, the first better by `gain`."""
    rng = np.random.default_rng(seed)
    y, x = np.divmod(np.arange(n_side**2), n_side)
    Y = rng.normal(size=(n_side**2, t))
    first, second = ((0.4 + extra) * Y + rng.normal(size=Y.shape) for extra in (gain, 0.0))
    return Compared(Y, first, second, block_labels(np.column_stack([x, y]) * 100.0, n_blocks=16), depth=Y[:, 0])


@pytest.mark.parametrize("metric", ["pearson", "pearson_given_depth", "spot_spearman"])
def test_the_plain_scores_are_those_of_the_metrics(metric):
    section = compared(0.2)
    found = paired_bootstrap([section], metric=metric, n_draws=10)
    scores = score_section(
        section.Y, section.first, train_mean=section.Y.mean(axis=0), depth=section.depth, kind="ranks"
    )
    key = f"mean_{metric}"
    expected = scores[key] if metric != "pearson_given_depth" else np.nansum(scores["pearson_given_depth"]) / 29
    assert found["first"] == pytest.approx(expected, abs=1e-9)


def test_a_better_head_is_distinguished_from_a_worse_one():
    found = paired_bootstrap([compared(0.5)])
    assert found["differs"]
    assert 0 < found["lower"] < found["difference"] < found["upper"]


def test_a_head_does_not_differ_from_itself():
    section = compared()
    same = Compared(section.Y, section.first, section.first, section.blocks)
    found = paired_bootstrap([same])
    assert (found["difference"], found["lower"], found["upper"], found["differs"]) == (0, 0, 0, False)


def test_equal_heads_differ_about_as_often_as_the_level_says():
    wrong = sum(paired_bootstrap([compared(seed=k)], n_draws=200)["differs"] for k in range(60))
    assert wrong <= 9  # of 60 at 95 %: 3 expected; 10 or more has a chance below 0.1 %


def test_swapping_the_heads_turns_the_sign():
    section = compared(0.3)
    turned = Compared(section.Y, section.second, section.first, section.blocks)
    a, b = (paired_bootstrap([s], seed=5) for s in (section, turned))
    assert a["difference"] == pytest.approx(-b["difference"])
    assert a["lower"] == pytest.approx(-b["upper"])


def test_neighbours_that_err_together_make_the_interval_wider():
    rng = np.random.default_rng(0)
    section = compared(0.1)
    truth, error = rng.normal(0, 2, (2, 16, section.Y.shape[1]))[:, section.blocks]  # one value per block
    rough = Compared(section.Y + truth, section.first + error, section.second + truth, section.blocks)
    by_spot = Compared(rough.Y, rough.first, rough.second, np.arange(len(section.Y)))
    width = [found["upper"] - found["lower"] for found in (paired_bootstrap([s]) for s in (rough, by_spot))]
    assert width[0] > 1.2 * width[1]


def test_sections_count_the_same():
    big, small = compared(0.5, n_side=20), compared(-0.3, seed=1, n_side=8)
    found = paired_bootstrap([big, small], n_draws=10)
    alone = [paired_bootstrap([s], n_draws=10)["difference"] for s in (big, small)]
    assert found["difference"] == pytest.approx(np.mean(alone))


def test_the_same_seed_gives_the_same_interval():
    assert paired_bootstrap([compared(0.1)], seed=3) == paired_bootstrap([compared(0.1)], seed=3)


def test_one_block_cannot_be_resampled():
    section = compared()
    with pytest.raises(InputError, match="two spatial blocks"):
        paired_bootstrap([Compared(section.Y, section.first, section.second, np.zeros(len(section.Y)))])


def test_nothing_to_compare_is_refused():
    with pytest.raises(InputError):
        paired_bootstrap([])
