"""Intervals of genes hold what they promise at any depth, and know what other patients differ by."""

import numpy as np
import pytest
from scipy import sparse

from histoscribe.errors import ConfigError, InputError
from histoscribe.expression.counted import Counted
from histoscribe.predict.calibration import calibration_of
from histoscribe.predict.conformal import coverage
from histoscribe.predict.count_intervals import CountIntervals
from histoscribe.predict.patient_shift import mean_and_spread, patient_shift
from histoscribe.predict.share_model import ShareModel

PER_10K = np.geomspace(1, 60, 8)


def world(groups=4, n=150, *, depth=8000.0, shift=0.0, spread=0.4, seed=0):
    """Counts of genes that follow a prediction, a residue of their own, and a shift of each group."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), n)
    signal = rng.normal(size=(groups * n, len(PER_10K)))
    residue = spread * rng.normal(size=signal.shape) + shift * rng.normal(size=(groups, len(PER_10K)))[group]
    share = PER_10K / 1e4 * np.exp(0.3 * signal + residue)
    total = rng.poisson(depth * np.exp(0.3 * rng.normal(size=len(group)))).astype(float)
    counts = rng.poisson(total[:, None] * share).astype(float)
    P = (np.log1p(PER_10K) + 0.3 * signal).astype(np.float32)  # as a head would see it
    return Counted(sparse.csr_matrix(counts), total), P, group, share


def fitted(**options):
    counted, P, group, _ = world(**options)
    return CountIntervals().fit(counted, group, predictions=P, between_patients=None)


def measured(counted):
    return np.log1p(1e4 * counted.counts.toarray() / np.maximum(counted.total, 1)[:, None])


def held(made, counted, P):
    layers = made.layers(P, total=counted.total)
    return coverage(measured(counted), layers["lower"], layers["upper"])


@pytest.mark.parametrize("depth", [8000.0, 2000.0, 500.0, 40000.0])
def test_measurements_at_another_depth_lie_in_their_intervals(depth):
    made = fitted()
    counted, P, _, _ = world(depth=depth, seed=1)
    assert held(made, counted, P) == pytest.approx(0.9, abs=0.035)


def test_the_share_lies_in_its_interval_however_few_molecules_are_counted():
    made = fitted()
    _, P, _, share = world(seed=1)
    layers = made.layers(P, total=np.full(len(P), 10.0))
    inside = (layers["share_lower"] <= 1e4 * share) & (1e4 * share <= layers["share_upper"])
    assert inside.mean() == pytest.approx(0.9, abs=0.04)


def test_the_expected_share_does_not_depend_on_how_deeply_the_training_was_sequenced():
    deep, shallow = fitted(), fitted(depth=800.0)
    P = world(seed=1)[1]
    ratio = deep.layers(P)["share"] / shallow.layers(P)["share"]
    assert np.median(ratio, axis=0) == pytest.approx([1.0] * len(PER_10K), abs=0.15)


def test_fewer_molecules_make_the_interval_of_the_measurement_wider_and_leave_that_of_the_share():
    made, P = fitted(), world(seed=1)[1]
    few, many = (made.layers(P, total=np.full(len(P), depth)) for depth in (500.0, 20000.0))
    assert ((few["upper"] - few["lower"]) >= (many["upper"] - many["lower"])).mean() > 0.99
    np.testing.assert_array_equal(few["share_upper"], many["share_upper"])


def test_where_no_depth_is_known_intervals_are_of_the_trainings_median():
    made, (counted, P, _, _) = fitted(), world()
    assert made.total_ == np.median(counted.total)
    plain, asked = made.layers(P), made.layers(P, total=np.full(len(P), made.total_))
    np.testing.assert_array_equal(plain["upper"], asked["upper"])


def test_shifts_between_groups_are_in_the_intervals_of_a_new_one():
    shares = [
        held(fitted(groups=6, shift=0.5, seed=k), *world(groups=12, shift=0.5, seed=90 + k)[:2]) for k in range(4)
    ]
    assert np.mean(shares) == pytest.approx(0.9, abs=0.03)


def test_what_other_patients_differ_by_is_added_where_one_patient_was_seen():
    counted, P, group, _ = world()
    narrow, wide = (
        CountIntervals().fit(counted, group, predictions=P, between_patients=prior)
        for prior in (None, np.full(len(PER_10K), 0.25))
    )
    np.testing.assert_allclose(wide.shift_**2 - narrow.shift_**2, 0.25, atol=1e-9)


def test_widening_stretches_the_share_and_not_the_noise_of_counting():
    made, P = fitted(), world()[1]
    once, twice = (made.layers(P, total=np.full(len(P), 1e7), widen=np.full(len(P), by)) for by in (1.0, 2.0))
    reach = [np.log(one["share_upper"] / one["share"]) for one in (once, twice)]
    np.testing.assert_allclose(reach[1], 2 * reach[0], rtol=1e-3)


def test_a_prediction_that_knows_nothing_gives_every_spot_the_mean_share():
    counted, P, _, _ = world()
    guess = np.random.default_rng(0).permutation(P)
    share = ShareModel().fit(counted, guess, weight=np.full(len(P), 1 / len(P))).predict(guess)
    mean = np.asarray(counted.counts.sum(axis=0)).ravel() / counted.total.sum()
    assert np.abs(np.log(share / mean)).max() < 0.25


def test_the_state_gives_the_same_intervals():
    made, P = fitted(), world(seed=1)[1]
    again = CountIntervals.from_state(made.state(), scale="log1p_cp10k")
    for name, values in made.layers(P).items():
        np.testing.assert_array_equal(again.layers(P)[name], values)


def test_coverage_is_told_by_depth_and_on_thinned_copies():
    counted, P, _, _ = world(seed=1)
    found = calibration_of(fitted(), counted, P, measured=np.ones(len(PER_10K), bool), seed=0)
    assert set(found["thinned"]) == {"1/2", "1/4", "1/16"}
    assert [*found["depth"].values(), *found["thinned"].values()] == pytest.approx([0.9] * 6, abs=0.05)
    for name, curve in found["calibration"].items():
        assert np.all(np.diff(curve) >= 0), name
    # whole counts: half of the mass cannot be cut off where most counts are 0
    assert found["calibration"]["high"] == pytest.approx(found["levels"], abs=0.16)


def test_one_group_and_other_targets_are_refused():
    counted, P, group, _ = world()
    with pytest.raises(InputError, match="one group"):
        CountIntervals().fit(counted, group * 0, predictions=P, between_patients=None)
    with pytest.raises(ConfigError, match="other targets"):
        fitted().layers(P[:, :2])
    with pytest.raises(ConfigError, match="only be widened"):
        fitted().layers(P, widen=np.full(len(P), 0.5))


def test_mean_and_spread_of_a_gene_are_found_without_the_noise_of_counting():
    sections = [world(groups=1, n=600, spread=0.5, depth=depth)[0] for depth in (500.0, 8000.0)]
    for section in sections:
        per_10k, spread = mean_and_spread([section])
        sd = np.hypot(0.5, 0.3)
        np.testing.assert_allclose(per_10k[3:], PER_10K[3:] * np.exp(sd**2 / 2), rtol=0.2)
        np.testing.assert_allclose(spread[3:], sd, atol=0.15)


def test_the_prior_grows_with_the_mean_and_with_the_spread_within_sections():
    prior = patient_shift()
    assert np.isfinite(prior.sd).all()
    rare, common = prior.variance(np.array([2.0, 20.0]), np.array([0.3, 0.3]))
    even, uneven = prior.variance(np.array([10.0, 10.0]), np.array([0.1, 1.0]))
    assert rare < common
    assert even < uneven
    beyond, edge = prior.variance(np.array([1e4, 22.5]), np.array([9.0, 1.2]))
    assert beyond == edge
