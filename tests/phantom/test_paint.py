import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscribe.phantom import make_phantom

PHANTOM = make_phantom(3, size_um=700, n_genes=120)
PICTURE = PHANTOM.image.read(0, 0, 1400, 1400)


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 1399), st.integers(0, 1399), st.integers(1, 700), st.integers(1, 700))
def test_a_window_equals_that_part_of_the_picture_to_the_byte(x, y, width, height):
    width, height = min(width, 1400 - x), min(height, 1400 - y)
    window = make_phantom(3, size_um=700, n_genes=120).image.read(x, y, width, height)
    np.testing.assert_array_equal(window, PICTURE[y : y + height, x : x + width])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 900), st.integers(0, 900), st.integers(1, 500), st.integers(1, 500))
def test_the_blocks_in_which_it_is_drawn_leave_no_trace(x, y, width, height):
    drawn = PHANTOM.image.painter.draw(x, y, width, height)
    np.testing.assert_array_equal(drawn, PICTURE[y : y + height, x : x + width])


def test_the_picture_has_the_declared_shape():
    image = make_phantom(1, size_um=(400, 300), mpp=0.5).image
    assert image.shapes == ((600, 800),)
    assert image.read(0, 0, 800, 600, 0).shape == (600, 800, 3)


def test_a_window_outside_the_picture_is_refused():
    with pytest.raises(IndexError):
        PHANTOM.image.read(1300, 0, 200, 10)


def test_glass_is_bright_and_tissue_is_not():
    y, x = np.mgrid[:1400:4, :1400:4]
    distance = PHANTOM.geometry.distance(x * PHANTOM.mpp, y * PHANTOM.mpp)
    brightness = PICTURE[::4, ::4].mean(axis=2)
    assert (brightness[distance < -5] < 225).mean() < 1e-3  # the tip of a nucleus may hang over the edge
    assert np.median(brightness[distance > 5]) < 200


def test_patients_differ_in_colour_but_not_wildly():
    means = []
    for patient in range(4):
        pixels = make_phantom(3, size_um=700, mpp=1.0, patient=patient).image.read(200, 200, 300, 300).reshape(-1, 3)
        means.append(np.median(pixels[pixels.mean(axis=1) < 220], axis=0))
    spread = np.ptp(np.array(means), axis=0)
    assert spread.max() > 5
    assert spread.max() < 70
