"""Spots as shapes: their true size, without gaps where they touch, numbers amid their domains."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from histoscribe.report import tiles
from histoscribe.report.tiles import draw_tiles, lattice_angle, number_places, spot_area_um2, spot_outline


def area(polygon):
    x, y = polygon.T
    return 0.5 * abs(x @ np.roll(y, 1) - y @ np.roll(x, 1))


def grid(side, angle=0.0):
    points = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) - (side - 1) / 2
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return points @ turn


@pytest.mark.parametrize("lattice", ["hex", "square"])
def test_a_cell_has_the_area_that_one_spot_stands_for(section_of, lattice):
    section = section_of(lattice=lattice)
    assert area(spot_outline(section, kind="cell")) == pytest.approx(spot_area_um2(section))


def test_a_round_spot_is_drawn_at_its_diameter(section_of):
    outline = spot_outline(section_of(), kind="spot")
    assert np.ptp(outline[:, 0]) == pytest.approx(55, rel=0.01)


def test_without_a_lattice_an_area_is_not_known(section_of):
    assert np.isnan(spot_area_um2(section_of(lattice=None)))


def test_hexagons_turn_their_sides_to_their_neighbours(section_of):
    # rows run along x, so a corner of each hexagon points up
    outline = spot_outline(section_of(), kind="cell")
    assert np.abs(outline[:, 0]).max() == pytest.approx(50)


@given(angle=st.floats(-0.7, 0.7))
def test_the_direction_of_a_turned_lattice_is_found(angle):
    found = lattice_angle(grid(8, angle), fold=4)
    assert np.cos(4 * (found - angle)) == pytest.approx(1)


def drawn(xy, *, outline, monkeypatch, most):
    monkeypatch.setattr(tiles, "MAX_SHAPES", most)
    figure = Figure(figsize=(3, 3), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(-10, 10), ylim=(10, -10))
    axes.axis("off")
    draw_tiles(axes, xy, outline=outline, rgba=np.tile([0.0, 0, 0, 1], (len(xy), 1)))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 0] < 128


@pytest.mark.parametrize("angle", [0.0, 0.1, 0.5])
def test_stamped_bins_that_touch_leave_no_gaps(monkeypatch, angle):
    square = grid(2, angle)[[0, 1, 3, 2]]
    dark = drawn(0.37 * grid(30, angle), outline=0.37 * square, monkeypatch=monkeypatch, most=0)
    assert dark[100:200, 100:200].all()


def test_stamped_and_drawn_spots_lie_at_the_same_places(monkeypatch):
    xy = np.array([[-8.0, -8.0], [3.0, -6.0], [5.5, 7.5]])
    disc = np.column_stack([np.cos(np.arange(24) * np.pi / 12), np.sin(np.arange(24) * np.pi / 12)])
    stamped = drawn(xy, outline=disc, monkeypatch=monkeypatch, most=0)
    shapes = drawn(xy, outline=disc, monkeypatch=monkeypatch, most=10)
    # the stamp is grown by less than a pixel, of a radius of 15
    assert (stamped & shapes).sum() > 0.98 * shapes.sum()
    assert (stamped ^ shapes).sum() < 0.16 * shapes.sum()


def test_a_number_stands_on_a_spot_of_its_domain_and_amid_it():
    xy = grid(20)
    domain = np.where(xy[:, 0] < 0, 1, 2)
    places = number_places(xy, domain, reach=3.0)
    assert places.keys() == {1, 2}
    assert places[1][0] < -2
    assert places[2][0] > 2
