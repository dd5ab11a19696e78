import numpy as np
import pytest

from histoscribe.errors import ConfigError
from histoscribe.maps.hide import blocks, checkerboard, random_folds


def test_on_a_square_lattice_a_hidden_spot_has_only_seen_neighbours():
    row, col = (a.ravel() for a in np.mgrid[:6, :7])
    hidden = checkerboard(row, col).reshape(6, 7)
    assert (hidden[1:] != hidden[:-1]).all()
    assert (hidden[:, 1:] != hidden[:, :-1]).all()


def test_on_a_hexagonal_lattice_every_other_spot_of_each_row_is_hidden():
    row = np.repeat(np.arange(4), 6)
    col = 2 * np.tile(np.arange(6), 4) + row % 2
    hidden = checkerboard(row, col, kind="hex").reshape(4, 6)
    assert (hidden[:, 1:] != hidden[:, :-1]).all()


def test_blocks_hide_whole_squares_and_about_half_of_all():
    xy = np.stack(np.meshgrid(np.arange(0, 2000, 100.0), np.arange(0, 2000, 100.0)), -1).reshape(-1, 2)
    hidden = blocks(xy, block_um=500.0)
    assert hidden.mean() == pytest.approx(0.5, abs=0.02)
    square = (xy < 500).all(axis=1)
    assert hidden[square].all()


def test_blocks_without_size_are_refused():
    with pytest.raises(ConfigError, match="positive size"):
        blocks(np.zeros((2, 2)), block_um=0)


def test_folds_are_of_equal_size_and_depend_on_the_seed():
    fold = random_folds(23, 5, seed=1)
    assert np.ptp(np.bincount(fold)) <= 1
    assert not np.array_equal(fold, random_folds(23, 5, seed=2))
