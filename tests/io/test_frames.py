"""Frames of pictures: what a user states, and what size and spots show."""

import numpy as np
import pytest

from histoscribe.errors import ConfigError
from histoscribe.io.frames import find_frame, stated_frame
from histoscribe.slide.image import ArraySource, SlideImage

SCALES = {"hires": 0.2, "lowres": 0.05}


def image(width, height):
    return SlideImage(ArraySource([np.zeros((height, width, 3), np.uint8)]))


@pytest.mark.parametrize(
    ("scale", "factor"),
    [("fullres", 1), ("hires", 0.2), ("LowRes", 0.05), ("0.3", 0.3), ("2000/6954", 2000 / 6954), (" 1 / 4 ", 0.25)],
)
def test_a_stated_frame(scale, factor):
    assert stated_frame(scale, SCALES, None).factor == pytest.approx(factor)


@pytest.mark.parametrize("scale", ["", "big", "-1", "0", "1/0", "1/2/3", "nan", "inf", "1e9", "..", "1.2.3"])
def test_a_scale_that_is_none_is_refused(scale):
    with pytest.raises(ConfigError, match="not understood"):
        stated_frame(scale, SCALES, None)


@pytest.mark.parametrize(("size", "name"), [((2001, 1000), "fullres"), ((400, 200), "hires"), ((100, 50), "lowres")])
def test_the_size_gives_the_frame(size, name):
    assert find_frame(image(*size), SCALES, np.ones((3, 2)), full_size_px=(2000, 1000)).name == name


@pytest.mark.parametrize(("size", "name"), [((3000, 3000), "fullres"), ((380, 300), "hires"), ((100, 60), "lowres")])
def test_the_largest_frame_that_holds_the_spots_is_taken(size, name):
    xy = np.array([[50.0, 50.0], [1800.0, 900.0]])
    assert find_frame(image(*size), SCALES, xy).name == name


def test_where_nothing_fits_the_reason_says_so():
    frame = find_frame(image(40, 40), SCALES, np.array([[1800.0, 900.0]]))
    assert (frame.name, frame.factor) == ("fullres", 1.0)
    assert "no known frame" in frame.why
