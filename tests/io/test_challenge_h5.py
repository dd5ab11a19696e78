"""The hackathon's HDF5: one section per slide, abundances as the target."""

import h5py
import numpy as np
import pytest

from histoscribe.errors import InputError
from histoscribe.io import detect, read, sections_in


def test_slides_are_listed_training_first(challenge):
    assert sections_in(challenge) == ["S_1", "S_2", "S_7"]
    assert detect(challenge).format == "challenge_h5"


def test_a_training_slide_has_its_abundances_in_the_order_of_the_file(challenge):
    spots = read(challenge, section="S_2").section.spots
    abundance = spots.obsm["abundance"]
    with h5py.File(challenge) as file:
        table = file["spots/Train/S_2"][:]
    assert abundance.columns.tolist() == [f"C{k}" for k in range(1, 36)]
    np.testing.assert_array_equal(abundance["C17"], table["C17"])
    np.testing.assert_array_equal(spots.obsm["spatial"], np.column_stack([table["x"], table["y"]]))
    assert spots.obs_names[[0, -1]].tolist() == ["S_2_0", "S_2_89"]
    assert spots.n_vars == 0


def test_a_test_slide_has_its_set_and_no_abundances(challenge):
    spots = read(challenge, section="S_7").section.spots
    assert "abundance" not in spots.obsm
    assert set(spots.obs["test_set"]) == {1, 2}


def test_the_picture_becomes_8_bits(challenge):
    image = read(challenge, section="S_1").section.image
    with h5py.File(challenge) as file:
        expected = np.rint(file["images/Train/S_1"][100:110, 50:80] * 255)
    np.testing.assert_array_equal(image.read(50, 100, 30, 10), expected)


def test_microns_per_pixel_come_from_the_pitch_although_places_are_rounded(challenge):
    assert read(challenge, section="S_1").section.mpp == pytest.approx(4.0, rel=0.01)


def test_the_slide_must_be_named(challenge):
    with pytest.raises(InputError, match="several slides") as caught:
        read(challenge)
    assert "S_1, S_2, S_7" in str(caught.value)


def test_a_slide_that_is_not_there_names_the_nearest(challenge):
    with pytest.raises(InputError, match="no slide 'S_3'") as caught:
        read(challenge, section="S_3")
    assert "did you mean" in str(caught.value)
