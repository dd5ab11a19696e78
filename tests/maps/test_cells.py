import shutil
from dataclasses import dataclass, field

import numpy as np
import pytest

from histoscribe.encoders import build_encoder, load_card
from histoscribe.encoders.base import Choice
from histoscribe.encoders.card import Card
from histoscribe.errors import ResultError
from histoscribe.maps.cells import read_cell_features, write_cell_features
from histoscribe.maps.grid import Grid, make_grid
from histoscribe.maps.local import NAMES
from histoscribe.maps.windows import grid_reader
from histoscribe.slide.image import ArraySource, SlideImage


def picture(side=400, seed=0):
    from scipy.ndimage import gaussian_filter

    noise = np.random.default_rng(seed).normal(size=(side, side, 3))
    smooth = gaussian_filter(noise, (6, 6, 0))
    return SlideImage(ArraySource([(150 + 60 * smooth / smooth.std()).clip(0, 255).astype(np.uint8)]), mpp=1.0)


@dataclass
class Means:
    """An encoder whose grid holds the mean colour of each cell, so that what it must give is known."""

    card: Card = field(default_factory=lambda: load_card("morphology"))
    choice: Choice = field(default_factory=Choice)
    calls: int = 0

    def encode_grid(self, tiles):
        self.calls += 1
        n, k = len(tiles), 8
        cell = tiles.shape[1] // k
        return tiles.reshape(n, k, cell, k, cell, 3).mean(axis=(2, 4)).astype(np.float32)


def test_a_grid_encoder_is_read_cell_by_cell_without_seams():
    image = picture()
    grid = make_grid(image, um=16.0)
    reader = grid_reader(Means(), grid)
    assert reader.step == 4
    found = reader.block(image, grid, column=0, row=0, windows=6)  # six windows a side meet inside
    pixels = image.read(0, 0, 384, 384).astype(float)
    means = pixels.reshape(24, 16, 24, 16, 3).mean(axis=(1, 3))
    assert found.shape == (24, 24, 3)
    assert np.abs(found - means).max() < 2.0  # the resampling's filter reaches over a cell's edge


@dataclass
class Padded(Means):
    """Like `Means`, but what lies beyond a window is black to it, as to a network that pads with zeros."""

    def encode_grid(self, tiles):
        from scipy.ndimage import gaussian_filter

        means = super().encode_grid(tiles)
        return gaussian_filter(means, (0, 0.6, 0.6, 0), mode="constant")


def test_borders_of_windows_leave_no_seam():
    image = picture(side=640)
    grid = make_grid(image, um=16.0)
    reader = grid_reader(Padded(), grid)
    found = reader.block(image, grid, column=0, row=0, windows=10)[2:-2, 2:-2]  # the picture's own border aside
    jumps = np.abs(np.diff(found, axis=1)).mean(axis=(0, 2))
    border = (np.arange(len(jumps)) + 3) % reader.step == 0
    assert jumps[border].mean() < 1.1 * jumps[~border].mean()


def test_an_encoder_without_a_grid_is_read_from_tiles_that_agree_between_blocks():
    image = picture()
    grid = make_grid(image, um=16.0)
    reader = grid_reader(build_encoder(load_card("morphology")), grid)
    assert reader.side == 0
    whole = reader.block(image, grid, column=0, row=0, windows=8)
    part = reader.block(image, grid, column=4, row=4, windows=4)
    assert part == pytest.approx(whole[4:, 4:], rel=1e-4, abs=1e-4)


@pytest.fixture
def work(tmp_path):
    image = picture()
    grid = Grid(25, 25, um=16.0, mpp=1.0)
    return image, grid, np.arange(grid.size), tmp_path


def test_features_are_read_back_cell_by_cell(work):
    image, grid, cells, folder = work
    write_cell_features(image, grid, cells, folder, encoder=None)
    found = read_cell_features(folder, cells[::7])
    assert found.shape == (len(cells[::7]), len(NAMES))
    assert found == pytest.approx(read_cell_features(folder, cells)[::7])


def test_an_interrupted_call_goes_on_and_ends_with_the_same_numbers(work):
    image, grid, cells, folder = work
    encoder = Means()
    write_cell_features(image, grid, cells, folder, encoder=encoder)
    whole, calls = read_cell_features(folder, cells), encoder.calls
    chunks = sorted((folder / "features.zarr" / "c").rglob("*"))
    next(path for path in chunks if path.is_file()).unlink()
    with pytest.raises(ResultError, match="missing or damaged"):
        read_cell_features(folder, cells)
    write_cell_features(image, grid, cells, folder, encoder=encoder)
    assert np.array_equal(read_cell_features(folder, cells), whole)
    assert encoder.calls - calls < calls


def test_the_remains_of_other_work_are_replaced(work):
    image, grid, cells, folder = work
    write_cell_features(image, grid, cells, folder, encoder=Means())
    shutil.rmtree(folder / "basis.zarr")
    write_cell_features(image, grid, cells, folder, encoder=None)
    assert read_cell_features(folder, cells).shape[1] == len(NAMES)


def test_another_pictures_basis_gives_its_own_numbers(work):
    image, grid, cells, folder = work
    basis = write_cell_features(image, grid, cells, folder / "a", encoder=Means())
    write_cell_features(image, grid, cells, folder / "b", encoder=Means(), basis=basis)
    assert np.array_equal(read_cell_features(folder / "a", cells), read_cell_features(folder / "b", cells))


def test_an_encoder_with_large_cells_sets_the_smallest_cell_of_the_model():
    from histoscribe.maps.windows import least_cell_um

    assert least_cell_um(None) == 0
    assert least_cell_um(Means()) == 128 / 8 * 0.5  # input_px over the grid's side, at half a micron per pixel
    assert least_cell_um(build_encoder(load_card("morphology"))) == 0
