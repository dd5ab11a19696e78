"""What lies off the tissue is white at every level, and nothing else is changed."""

import numpy as np
import pytest

from histoscribe.slide.background import on_white
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.tiles import read_tiles
from histoscribe.slide.tissue import TissueMask

LEVEL_0 = np.full((62, 80, 3), 100, np.uint8)  # the last rows fill half a pixel of the mask
IMAGE = SlideImage(ArraySource([LEVEL_0, LEVEL_0[::2, ::2]]), mpp=1.0)
TISSUE = TissueMask(np.zeros((15, 20), bool), 4.0)
TISSUE.mask[3:15, 5:10] = True


@pytest.mark.parametrize("level", [0, 1])
def test_pixels_off_the_tissue_are_white_at_every_level(level):
    step = IMAGE.downsample(level)
    height, width = IMAGE.source.shapes[level]
    found = on_white(IMAGE, TISSUE).read(0, 0, width, height, level)
    expected = np.full((height, width, 3), 255)
    expected[int(12 / step) :, int(20 / step) : int(40 / step)] = 100
    np.testing.assert_array_equal(found, expected)


def test_a_window_is_the_same_as_the_part_of_the_whole():
    white = on_white(IMAGE, TISSUE)
    np.testing.assert_array_equal(white.read(17, 9, 30, 40), white.read(0, 0, 80, 62)[9:49, 17:47])


def test_a_tile_at_the_border_of_the_tissue_is_half_white():
    (tile,) = read_tiles(on_white(IMAGE, TISSUE), np.array([[20.0, 40.0]]), tile_um=16.0, out_px=16)
    assert (tile[:, :8] == 255).all()
    assert (tile[:, 8:] == 100).all()
