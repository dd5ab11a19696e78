"""Tissue is found on every background by one method, and measured in level-0 pixels."""

import csv
import gzip
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from scipy import ndimage

from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.tissue import TissueMask, tissue_mask

GLASS = {"white": (248, 248, 250), "grey": (150, 152, 148), "lilac": (226, 210, 232), "black": (0, 0, 0)}


@pytest.fixture(scope="module", autouse=True)
def large_pictures():
    limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    yield
    Image.MAX_IMAGE_PIXELS = limit


def slide(pixels, mpp=8.0):
    return SlideImage(ArraySource([np.asarray(pixels, np.uint8)]), mpp=mpp)


def ellipse(height=300, width=400):
    y, x = np.mgrid[:height, :width]
    return ((x - 150) / 90) ** 2 + ((y - 170) / 60) ** 2 < 1


def stained(shape, strength=1.0, seed=0):
    """H&E-like pixels, (h, w, 3): eosin everywhere, nuclei of haematoxylin of about 8 um."""
    nuclei = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 0.8) > 0.2
    density = 0.25 + 0.5 * nuclei
    return 250 * np.exp(-strength * density[..., None] * np.array([0.6, 1.0, 0.4]))


def section_on(glass, strength=1.0, noise=1.0):
    inside = ellipse()
    pixels = np.broadcast_to(np.array(glass, float), (*inside.shape, 3)).copy()
    light = np.array(glass if max(glass) else (245, 245, 245), float) / 250
    pixels[inside] = (stained(inside.shape, strength) * light)[inside]
    pixels += np.random.default_rng(1).normal(0, noise, pixels.shape)
    return np.clip(pixels, 0, 255), inside


def iou(a, b):
    return (a & b).sum() / (a | b).sum()


def readable(path, mpp):
    return slide(np.asarray(Image.open(path).convert("RGB")), mpp)


@pytest.mark.parametrize("background", GLASS)
def test_tissue_is_found_on_every_background(background):
    pixels, inside = section_on(GLASS[background])
    assert iou(tissue_mask(slide(pixels)).mask, inside) > 0.93


@pytest.mark.parametrize("strength", [0.35, 3.0])
def test_pale_and_dark_stains_are_found(strength):
    pixels, inside = section_on(GLASS["white"], strength)
    assert iou(tissue_mask(slide(pixels)).mask, inside) > 0.93


@pytest.mark.parametrize("grey", [255, 250, 180, 130])
@pytest.mark.parametrize("noise", [0.0, 1.0, 3.0])
def test_blank_glass_has_no_tissue(grey, noise):
    pixels = np.clip(grey + np.random.default_rng(0).normal(0, noise, (200, 300, 3)), 0, 255)
    assert tissue_mask(slide(pixels)).share == 0


def test_a_black_picture_has_no_tissue():
    assert tissue_mask(slide(np.zeros((100, 100, 3)))).share == 0


def test_uneven_light_is_no_tissue():
    light = np.linspace(200, 255, 400)[None, :, None] * np.ones((300, 1, 3))
    assert tissue_mask(slide(light)).share == 0


def test_a_picture_that_is_all_tissue_gives_a_full_mask():
    assert tissue_mask(slide(stained((200, 200)))).share > 0.99


@pytest.mark.parametrize("ink", [(20, 20, 25), (40, 70, 190), (30, 140, 60)], ids=["black", "blue", "green"])
def test_a_stroke_of_pen_is_no_tissue(ink):
    pixels, inside = section_on(GLASS["white"])
    pixels[40:60, 250:390] = ink
    assert not tissue_mask(slide(pixels)).mask[40:60, 260:380].any()
    assert iou(tissue_mask(slide(pixels)).mask, inside) > 0.93


def test_a_picture_set_into_a_black_background_is_left_out():
    pixels, inside = section_on(GLASS["black"])
    pixels[:90, 310:] = section_on(GLASS["white"])[0][110:200, 100:190]
    mask = tissue_mask(slide(pixels)).mask
    assert not mask[:90, 310:].any()
    assert iou(mask, inside) > 0.93


def test_fiducial_dots_are_no_tissue():
    pixels, inside = section_on(GLASS["grey"])
    y, x = np.mgrid[:300, :400]
    dots = (x % 14 - 7) ** 2 + (y % 14 - 7) ** 2 < 25
    pixels[(y > 270) & dots] = 125
    assert iou(tissue_mask(slide(pixels)).mask, inside) > 0.93


def test_the_mask_does_not_depend_on_how_fine_the_picture_is():
    pixels, _ = section_on(GLASS["white"])
    fine = tissue_mask(slide(np.kron(pixels, np.ones((4, 4, 1))), mpp=2.0))
    assert fine.downsample == 4
    assert iou(fine.mask, tissue_mask(slide(pixels)).mask) > 0.99


def test_the_mask_is_never_larger_than_asked():
    assert max(tissue_mask(slide(section_on(GLASS["white"])[0]), max_side=100).mask.shape) <= 100


def test_a_picture_without_microns_per_pixel_still_has_a_mask():
    pixels, inside = section_on(GLASS["white"])
    assert iou(tissue_mask(slide(pixels, mpp=None)).mask, inside) > 0.9


def test_area_is_in_square_millimetres():
    mask = TissueMask(np.ones((10, 20), bool), downsample=5.0)
    assert mask.area_mm2(2.0) == pytest.approx(200 * 0.01**2)  # 200 pixels of 10 um


