"""Intervals hold what they promise, on groups that were not there when they were made."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscribe.errors import ConfigError, InputError
from histoscribe.predict.conformal import Conformal, coverage, weighted_quantiles


def world(groups=12, n=60, t=6, *, shift=0.3, seed=0):
    """Predictions, truth and group: noise that grows with the level, and an offset of each group and target."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(groups), n)
    P = rng.uniform(0.5, 4, (groups * n, t))
    Y = P + rng.normal(0, shift, (groups, t))[group] + rng.normal(0, 0.25 * P)
    return P, Y, group


def test_new_groups_are_covered_as_promised():
    P, Y, group = world(120, shift=0.3)
    old = group < 60
    made = Conformal(floor=None).fit((Y - P)[old], group[old], predictions=P[old])
    assert coverage(Y[~old], *made.interval(P[~old])) == pytest.approx(0.9, abs=0.02)


def test_the_shift_of_a_new_group_is_paid_for():
    P, Y, group = world(120, shift=1.0)
    old = group < 60
    # residuals about each group's own mean do not contain the shift: that is what spots of one section would give
    R = (Y - P)[old]
    inner = R - np.stack([R[group[old] == g].mean(axis=0) for g in range(60)])[group[old]]
    within = Conformal(floor=None).fit(inner, group[old], predictions=P[old])
    honest = Conformal(floor=None).fit(R, group[old], predictions=P[old])
    assert coverage(Y[~old], *within.interval(P[~old])) < 0.8
    assert coverage(Y[~old], *honest.interval(P[~old])) > 0.87


def test_few_groups_cover_new_ones_on_average():
    found = []
    for seed in range(12):
        P, Y, group = world(30, t=20, shift=0.4, seed=seed)
        old = group < 5
        made = Conformal(floor=None).fit((Y - P)[old], group[old], predictions=P[old])
        found.append(coverage(Y[~old], *made.interval(P[~old])))
    assert np.mean(found) == pytest.approx(0.9, abs=0.02)


def test_each_third_of_the_level_is_covered():
    P, Y, group = world(60, shift=0.1)
    old = group < 30
    made = Conformal(floor=None).fit((Y - P)[old], group[old], predictions=P[old])
    lower, upper = made.interval(P[~old])
    thirds = np.digitize(P[~old], np.quantile(P, [1 / 3, 2 / 3]))
    for third in range(3):
        some = thirds == third
        assert coverage(np.where(some, Y[~old], np.nan), lower, upper) == pytest.approx(0.9, abs=0.03)


def test_intervals_are_wider_where_predictions_err_more():
    P, Y, group = world(shift=0.05)
    made = Conformal(floor=None).fit(Y - P, group, predictions=P)
    lower, upper = made.interval(np.repeat([[0.6], [3.8]], 6, axis=1))
    assert ((upper - lower)[1] > 2 * (upper - lower)[0]).all()


def test_the_two_ends_are_found_apart():
    rng = np.random.default_rng(0)
    P = np.zeros((4000, 1))
    R = rng.exponential(1.0, (4000, 1)) - 1.0
    made = Conformal(floor=None).fit(R, np.arange(4000) % 8, predictions=P)
    lower, upper = made.interval(np.zeros((1, 1)))
    # 5 % and 95 % of an exponential less its mean
    assert (lower[0, 0], upper[0, 0]) == pytest.approx((0.051 - 1, 2.996 - 1), abs=0.15)


def test_groups_count_the_same_however_many_spots_they_have():
    R = np.concatenate([np.zeros(900), np.ones(100)])[:, None]
    group = (R[:, 0] > 0).astype(int)
    values = weighted_quantiles(R, 1 / np.where(group, 100, 900) / 2, (0.25, 0.75))
    assert values.ravel().tolist() == [0.0, 1.0]


def test_a_higher_level_gives_a_wider_interval():
    P, Y, group = world()
    narrow, wide = (Conformal(level).fit(Y - P, group, predictions=P).interval(P) for level in (0.5, 0.95))
    assert (wide[1] - wide[0] >= narrow[1] - narrow[0]).all()


def test_no_interval_reaches_below_the_floor():
    P, Y, group = world()
    lower, _ = Conformal(floor=0.0).fit(Y - P, group, predictions=P).interval(P - 1)
    assert lower.min() == 0


@settings(max_examples=20, deadline=None)
@given(st.floats(1, 5))
def test_widening_stretches_about_the_prediction(factor):
    P, Y, group = world(4, 60)
    made = Conformal(floor=None).fit(Y - P, group, predictions=P)
    plain, wide = made.interval(P), made.interval(P, widen=np.full(len(P), factor))
    for a, b in zip(plain, wide, strict=True):
        np.testing.assert_allclose(b - P, factor * (a - P), rtol=1e-3, atol=1e-4)


def test_the_state_gives_the_same_intervals():
    P, Y, group = world()
    made = Conformal(0.8, floor=None).fit(Y - P, group, predictions=P)
    again = Conformal.from_state(made.state())
    assert (again.level, again.floor) == (0.8, None)
    np.testing.assert_array_equal(again.interval(P), made.interval(P))


def test_the_order_of_spots_does_not_matter():
    P, Y, group = world(4)
    order = np.random.default_rng(0).permutation(len(P))
    first = Conformal().fit(Y - P, group, predictions=P).interval(P)
    second = Conformal().fit((Y - P)[order], group[order], predictions=P[order]).interval(P)
    np.testing.assert_allclose(first, second, rtol=1e-5, atol=1e-6)


def test_a_constant_prediction_has_one_interval():
    _, Y, group = world()
    P = np.full(Y.shape, 2.0)
    lower, upper = Conformal(floor=None).fit(Y - P, group, predictions=P).interval(P)
    assert np.ptp(lower, axis=0).max() == 0
    assert coverage(Y, lower, upper) == pytest.approx(0.9, abs=0.02)


def test_one_group_is_refused():
    P, Y, _ = world(2)
    with pytest.raises(InputError, match="one group"):
        Conformal().fit(Y - P, np.zeros(len(P)), predictions=P)


@pytest.mark.parametrize("spoil", [lambda R, P, g: (R[:-1], P, g), lambda R, P, g: (R, P * np.nan, g)])
def test_what_does_not_fit_is_refused(spoil):
    P, Y, group = world(2)
    R, P, group = spoil(Y - P, P, group)
    with pytest.raises(InputError):
        Conformal().fit(R, group, predictions=P)


def test_other_targets_and_narrowing_are_refused():
    P, Y, group = world(2)
    made = Conformal().fit(Y - P, group, predictions=P)
    with pytest.raises(ConfigError, match="other targets"):
        made.interval(P[:, :2])
    with pytest.raises(ConfigError, match="only be widened"):
        made.interval(P, widen=np.full(len(P), 0.5))


def test_an_interval_before_fit_is_refused():
    with pytest.raises(ConfigError, match="not at all"):
        Conformal().interval(np.zeros((1, 1)))


@pytest.mark.parametrize("level", [0.0, 1.0, 90])
def test_a_level_is_a_share(level):
    with pytest.raises(ConfigError):
        Conformal(level)
