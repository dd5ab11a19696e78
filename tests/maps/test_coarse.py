import numpy as np
import pytest

from histoscribe.maps.coarse import coarsen
from histoscribe.maps.grid import Grid

GRID = Grid(24, 36, um=8.0, mpp=1.0)


def test_interpolation_keeps_a_constant_and_a_slope():
    cells = np.arange(GRID.size)
    coarse = coarsen(GRID, cells, um=32.0)
    between = coarse.between(GRID, cells)
    x = coarse.grid.centres_um()[:, 0]
    inside = (GRID.centres_um()[:, 0] > 16) & (GRID.centres_um()[:, 0] < 272)
    assert between @ np.ones(coarse.grid.size) == pytest.approx(np.ones(GRID.size))
    assert (between @ x)[inside] == pytest.approx(GRID.centres_um()[inside, 0])


def test_glass_takes_no_part_in_the_surroundings():
    cells = np.flatnonzero((np.arange(GRID.size) % GRID.columns) < 18)
    coarse = coarsen(GRID, cells, um=32.0)
    smooth = coarse.smoothed(coarse.means(np.full((len(cells), 1), 5.0, np.float32)), 60.0)
    assert smooth[coarse.weight > 0] == pytest.approx(5.0)


def test_cells_beside_glass_take_their_values_from_tissue():
    cells = np.flatnonzero((np.arange(GRID.size) % GRID.columns) < 18)
    coarse = coarsen(GRID, cells, um=32.0)
    blocks = np.where(coarse.weight.ravel() > 0, 2.0, -100.0)
    assert coarse.between(GRID, cells) @ blocks == pytest.approx(np.full(len(cells), 2.0), abs=1e-3)
