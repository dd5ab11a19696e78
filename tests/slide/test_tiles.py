"""Tiles: the right place to a twentieth of a pixel, from the right level, whoever else is read in the same call."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openslide
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscribe.errors import ConfigError, InputError
from histoscribe.slide.formats_openslide import OpenSlideSource
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.open import open_image
from histoscribe.slide.tiles import read_tiles, reading_order


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def gradient(height: int = 120, width: int = 127) -> np.ndarray:
    """Red rises by 4 a column from column 30 on, green by 4 a row; pixel j lies at x = j + 0.5: red is 4 (x - 30.5)."""
    y, x = np.mgrid[:height, :width]
    return np.stack([4 * (x - 30), 4 * (y - 30), 0 * x], axis=-1).clip(0, 255).astype(np.uint8)


def halved(array: np.ndarray) -> np.ndarray:
    height, width = array.shape[0] // 2 * 2, array.shape[1] // 2 * 2
    return array[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3)).astype(np.uint8)


def slide(*levels: np.ndarray, mpp: float | None = 1.0) -> SlideImage:
    return SlideImage(ArraySource(levels), mpp=mpp)


class Recorder:
    """A source that remembers which windows were read."""

    def __init__(self, levels: Sequence[np.ndarray]) -> None:
        self.inner = ArraySource(levels)
        self.reads: list[tuple[int, int, int, int, int]] = []

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        return self.inner.shapes

    def read(self, x: int, y: int, width: int, height: int, level: int) -> np.ndarray:
        self.reads.append((x, y, width, height, level))
        return self.inner.read(x, y, width, height, level)


# ---- place ----


@pytest.mark.parametrize("out_px", [75, 37, 18, 9, 8])
def test_the_centre_is_exact_at_every_reduction_and_level(out_px: int) -> None:
    levels = [gradient(), halved(gradient()), halved(halved(gradient()))]
    xy = np.random.default_rng(0).uniform(57, 64, (200, 2))
    tiles = read_tiles(slide(*levels), xy, tile_um=37.7, out_px=out_px).astype(float)
    error = tiles.mean((1, 2))[:, :2] / 4 + 30.5 - xy  # pixels; a whole grey value is a quarter of one
    assert np.abs(error.mean(0)).max() < 0.02
    assert np.sqrt((error**2).mean()) < 0.25 / np.sqrt(12)  # what rounding one whole grey value would give


@pytest.mark.parametrize("out_px", [37, 19, 10])
def test_levels_do_not_shift_against_each_other(out_px: int) -> None:
    levels = [gradient(), halved(gradient()), halved(halved(gradient()))]
    xy = np.array([[60.3, 57.8]])
    flat = read_tiles(slide(gradient()), xy, tile_um=40, out_px=out_px).astype(float)
    pyramid = read_tiles(slide(*levels), xy, tile_um=40, out_px=out_px).astype(float)
    assert np.abs((flat - pyramid).mean((0, 1, 2))).max() < 4 * 0.05  # four grey values are one pixel


def test_a_whole_centre_lies_between_two_pixels() -> None:
    pixels = noise(50, 60)
    tile = read_tiles(slide(pixels), np.array([[20.0, 30.0]]), tile_um=10, out_px=10)[0]
    np.testing.assert_array_equal(tile, pixels[25:35, 15:25])


def test_a_half_centre_lies_in_the_middle_of_a_pixel() -> None:
    pixels = noise(50, 60)
    tile = read_tiles(slide(pixels), np.array([[20.5, 30.5]]), tile_um=5, out_px=5)[0]
    np.testing.assert_array_equal(tile, pixels[28:33, 18:23])


def test_x_is_the_column_and_y_the_row() -> None:
    pixels = np.zeros((50, 100, 3), np.uint8)
    pixels[10:20, 80:90] = 255
    tile = read_tiles(slide(pixels), np.array([[85.0, 15.0]]), tile_um=10, out_px=10)
    assert (tile == 255).all()


def test_the_side_is_in_microns() -> None:
    pixels = noise(200, 200)
    tile = read_tiles(slide(pixels, mpp=0.5), np.array([[100.0, 100.0]]), tile_um=20, out_px=40)[0]
    np.testing.assert_array_equal(tile, pixels[80:120, 80:120])


def test_reduced_tiles_are_averaged_and_not_picked() -> None:
    stripes = np.zeros((200, 200, 3), np.uint8)
    stripes[:, ::2] = 255
    for out_px in (75, 40, 10):
        tile = read_tiles(slide(stripes), np.array([[100.0, 100.0]]), tile_um=150, out_px=out_px)
        assert np.abs(tile.astype(float) - 127.5).max() < 30


@pytest.mark.parametrize("side", [30, 78, 126])
def test_a_reduced_tile_is_a_window_of_a_larger_one(side: int) -> None:
    image = slide(noise(300, 300))
    small = read_tiles(image, np.array([[150.0, 150.0]]), tile_um=side, out_px=20)[0].astype(int)
    large = read_tiles(image, np.array([[150.0, 150.0]]), tile_um=2 * side, out_px=40)[0].astype(int)
    assert np.abs(small - large[10:30, 10:30]).max() <= 1  # the filter sees beyond the tile's edge in both


# ---- border ----


@pytest.mark.parametrize("x", [-8.0, -0.3, 0.0, 0.25, 3.0, 30.0, 58.0, 60.0, 66.6])
@pytest.mark.parametrize("y", [-8.0, 0.0, 25.5, 50.0, 57.9])
def test_the_border_is_mirrored(x: float, y: float) -> None:
    pixels, pad = noise(50, 60), 40
    padded = np.pad(pixels, ((pad, pad), (pad, pad), (0, 0)), mode="symmetric")
    tile = read_tiles(slide(pixels), np.array([[x, y]]), tile_um=20, out_px=17)
    expected = read_tiles(slide(padded), np.array([[x + pad, y + pad]]), tile_um=20, out_px=17)
    np.testing.assert_array_equal(tile, expected)


def test_a_tile_larger_than_the_picture_is_mirrored_again_and_again() -> None:
    pixels, pad = noise(32, 40), 150
    padded = np.pad(pixels, ((pad, pad), (pad, pad), (0, 0)), mode="symmetric")
    tile = read_tiles(slide(pixels), np.array([[11.3, 20.0]]), tile_um=200, out_px=64)
    expected = read_tiles(slide(padded), np.array([[11.3 + pad, 20.0 + pad]]), tile_um=200, out_px=64)
    np.testing.assert_array_equal(tile, expected)


# ---- independence ----


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**16),
    n=st.integers(1, 12),
    block_px=st.integers(1, 300),
    tile_um=st.floats(3, 90),
    out_px=st.integers(1, 24),
)
def test_a_tile_depends_on_its_own_centre_only(seed: int, n: int, block_px: int, tile_um: float, out_px: int) -> None:
    levels = [noise(131, 153), noise(65, 76, 1), noise(32, 38, 2)]
    xy = np.random.default_rng(seed).uniform([0, 0], [153, 131], (n, 2))
    together = read_tiles(slide(*levels), xy, tile_um=tile_um, out_px=out_px, block_px=block_px)
    for i in range(n):
        alone = read_tiles(slide(*levels), xy[i : i + 1], tile_um=tile_um, out_px=out_px)
        assert alone.tobytes() == together[i].tobytes()


def test_a_slide_level_that_is_no_whole_fraction_gives_the_same_pixels_in_every_window(tmp_path: Path) -> None:
    path, level = tmp_path / "a.tif", noise(667, 666)
    with tifffile.TiffWriter(path) as writer:
        writer.write(noise(2003, 2002), photometric="rgb", tile=(256, 256), metadata=None)
        writer.write(level, photometric="rgb", tile=(256, 256), subfiletype=1, metadata=None)
    source = OpenSlideSource(path, openslide.OpenSlide(path))
    assert source.shapes == ((2003, 2002), (667, 666))
    everything = source.read(0, 0, 666, 667, 1)
    np.testing.assert_array_equal(everything[:500, :500], level[:500, :500])
    for x, y in [(1, 2), (100, 3), (333, 301), (501, 499)]:
        np.testing.assert_array_equal(source.read(x, y, 150, 160, 1), everything[y : y + 160, x : x + 150])


def test_no_tiles_are_no_tiles() -> None:
    assert read_tiles(slide(noise(50, 50)), np.empty((0, 2)), tile_um=10, out_px=8).shape == (0, 8, 8, 3)


# ---- reading ----


@pytest.mark.parametrize(("out_px", "level"), [(200, 0), (100, 0), (51, 0), (50, 1), (26, 1), (25, 2), (5, 2)])
def test_the_coarsest_level_is_read_that_needs_no_enlarging(out_px: int, level: int) -> None:
    source = Recorder([noise(400, 400), noise(200, 200), noise(100, 100)])
    read_tiles(SlideImage(source, mpp=1.0), np.array([[200.0, 200.0]]), tile_um=100, out_px=out_px)
    assert [read[4] for read in source.reads] == [level]


def test_tiles_of_one_block_share_one_read() -> None:
    source = Recorder([noise(600, 600)])
    xy = np.stack(np.meshgrid(np.arange(10, 600, 20.0), np.arange(10, 600, 20.0)), -1).reshape(-1, 2)  # 900 centres
    read_tiles(SlideImage(source, mpp=1.0), xy, tile_um=20, out_px=8, block_px=200)
    assert len(source.reads) == 9
    assert max(max(read[2:4]) for read in source.reads) < 200 + 2 * 20


def test_far_corners_are_not_read_as_one_window() -> None:
    source = Recorder([noise(2000, 2000)])
    corners = np.array([[100.0, 100.0], [1900, 100], [100, 1900], [1900, 1900]])
    read_tiles(SlideImage(source, mpp=1.0), corners, tile_um=50, out_px=10, block_px=512)
    assert max(max(read[2:4]) for read in source.reads) < 100


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**16), n=st.integers(0, 200), block_px=st.integers(1, 900))
def test_reading_order_is_a_permutation_that_visits_every_block_once(seed: int, n: int, block_px: int) -> None:
    xy = np.random.default_rng(seed).uniform(-20, 1020, (n, 2))
    order = reading_order((1000, 1000), xy, block_px=block_px)
    assert order.dtype == np.intp
    assert sorted(order) == list(range(n))
    blocks = np.clip(xy[order] // block_px, 0, 999 // block_px)
    changes = 1 + int((np.diff(blocks, axis=0) != 0).any(1).sum()) if n else 0
    assert changes == len({tuple(b) for b in blocks})


def test_reading_order_does_not_depend_on_the_order_given() -> None:
    rng = np.random.default_rng(0)
    xy = rng.uniform(0, 1000, (300, 2))
    shuffle = rng.permutation(300)
    straight = xy[reading_order((1000, 1000), xy, block_px=100)]
    shuffled = xy[shuffle][reading_order((1000, 1000), xy[shuffle], block_px=100)]
    np.testing.assert_array_equal(straight, shuffled)


def test_reading_order_goes_from_a_block_to_its_neighbour() -> None:
    xy = np.stack(np.meshgrid(np.arange(50, 1000, 100.0), np.arange(50, 1000, 100.0)), -1).reshape(-1, 2)
    walk = xy[reading_order((1000, 1000), xy, block_px=100)]
    assert (np.abs(np.diff(walk, axis=0)).sum(axis=1) == 100).all()


# ---- refusals ----


@pytest.mark.parametrize(
    "centre", [(float("nan"), 5.0), (5.0, float("inf")), (-10.0, 20.0), (70.0, 20.0), (30.0, 60.0), (5e6, 5e6)]
)
def test_tiles_that_would_show_mirrored_pixels_only_are_refused(centre: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="1 of 2 tiles lie wholly outside"):
        read_tiles(slide(noise(50, 60)), np.array([[30.0, 30.0], centre]), tile_um=20, out_px=8)


def test_an_image_without_microns_per_pixel_is_refused() -> None:
    with pytest.raises(InputError, match="microns per pixel"):
        read_tiles(slide(noise(50, 60), mpp=None), np.array([[30.0, 30.0]]), tile_um=20, out_px=8)


@pytest.mark.parametrize("option", [{"tile_um": 0.0}, {"tile_um": float("nan")}, {"out_px": 0}, {"block_px": -1}])
def test_sizes_must_be_positive(option: dict[str, float]) -> None:
    sizes = {"tile_um": 20.0, "out_px": 8, "block_px": 64} | option
    with pytest.raises(ConfigError, match="positive"):
        read_tiles(slide(noise(50, 60)), np.array([[30.0, 30.0]]), **sizes)


# ---- real slides ----


def test_neighbouring_tiles_of_a_real_slide_join_without_a_seam(data_dir: Path) -> None:
    image = open_image(data_dir / "wsi/CMU-1-Small-Region.svs")
    side_um = 100 * image.mpp
    left, right = read_tiles(image, np.array([[550.0, 1050.0], [650.0, 1050.0]]), tile_um=side_um, out_px=100)
    np.testing.assert_array_equal(np.hstack([left, right]), image.read(500, 1000, 200, 100))


def test_a_spot_of_a_real_section_lies_where_its_file_says(data_dir: Path) -> None:
    folder = data_dir / "visium/mouse_cytassist/spatial"
    factors = json.loads((folder / "scalefactors_json.json").read_text())
    image = open_image(folder / "tissue_lowres_image.png", mpp=factors["tissue_lowres_scalef"])
    tile = read_tiles(image, np.array([[300.0, 250.0]]), tile_um=10 * image.mpp, out_px=10)[0]
    np.testing.assert_array_equal(tile, image.read(295, 245, 10, 10))
