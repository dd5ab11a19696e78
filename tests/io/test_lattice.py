"""The pitch is found from any part of a lattice, at any angle and scale."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscribe.io.lattice import (
    fitted_pitch_px,
    is_staggered,
    neighbour_pitch_px,
    spot_diameter_mpp,
    unstagger,
)


def lattice(kind, pitch, angle=0.0, side=8):
    row, column = (axis.ravel() for axis in np.mgrid[:side, : 2 * side])
    if kind == "hex":
        keep = (row + column) % 2 == 0
        row, column = row[keep], column[keep]
        xy = np.column_stack([column * pitch / 2, row * pitch * np.sqrt(3) / 2])
    else:
        xy = np.column_stack([column * pitch, row * pitch])
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return xy @ turn + 500.0, row, column


@given(
    kind=st.sampled_from(["hex", "square"]),
    pitch=st.floats(2, 500),
    angle=st.floats(0, 6.28),
    mirrored=st.booleans(),
    seed=st.integers(0, 99),
)
def test_fitted_pitch_holds_for_any_pose_and_for_half_of_the_spots(kind, pitch, angle, mirrored, seed):
    xy, row, column = lattice(kind, pitch, angle)
    keep = np.random.default_rng(seed).permutation(len(row))[: len(row) // 2]
    xy = xy * [-1, 1] if mirrored else xy
    assert fitted_pitch_px(xy[keep], row[keep], column[keep], kind=kind) == pytest.approx(pitch, rel=1e-6)


@given(pitch=st.floats(15, 200), angle=st.floats(0, 1.0), kind=st.sampled_from(["hex", "square"]))
def test_neighbours_give_the_pitch_of_rounded_places(pitch, angle, kind):
    xy, _, _ = lattice(kind, pitch, angle)
    assert neighbour_pitch_px(np.rint(xy)) == pytest.approx(pitch, rel=0.02)


def test_places_that_do_not_follow_the_lattice_have_no_fitted_pitch():
    xy, row, column = lattice("hex", 100)
    assert fitted_pitch_px(np.random.default_rng(0).permutation(xy), row, column, kind="hex") is None


@pytest.mark.parametrize("points", [0, 1, 2])
def test_too_few_spots_have_no_fitted_pitch(points):
    xy, row, column = lattice("hex", 100)
    assert fitted_pitch_px(xy[:points], row[:points], column[:points], kind="hex") is None


def test_one_spot_or_spots_in_one_place_have_no_pitch():
    assert neighbour_pitch_px(np.ones((1, 2))) is None
    assert neighbour_pitch_px(np.ones((9, 2))) is None


@given(x0=st.integers(0, 50), y0=st.integers(0, 50))
def test_unstaggered_neighbours_are_one_step_apart(x0, y0):
    x, y = (axis.ravel() for axis in np.mgrid[x0 : x0 + 9, y0 : y0 + 9])
    keep = (x + y) % 2 == 0
    x, y = x[keep], y[keep]
    assert is_staggered(x, y)
    row, column = unstagger(x, y)
    diagonal = (np.abs(x[:, None] - x) == 1) & (np.abs(y[:, None] - y) == 1)
    steps = np.abs(row[:, None] - row) + np.abs(column[:, None] - column)
    np.testing.assert_array_equal(steps == 1, diagonal)
    assert min(row.min(), column.min()) == 0


def test_a_full_grid_is_not_staggered():
    x, y = (axis.ravel() for axis in np.mgrid[:6, :6])
    assert not is_staggered(x, y)


@pytest.mark.parametrize(("diameter_px", "expected"), [(13.0, 5.0), (11.0, 5.0), (14.0, 5.0), (130.0, 0.538)])
def test_the_nominal_diameter_that_agrees_best_is_taken_and_no_more(diameter_px, expected):
    # 55, 65 and 70 um at 5 um per pixel, and a diameter that is ten times too large
    assert spot_diameter_mpp(diameter_px, 20.0, 100.0) == pytest.approx(expected, rel=0.01)
