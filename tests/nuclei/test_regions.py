"""Shapes of regions."""

import numpy as np
import pytest

from histoscribe.nuclei.regions import depth_px, edges, likeness, slope_of, without_pits

MPP = 0.5


def disc(radius, shape=(64, 64), centre=(32, 32)):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2


def alike(mask, slope=1.0):
    place = np.flatnonzero(mask)
    picture = np.full(mask.shape, slope, np.float32)
    return likeness(np.ones(len(place), np.int32), place, edge=edges(mask), slope=picture, mpp=MPP)[1]


def test_a_disc_of_nuclear_size_with_a_steep_border_is_like_a_nucleus():
    assert alike(disc(8)) == pytest.approx(1, abs=0.1)


def test_two_touching_discs_are_less_like_a_nucleus_than_one():
    assert alike(disc(7, centre=(24, 32)) | disc(7, centre=(38, 32))) < 0.5 * alike(disc(7))


@pytest.mark.parametrize("radius", [1, 30])
def test_specks_and_slabs_are_not_like_nuclei(radius):
    assert alike(disc(radius)) == 0


def test_a_soft_border_counts_in_proportion():
    assert alike(disc(8), slope=0.5) == pytest.approx(alike(disc(8)) / 2)


def test_depth_is_near_the_distance_to_the_border():
    from scipy.ndimage import distance_transform_edt

    mask = disc(20)
    assert np.abs(depth_px(mask, 6).astype(float) - np.minimum(distance_transform_edt(mask), 6)).max() < 1


def test_the_slope_of_a_ramp_is_its_rise_per_micron():
    ramp = np.tile(np.arange(32, dtype=np.float32), (32, 1)) * 0.2  # 0.4 per micron
    assert np.allclose(slope_of(ramp, steepest=0.8, mpp=MPP)[8:-8, 8:-8], 0.5)


def test_small_pits_are_raised_and_large_or_open_ones_stay():
    picture = np.ones((64, 64), np.float32)
    picture[10:13, 10:13] = picture[30:50, 30:50] = picture[:3, 40:43] = 0
    raised = without_pits(picture, (0.5,), largest_px=20)
    assert raised[11, 11] > 0.5
    assert raised[40, 40] == raised[1, 41] == 0
