import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscribe.errors import ConfigError, InputError
from histoscribe.maps.footprint import footprint_areas, footprint_operator
from histoscribe.maps.grid import Grid

GRID = Grid(30, 40, um=8.0, mpp=0.5)  # 640 x 480 px


@settings(max_examples=60, deadline=None)
@given(
    x=st.floats(0, 640), y=st.floats(0, 480), diameter=st.floats(0.5, 200), shape=st.sampled_from(["disc", "square"])
)
def test_the_mean_of_a_constant_is_the_constant(x, y, diameter, shape):
    operator = footprint_operator(np.array([[x, y]]), GRID, diameter_um=diameter, shape=shape)
    assert operator @ np.full(GRID.size, 3.0) == pytest.approx([3.0])
    assert operator.data.min() >= 0


@settings(max_examples=30, deadline=None)
@given(x=st.floats(260, 380), y=st.floats(200, 280), diameter=st.floats(0.5, 90))
def test_a_disc_inside_the_grid_has_the_area_of_a_disc(x, y, diameter):
    area = footprint_areas(np.array([[x, y]]), GRID, diameter_um=diameter).sum() * GRID.um**2
    assert area == pytest.approx(np.pi * diameter**2 / 4, rel=1e-6)


def test_shares_of_cells_are_those_that_counting_points_finds():
    centre, diameter = np.array([[301.3, 222.7]]), 37.0
    area = footprint_areas(centre, GRID, diameter_um=diameter).toarray().reshape(GRID.shape)
    fine = (np.arange(GRID.columns * 200) + 0.5) / 200 * GRID.um
    down = fine[: GRID.rows * 200]
    inside = (fine[None] - centre[0, 0] * 0.5) ** 2 + (down[:, None] - centre[0, 1] * 0.5) ** 2 < (diameter / 2) ** 2
    counted = inside.reshape(GRID.rows, 200, GRID.columns, 200).mean(axis=(1, 3))
    assert np.abs(area - counted).max() < 0.002  # 200 x 200 points a cell


def test_a_footprint_smaller_than_a_cell_sees_that_cell():
    operator = footprint_operator(np.array([[24.0, 24.0]]), GRID, diameter_um=2.0)  # the middle of column 1, row 1
    assert operator.indices.tolist() == [GRID.columns + 1]
    area = footprint_areas(np.array([[24.0, 24.0]]), GRID, diameter_um=2.0)
    assert area.sum() == pytest.approx(np.pi / 64)


def test_a_small_footprint_on_a_border_sees_both_cells_alike():
    operator = footprint_operator(np.array([[16.0, 24.0]]), GRID, diameter_um=2.0)
    assert operator.data == pytest.approx([0.5, 0.5])


@pytest.mark.parametrize("place", [(-1.0, 5.0), (5.0, 481.0), (641.0, 5.0), (np.nan, 5.0)])
def test_spots_off_the_picture_are_refused_with_their_number_and_place(place):
    with pytest.raises(InputError, match="1 of 2 spots lie off the picture"):
        footprint_operator(np.array([[5.0, 5.0], place]), GRID, diameter_um=55.0)


def test_a_footprint_without_size_is_refused():
    with pytest.raises(ConfigError, match="positive size"):
        footprint_operator(np.array([[5.0, 5.0]]), GRID, diameter_um=0.0)


def test_no_spots_are_refused():
    with pytest.raises(InputError, match="no spots"):
        footprint_operator(np.empty((0, 2)), GRID, diameter_um=55.0)
