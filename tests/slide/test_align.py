"""A shift of the spots is found from the tissue, by one rule, and applied only when asked."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from histoscribe.errors import ConfigError
from histoscribe.slide.align import Alignment, apply_alignment, estimate_shift
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.tissue import TissueMask, tissue_mask

PITCH, DIAMETER = 40.0, 22.0


def scene(seed=0):
    """An irregular tissue on 1,600 x 1,200 px, and the spots of a square lattice on it and off it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:150, :200] * 8.0
    tissue = np.zeros((150, 200), bool)
    for _ in range(3):
        cx, cy, rx, ry = rng.uniform((500, 400, 200, 150), (1100, 800, 400, 300))
        tissue |= ((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2 < 1
    mask = TissueMask(tissue, 8.0)
    lattice = np.stack(np.meshgrid(np.arange(100, 1500, PITCH), np.arange(100, 1100, PITCH)), -1).reshape(-1, 2)
    on = mask.fraction(lattice, diameter_px=DIAMETER) > 0.5
    return mask, lattice[on], lattice[~on]


def found(mask, xy, off=None, **options):
    options = {"diameter_px": DIAMETER, "max_shift_px": 5 * PITCH} | options
    return estimate_shift(mask, xy, off_tissue_xy_px=off, **options)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 200), dx=st.floats(-120, 120), dy=st.floats(-120, 120))
def test_a_known_shift_is_undone_within_half_a_pitch(seed, dx, dy):
    mask, xy, off = scene(seed)
    alignment = found(mask, np.add(xy, (dx, dy)), np.add(off, (dx, dy)))
    assert np.abs(np.add(alignment.shift_px, (dx, dy))).max() <= PITCH / 2
    assert alignment.score_after >= alignment.score_before


def test_a_known_shift_is_undone_without_spots_off_tissue():
    mask, xy, _ = scene()
    alignment = found(mask, np.add(xy, (70, -50)))
    assert alignment.shift_px == pytest.approx((-70, 50), abs=PITCH / 2)


def test_spots_that_fit_stay_where_they_are():
    mask, xy, off = scene()
    alignment = found(mask, xy, off)
    assert np.hypot(*alignment.shift_px) <= PITCH / 4


def test_a_small_scale_is_found():
    mask, xy, off = scene()
    alignment = found(mask, xy / 1.1, off / 1.1, scales=(0.9, 1.1), max_shift_px=PITCH)
    assert alignment.scale == 1.1
    moved = apply_alignment(xy / 1.1, alignment)
    assert np.abs(moved - xy).max() < PITCH / 2


def test_no_scale_is_preferred_where_none_is_needed():
    mask, xy, off = scene()
    assert found(mask, xy, off, scales=(0.98, 1.02)).scale == 1.0


def test_a_picture_that_is_all_tissue_leaves_the_shift_undetermined():
    _, xy, _ = scene()
    alignment = found(TissueMask(np.ones((300, 300), bool), 8.0), xy + 400)
    assert not alignment.determined
    assert alignment.shift_px == (0, 0)
    assert "cannot be estimated" in alignment.message


def test_a_picture_without_tissue_leaves_the_shift_undetermined():
    _, xy, _ = scene()
    assert not found(TissueMask(np.zeros((150, 200), bool), 8.0), xy).determined


def test_no_shift_is_longer_than_allowed():
    mask, xy, off = scene()
    alignment = found(mask, xy + 300, off + 300, max_shift_px=64)
    assert np.abs(alignment.shift_px).max() <= 64


def test_the_order_of_the_spots_does_not_matter():
    mask, xy, off = scene()
    xy = xy + 35
    assert found(mask, xy, off) == found(mask, xy[::-1], off[::-1])


def test_spots_outside_the_picture_count_as_off_tissue():
    mask, xy, _ = scene()
    far = np.vstack([xy, xy + 1e5])
    assert found(mask, far).score_before < 0.6


def test_estimating_moves_nothing_and_applying_does():
    xy = np.array([[10.0, 20.0]])
    assert apply_alignment(xy, Alignment((3.0, -4.0), 2.0, 0.5, 0.9)).tolist() == [[23.0, 36.0]]
    assert xy.tolist() == [[10.0, 20.0]]


def test_the_message_gives_the_shift_and_both_scores():
    message = Alignment((12.0, -8.0), 1.0, 0.7, 0.95).message
    assert all(part in message for part in ("+12.0", "-8.0", "70.0%", "95.0%"))


@pytest.mark.parametrize(
    ("xy", "options"),
    [
        (np.empty((0, 2)), {}),
        (np.ones((3, 2)), {"max_shift_px": 0}),
        (np.ones((3, 2)), {"scales": (0.0,)}),
    ],
    ids=["no spots", "no reach", "zero scale"],
)
def test_what_cannot_be_estimated_is_refused(xy, options):
    with pytest.raises(ConfigError, match="at least one spot"):
        found(scene()[0], xy, **options)


@pytest.mark.parametrize("sample", ["151673", "151676"])
def test_a_known_shift_of_a_real_section_is_undone(data_dir, sample):
    folder = data_dir / "visium/dlpfc" / sample
    scale = json.loads((folder / "scalefactors_json.json").read_text())["tissue_lowres_scalef"]
    table = np.loadtxt(folder / "tissue_positions_list.txt", delimiter=",", usecols=(1, 5, 4))
    pixels = np.asarray(Image.open(folder / "tissue_lowres_image.png").convert("RGB"))
    mask = tissue_mask(SlideImage(ArraySource([pixels]), mpp=16.0))
    on, off = (table[table[:, 0] == k, 1:] * scale for k in (1, 0))
    given = found(mask, on, off, diameter_px=3.4, max_shift_px=30)
    assert np.abs(given.shift_px).max() <= 1  # the vendor's own registration is right
    moved = found(mask, np.add(on, (14, -9)), np.add(off, (14, -9)), diameter_px=3.4, max_shift_px=30)
    assert moved.shift_px == pytest.approx((-14, 9), abs=2)  # a pitch is 6.2 px
