"""A spot's weight follows its depth smoothly, from next to nothing to that of its section's usual spot."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscribe.expression.normalise import log_per_10k
from histoscribe.expression.precision import LEAST, spot_weights

SHARES = np.random.default_rng(0).dirichlet(np.full(40, 2.0))


def counted(depth, tissue=0.0, seed=1):
    """Counts of spots of given depths, whose profiles differ by so many log units."""
    rng = np.random.default_rng(seed)
    level = SHARES * np.exp(rng.normal(0, tissue, (len(depth), len(SHARES))))
    return rng.poisson(np.asarray(depth)[:, None] * level / level.sum(axis=1, keepdims=True)).astype(float)


@given(st.lists(st.integers(0, 5000), min_size=3, max_size=30), st.integers(0, 99))
def test_weights_lie_between_next_to_nothing_and_one_and_rise_with_depth(depth, seed):
    counts = counted(np.array(depth, float), seed=seed)
    library = counts.sum(axis=1)
    weight = spot_weights(counts, library)
    assert (weight >= LEAST).all()
    assert (weight <= 1).all()
    assert (np.diff(weight[np.argsort(library)]) >= 0).all()


def test_half_of_the_spots_have_full_weight_and_spots_without_molecules_next_to_none():
    depth = np.random.default_rng(2).lognormal(8, 0.7, 200)
    depth[:5] = 0
    counts = counted(depth, tissue=0.4)
    weight = spot_weights(counts, counts.sum(axis=1))
    assert (weight == 1).mean() == pytest.approx(0.5, abs=0.03)
    assert (weight[:5] == LEAST).all()


def test_where_all_is_noise_a_weight_is_a_share_of_the_usual_depth():
    depth = np.full(400, 4000.0)
    depth[:4] = 2000, 1000, 400, 40
    counts = counted(depth)
    assert spot_weights(counts, counts.sum(axis=1))[:4] == pytest.approx([0.5, 0.25, 0.1, 0.01], rel=0.2)


def test_where_tissue_differs_much_more_than_counting_does_depth_hardly_matters():
    counts = counted(np.where(np.arange(400) < 40, 50_000.0, 200_000.0), tissue=1.0)
    assert spot_weights(counts, counts.sum(axis=1)).min() > 0.95


def test_weights_are_in_proportion_to_the_precision_of_the_values():
    rng = np.random.default_rng(3)
    depth = np.repeat([1000.0, 2000.0, 4000.0], 400)[rng.permutation(1200)]
    counts = counted(depth, tissue=0.3)
    weight = spot_weights(counts, counts.sum(axis=1))
    values = log_per_10k(counts).toarray()
    spread = [values[depth == d].var(axis=0).sum() for d in (1000, 2000)]
    found = [weight[depth == d].mean() for d in (1000, 2000)]
    assert found[0] / found[1] == pytest.approx(spread[1] / spread[0], rel=0.3)


@pytest.mark.parametrize("counts", [np.zeros((4, 3)), np.ones((4, 3))])
def test_without_anything_that_differs_all_spots_weigh_the_same(counts):
    assert (spot_weights(counts, counts.sum(axis=1)) == 1).all()
