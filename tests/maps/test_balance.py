import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscribe.maps.balance import make_balance
from histoscribe.maps.footprint import footprint_areas
from histoscribe.maps.grid import Grid

GRID = Grid(40, 40, um=10.0, mpp=1.0)
CELLS = np.arange(GRID.size)
SPOTS = np.array([[x, y] for x in (60.0, 160.0, 260.0) for y in (60.0, 160.0, 260.0)])


def balance(diameter_um=55.0, spots=SPOTS):
    area = footprint_areas(spots, GRID, diameter_um=diameter_um)
    return make_balance(GRID, CELLS, area, xy_um=spots, library=np.full(len(spots), 1000.0), pitch_um=100.0)


@settings(max_examples=30, deadline=None)
@given(counts=st.lists(st.integers(0, 5000), min_size=9, max_size=9), seed=st.integers(0, 100))
def test_every_spot_sums_to_its_counts_and_nothing_is_negative(counts, seed):
    made, measured = balance(), np.array(counts, float)
    mapped = made.counts(np.random.default_rng(seed).gamma(0.5, 10, GRID.size).astype(np.float32), measured)
    assert mapped.min() >= 0
    assert made.area @ mapped == pytest.approx(measured, rel=0.01, abs=1e-3)


def test_a_map_of_nothing_still_reaches_the_counts():
    made = balance()
    mapped = made.counts(np.zeros(GRID.size, np.float32), np.full(9, 7.0))
    assert made.area @ mapped == pytest.approx(np.full(9, 7.0), rel=0.01)


def test_overlapping_footprints_are_all_met():
    spots = np.array([[100.0, 100.0], [130.0, 100.0], [160.0, 100.0]])
    made = balance(55.0, spots)
    measured = np.array([30.0, 40.0, 50.0])
    assert made.area @ made.counts(np.ones(GRID.size, np.float32), measured) == pytest.approx(measured, rel=0.01)


def test_footprints_smaller_than_a_cell_are_met():
    made = balance(4.0)
    measured = np.arange(9.0)
    mapped = made.counts(np.ones(GRID.size, np.float32), measured)
    assert made.area @ mapped == pytest.approx(measured, rel=0.01, abs=1e-3)


def test_a_map_that_is_right_is_left_as_it_is():
    made = balance()
    flat = np.full(GRID.size, 20.0, np.float32)
    expected = made.counts(flat, None)
    assert made.counts(flat, made.area @ expected.astype(float)) == pytest.approx(expected, rel=0.01)


def test_the_library_under_a_spot_is_the_spots_own():
    made = balance()
    assert made.area @ made.depth == pytest.approx(np.full(9, 1000.0), rel=1e-4)