def test_a_point_is_looked_up_with_x_before_y():
    mask = TissueMask(np.zeros((10, 20), bool), downsample=4.0)
    mask.mask[2, 15] = True
    assert mask.at(np.array([[62.0, 10.0], [10.0, 62.0]])).tolist() == [True, False]


def test_points_outside_the_picture_are_not_on_tissue():
    mask = TissueMask(np.ones((10, 20), bool), downsample=4.0)
    outside = np.array([[-1.0, 5], [5, -1], [90, 5], [5, 50]])
    assert not mask.at(outside).any()
    assert not mask.fraction(outside * 10, diameter_px=4).any()


def test_half_a_spot_on_tissue_is_half():
    mask = TissueMask(np.zeros((40, 40), bool), downsample=2.0)
    mask.mask[:, 20:] = True
    assert mask.fraction(np.array([[40.0, 40.0]]), diameter_px=7.3) == pytest.approx(0.5)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    downsample=st.floats(0.5, 30),
    diameter=st.floats(0.01, 200),
)
def test_the_fraction_is_the_mean_of_the_mask_under_the_footprint(seed, downsample, diameter):
    rng = np.random.default_rng(seed)
    mask = TissueMask(rng.random((12, 9)) < 0.5, downsample)
    xy = rng.uniform(0, 9 * downsample, (5, 2))
    found = mask.fraction(xy, diameter_px=diameter)
    side = max(diameter / downsample * np.sqrt(np.pi) / 2, 1e-3)

    def covered(centre, n):  # length of each pixel that the footprint covers, (n,)
        low, high = centre / downsample - side / 2, centre / downsample + side / 2
        return np.clip(np.minimum(np.arange(n) + 1, high) - np.maximum(np.arange(n), low), 0, None)

    plain = [covered(y, 12) @ mask.mask @ covered(x, 9) / side**2 for x, y in xy]
    assert found == pytest.approx(np.array(plain), abs=1e-6)


@pytest.mark.parametrize("sample", ["151507", "151510", "151673", "151676"])
def test_mask_agrees_with_the_vendors_call_on_cortex(data_dir, sample):
    assert _agreement(data_dir / "visium/dlpfc" / sample, "tissue_positions_list.txt") > 0.96  # 0.972 to 0.977


@pytest.mark.parametrize(("folder", "least"), [("breast_block_a_section_1", 0.95), ("mouse_brain_v1", 0.98)])
def test_mask_agrees_with_the_vendors_call(data_dir, folder, least):
    assert _agreement(data_dir / "visium" / folder / "spatial", "tissue_positions_list.csv") > least


def _agreement(folder, positions):
    scale = json.loads((folder / "scalefactors_json.json").read_text())["tissue_lowres_scalef"]
    table = np.loadtxt(folder / positions, delimiter=",", usecols=(1, 4, 5))
    mask = tissue_mask(readable(folder / "tissue_lowres_image.png", mpp=16.0))
    return (mask.at(table[:, [2, 1]] * scale) == (table[:, 0] == 1)).mean()


def test_mask_agrees_with_a_mask_drawn_by_hand(data_dir):
    folder = data_dir / "st/xfuse_mob_tiny"
    drawn = np.asarray(Image.open(folder / "mask.png")) == 1
    found = tissue_mask(readable(folder / "image.jpg", mpp=6.9))
    y, x = np.nonzero(np.ones_like(drawn))
    assert iou(found.at(np.stack([x, y], 1) + 0.5).reshape(drawn.shape), drawn) > 0.95  # 0.973


@pytest.mark.parametrize("section", ["C3", "C6"])
def test_spots_lie_on_the_mask_in_spite_of_a_pink_wash(data_dir, section):
    image = readable(data_dir / f"her2st/images/{section}.jpg", mpp=0.69)
    mask = tissue_mask(image)
    table = np.loadtxt(data_dir / f"her2st/spots/{section}_selection.tsv", skiprows=1, usecols=(4, 5))
    assert mask.at(table).mean() > 0.99
    # 178 to 187 spots of 0.2 x 0.2 mm; a wash taken for tissue would add a third
    assert mask.area_mm2(0.69) == pytest.approx(len(table) * 0.04, rel=0.15)


def test_black_background_and_its_inset_are_left_out(data_dir):
    mask = tissue_mask(readable(data_dir / "her2st/images/A2_app2000.png", mpp=3.2))
    with gzip.open(data_dir / "her2st/clusters/A2-cluster-annotation.tsv.gz", "rt") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    xy = np.array([[float(row["warped_x"]), float(row["warped_y"])] for row in rows]) * 2000 / 6966
    assert mask.at(xy).mean() > 0.99
    inset = np.stack(np.meshgrid(np.arange(1500, 2000, 10), np.arange(0, 540, 10)), -1).reshape(-1, 2)
    assert not mask.at(inset.astype(float)).any()


@pytest.mark.parametrize("name", ["wsi/tiatoolbox_target_image.png", "nuclei/stardist_histo.jpg"])
def test_a_crop_of_real_tissue_is_all_tissue(data_dir, name):
    assert tissue_mask(readable(data_dir / name, mpp=0.5)).share > 0.98


def test_a_single_field_of_view_full_of_tissue_is_tissue():
    pixels = stained((10, 16)).repeat(32, axis=0).repeat(32, axis=1)  # nuclei of 8 um at 0.25 um per pixel
    assert tissue_mask(slide(pixels, mpp=0.25)).share > 0.9  # 0.01 mm2 in all


def test_a_single_field_of_bare_glass_has_no_tissue():
    glass = 245 + np.random.default_rng(0).normal(0, 1, (300, 500, 3))
    assert tissue_mask(slide(glass, mpp=0.25)).share == 0
