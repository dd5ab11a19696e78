"""The picture that all readers give: windows, overview, levels, and a lazy array for SpatialData."""

import dask.array as da
import numpy as np
import pytest

from histoscribe.errors import ConfigError, InputError
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.stored import StoredSource


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_a_window_is_given_by_column_and_row() -> None:
    pixels = noise(40, 60)
    window = SlideImage(ArraySource([pixels])).read(50, 10, 7, 20)
    np.testing.assert_array_equal(window, pixels[10:30, 50:57])


def test_channels_first_arrays_give_the_same_windows() -> None:
    pixels = noise(40, 60)
    image = SlideImage(ArraySource([np.moveaxis(pixels, 2, 0)], channel_first=True))
    assert image.shape == (40, 60)
    np.testing.assert_array_equal(image.read(50, 10, 7, 20), pixels[10:30, 50:57])


@pytest.mark.parametrize(
    "window", [(-1, 0, 5, 5), (0, -1, 5, 5), (56, 0, 5, 5), (0, 36, 5, 5), (0, 0, 0, 5), (0, 0, 5, -2)]
)
def test_a_window_that_leaves_the_picture_is_refused(window: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match="leaves level 0"):
        SlideImage(ArraySource([noise(40, 60)])).read(*window)


@pytest.mark.parametrize(
    ("size", "coarse", "expected"),
    [
        ((9911, 9274), (4955, 4637), 2.0),
        ((9911, 9275), (4956, 4638), 2.0),
        ((32914, 46000), (8228, 11500), 4.0),
        ((1000, 1000), (400, 400), 2.5),
    ],
)
def test_a_level_spans_whole_pixels_where_it_was_made_by_halving(
    size: tuple[int, int], coarse: tuple[int, int], expected: float
) -> None:
    levels = [np.broadcast_to(np.uint8(0), (*shape, 3)) for shape in (size, coarse)]
    assert SlideImage(ArraySource(levels)).downsample(1) == expected


@pytest.mark.parametrize("block", [7, 64, 4096])
def test_the_overview_is_the_mean_of_its_pixels_however_it_is_read(block: int) -> None:
    pixels = noise(120, 200)
    picture, span = SlideImage(ArraySource([pixels])).overview(max_side=50, block=block)
    assert span == 4
    np.testing.assert_allclose(picture, pixels.reshape(30, 4, 50, 4, 3).mean((1, 3)), atol=0.5001)


@pytest.mark.parametrize("max_side", [1, 37, 40, 45, 50, 80, 199, 200, 5000])
@pytest.mark.parametrize("with_level", [False, True])
def test_the_overview_is_never_larger_than_asked(max_side: int, with_level: bool) -> None:
    levels = [noise(120, 200), noise(30, 50)] if with_level else [noise(120, 200)]
    picture, span = SlideImage(ArraySource(levels)).overview(max_side=max_side)
    assert max(picture.shape[:2]) <= max_side
    assert picture.shape[1] == 200 // span


def test_the_overview_reads_the_coarsest_level_that_is_fine_enough() -> None:
    fine, coarse = np.zeros((400, 400, 3), np.uint8), np.full((100, 100, 3), 9, np.uint8)
    picture, span = SlideImage(ArraySource([fine, coarse])).overview(max_side=100)
    assert span == 4
    assert (picture == 9).all()


def test_the_lazy_array_holds_the_picture_channels_first() -> None:
    pixels = noise(130, 90)
    lazy = SlideImage(ArraySource([pixels])).to_dask(chunk=50)
    assert lazy.shape == (3, 130, 90)
    assert lazy.dtype == np.uint8
    np.testing.assert_array_equal(np.moveaxis(lazy.compute(), 0, 2), pixels)


def endless(height: int, width: int) -> np.ndarray:
    return np.broadcast_to(np.uint8(0), (height, width, 3))


def test_a_picture_larger_than_any_slide_is_refused_wherever_it_comes_from():
    for height, width in [(1_000_000, 1_000_000), (1_000_001, 40), (450_000, 450_000)]:
        with pytest.raises(InputError, match="larger than any slide"):
            SlideImage(ArraySource([endless(height, width)]))


def test_the_largest_picture_can_be_set(monkeypatch):
    monkeypatch.setenv("HISTOSCRIBE_MAX_GIGAPIXELS", "300")
    assert SlideImage(ArraySource([endless(500_000, 500_000)])).height == 500_000
    monkeypatch.setenv("HISTOSCRIBE_MAX_GIGAPIXELS", "0.001")
    with pytest.raises(InputError, match="larger than any slide"):
        SlideImage(ArraySource([endless(2_000, 2_000)]))
    monkeypatch.setenv("HISTOSCRIBE_MAX_GIGAPIXELS", "many")
    with pytest.raises(ConfigError, match="positive number"):
        SlideImage(ArraySource([endless(20, 20)]))


def test_windows_of_a_lazy_pyramid_are_exact_and_compute_each_chunk_once():
    pixels = np.random.default_rng(0).integers(0, 256, (3, 70, 90), np.uint8)
    computed = []

    def load(block_info=None):
        (_, (y0, y1), (x0, x1)) = block_info[None]["array-location"]
        computed.append((y0, x0))
        return pixels[:, y0:y1, x0:x1]

    lazy = da.map_blocks(
        load, chunks=((3,), (32, 32, 6), (40, 40, 10)), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8)
    )
    source = StoredSource([lazy, pixels[:, ::2, ::2]])
    for x, y, width, height in [(0, 0, 90, 70), (39, 31, 2, 2), (50, 10, 35, 60), (89, 69, 1, 1), (5, 5, 0, 3)]:
        window = source.read(x, y, width, height, 0)
        np.testing.assert_array_equal(window, np.moveaxis(pixels[:, y : y + height, x : x + width], 0, 2))
    assert sorted(computed) == [(y, x) for y in (0, 32, 64) for x in (0, 40, 80)]
    np.testing.assert_array_equal(source.read(3, 4, 5, 6, 1), np.moveaxis(pixels[:, 8:20:2, 6:16:2], 0, 2))
