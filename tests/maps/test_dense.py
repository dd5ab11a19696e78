from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

from histoscribe.errors import ConfigError, InputError
from histoscribe.maps import MAPPERS
from histoscribe.maps.dense import DenseMapper, transferred
from histoscribe.maps.metrics import pearson
from histoscribe.maps.surroundings import surroundings


def test_it_is_the_registered_default():
    assert MAPPERS.get("dense") is DenseMapper


def test_hidden_spots_are_predicted_better_than_by_the_nearest_spot(problem):
    from histoscribe.maps.baselines import nearest_spot

    hidden = np.arange(len(problem)) % 3 == 0
    found = DenseMapper(rank=6).fit(problem.take(~hidden))
    truth = problem.log_values()
    near = nearest_spot(problem.xy_um[~hidden], truth[~hidden], problem.xy_um[hidden])
    scores = [np.nanmean(pearson(truth[hidden], p)) for p in (found.at(problem.footprint[hidden]), near)]
    assert scores[0] > scores[1] + 0.03


def test_intervals_cover_the_share_they_promise(problem):
    hidden = np.arange(len(problem)) % 3 == 0
    found = DenseMapper(rank=6).fit(problem.take(~hidden))
    middle, truth = found.at(problem.footprint[hidden]), problem.log_values()[hidden]
    spread = (problem.footprint[hidden] @ found.spread)[:, None]
    low, high = middle + spread * found.interval[0], middle + spread * found.interval[1]
    assert 0.85 < np.mean((truth >= np.maximum(low, 0)) & (truth <= high)) < 0.95


def test_the_same_seed_gives_the_same_map(problem, fitted):
    again = DenseMapper(rank=6).fit(problem)
    assert np.array_equal(again.factors, fitted.factors)
    assert np.array_equal(again.loadings, fitted.loadings)


def test_expected_values_are_never_negative(fitted):
    assert fitted.per_10k(rows=slice(0, 500)).min() >= 0


def test_the_transferred_map_of_the_same_picture_resembles_the_map(problem, fitted):
    seen = surroundings(problem.grid, problem.cells, problem.features, spot_um=55.0)
    other = transferred(seen, fitted.transfer)
    assert np.corrcoef(other[:, 0], fitted.factors[:, 0])[0, 1] > 0.5


def test_a_transfer_to_other_features_is_refused(problem, fitted):
    seen = surroundings(problem.grid, problem.cells, problem.features[:, :5], spot_um=55.0)
    with pytest.raises(InputError, match="not those that the model learnt from"):
        transferred(seen, fitted.transfer)


def test_too_few_spots_are_refused(problem):
    with pytest.raises(InputError, match="too little was measured"):
        DenseMapper().fit(problem.take(np.arange(5)))


@pytest.mark.parametrize("options", [{"rank": 0}, {"rank": 129}, {"ranks": 3}])
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(ConfigError):
        DenseMapper(**options)


def expected(problem, counts):
    """What a map expects under every spot, (n, t), where the spots have these counts."""
    made = replace(problem, counts=sparse.csr_matrix(counts), library=counts.sum(axis=1))
    under = surroundings(problem.grid, problem.cells, problem.features, spot_um=55.0).under(problem.footprint)
    learnt = DenseMapper()._learn(made, under)
    return learnt.at_spots(problem.xy_um, under) @ learnt.latent.loadings + learnt.latent.level


@pytest.fixture(scope="module")
def undisturbed(problem):
    return expected(problem, problem.counts.toarray())


def weak(share):
    return lambda counts, rows, rng: rng.binomial(counts[rows].astype(np.int64), share)


def wild(counts, rows, rng):
    counts = counts[rows].copy()
    counts[np.arange(len(rows)), rng.integers(0, counts.shape[1], len(rows))] = 2 * counts.sum(axis=1)
    return counts


HARM = {
    "without molecules": weak(0.0),
    "a sixteenth of the molecules": weak(0.06),
    "a quarter of the molecules": weak(0.25),
    "one wild count": wild,
    "of other places": lambda counts, rows, rng: counts[rng.permutation(len(counts))[: len(rows)]],
}


# measured: .977 to .998, and without weights .953 to .988
@pytest.mark.parametrize("harm", HARM)
def test_a_twentieth_of_the_spots_hardly_moves_the_map_of_the_others(problem, undisturbed, harm):
    rng = np.random.default_rng(8)
    counts = problem.counts.toarray()
    rows = rng.choice(len(counts), round(0.05 * len(counts)), replace=False)
    counts[rows] = HARM[harm](counts, rows, rng)
    others = np.delete(np.arange(len(counts)), rows)
    varies = undisturbed.std(axis=0) > 0.1  # what is the same everywhere has no pattern to keep
    moved = pearson(undisturbed[others], expected(problem, counts)[others])[varies]
    assert np.mean(moved) > 0.97
