"""What cannot be H&E is refused, what may not be is named, and every real slide passes."""

from importlib.resources import files

import numpy as np
import pytest
from PIL import Image

from histoscribe.io.preflight_stain import stain_finding
from histoscribe.phantom import make_phantom
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.open import open_image
from histoscribe.slide.tissue import tissue_mask
from histoscribe.slide.unmixing import PUBLISHED

DAB = np.array([0.268, 0.570, 0.776])

REAL = {
    "her2st/images/A1_app2000.png": 3.2,  # cut out on black
    "her2st/images/C2.jpg": 0.69,
    "nuclei/monuseg/TCGA-AC-A2FO-01A-01-TS1.tif": 0.25,
    "nuclei/monuseg/TCGA-HT-8564-01Z-00-DX1.tif": 0.25,
    "st/mob_stutility/MOB1.jpg": 3.0,
    "st/mob_stutility/MOB3.jpg": 3.0,  # pale
    "st/xfuse_mob_tiny/image.jpg": 3.0,
    "visium/breast_block_a_section_1/spatial/tissue_lowres_image.png": 15.0,
    "visium/dlpfc/151507/tissue_lowres_image.png": 11.0,  # grey glass
    "visium/dlpfc/151676/tissue_lowres_image.png": 11.0,
    "visium/mouse_brain_v1/spatial/tissue_lowres_image.png": 17.0,
    "visium/mouse_cytassist/spatial/tissue_lowres_image.png": 15.0,  # eosin alone
    "visium/squidpy_crop/test_img.jpg": 0.615,
    "wsi/CMU-1-Small-Region.svs": 0.5,
    "xenium/ncbi858/NCBI858.jpg": 5.0,
}


def judged(pixels, mpp=1.0):
    image = SlideImage(ArraySource([np.ascontiguousarray(pixels)]), mpp=mpp)
    return stain_finding(image, tissue_mask(image))


@pytest.fixture(scope="module")
def phantom():
    """Pixels of an H&E phantom with glass around it, and its optical density."""
    image = make_phantom(7, size_um=900.0, mpp=1.0).image
    height, width = image.shapes[0]
    pixels = image.read(0, 0, width, height, level=0)
    return pixels, -np.log((pixels.astype(float) + 1) / 256)


def from_density(density):
    return np.clip(256 * np.exp(-density) - 1, 0, 255).astype(np.uint8)


def stains_of(density):
    """Haematoxylin and eosin of every pixel, each (h, w, 1)."""
    basis = np.vstack([PUBLISHED, np.cross(*PUBLISHED)])
    amounts = np.maximum(density @ np.linalg.inv(basis), 0)
    return amounts[..., :1], amounts[..., 1:2]


def glowing(density, *, colours, floor):
    """Fluorescence: haematoxylin and eosin as light of two colours (0 to 1) over a floor."""
    light = floor + sum(
        220 * np.clip(stain / np.percentile(stain, 99), 0, 1) * np.array(colour)
        for stain, colour in zip(stains_of(density), colours, strict=True)
    )
    return np.clip(light, 0, 255).astype(np.uint8)


BLUE, GREEN, RED, NONE = (0, 0, 1), (0, 1, 0), (1, 0, 0), (0, 0, 0)
NO_HE = {
    "inverted": lambda rgb, _: 255 - rgb,
    "inverted with red and blue exchanged": lambda rgb, _: 255 - rgb[..., ::-1],
    "inverted in grey": lambda rgb, _: 255 - grey(rgb),
    "inverted without glass": lambda rgb, _: 255 - rgb[300:600, 300:600],
    "blue nuclei": lambda _, density: glowing(density, colours=(BLUE, NONE), floor=4),
    "blue nuclei over stray light": lambda _, density: glowing(density, colours=(BLUE, NONE), floor=40),
    "blue nuclei, green membranes": lambda _, density: glowing(density, colours=(BLUE, GREEN), floor=10),
    "blue nuclei, red membranes": lambda _, density: glowing(density, colours=(BLUE, RED), floor=10),
    "red nuclei, green membranes": lambda _, density: glowing(density, colours=(RED, GREEN), floor=10),
    "green nuclei": lambda _, density: glowing(density, colours=(GREEN, NONE), floor=10),
    "white nuclei": lambda _, density: glowing(density, colours=((1, 1, 1), NONE), floor=10),
    "green tissue": lambda rgb, _: rgb[..., [1, 0, 2]],
}


def grey(rgb):
    return np.repeat(np.asarray(Image.fromarray(rgb).convert("L"))[..., None], 3, axis=2)


@pytest.mark.parametrize("kind", NO_HE)
def test_what_cannot_be_h_and_e_is_refused(kind, phantom):
    found = judged(NO_HE[kind](*phantom))
    assert found.level == "refused", found.message
    assert found.fix


def test_a_phantom_passes_with_its_numbers(phantom):
    found = judged(phantom[0])
    assert found.level == "ok"
    assert found.evidence["absorbs_green"] > found.evidence["absorbs_red"] > 0.1


def immunohistochemistry(_, density):
    haematoxylin, eosin = stains_of(density)
    return from_density(0.4 * haematoxylin * PUBLISHED[0] + eosin * DAB)


DOUBTFUL = {
    "grey": (lambda rgb, _: grey(rgb), "grey picture"),
    "grey without glass": (lambda rgb, _: grey(rgb)[300:600, 300:600], "grey picture"),
    "faded": (lambda _, density: from_density(density / 5), "faded"),
    "DAB": (immunohistochemistry, "brown"),
    "haematoxylin alone, bluer": (lambda _, density: from_density(density[..., 1:2] * [0.8, 0.6, 0.2]), "blue"),
}


@pytest.mark.parametrize("kind", DOUBTFUL)
def test_what_may_not_be_h_and_e_is_named(kind, phantom):
    change, word = DOUBTFUL[kind]
    found = judged(change(*phantom))
    assert found.level == "warning"
    assert word in found.message


def test_a_real_slide_of_dab_is_named():
    found = judged(np.asarray(Image.open(str(files("skimage") / "data" / "ihc.png")).convert("RGB")), mpp=0.5)
    assert found.level == "warning"
    assert "DAB" in found.message


def pixels_of(path):
    image = open_image(path)
    return image.read(0, 0, image.width, image.height)


@pytest.mark.parametrize("name", REAL)
def test_real_slides_pass_and_inverted_they_do_not(name, data_dir):
    pixels = pixels_of(data_dir / name)
    assert judged(pixels, REAL[name]).level == "ok"
    assert judged(255 - pixels, REAL[name]).level == "refused"


@pytest.mark.parametrize("mpp", [0.25, 1.0, 8.0, None])
def test_the_scale_changes_little(mpp, phantom):
    assert judged(phantom[0], mpp).level == "ok"
    assert judged(255 - phantom[0], mpp).level == "refused"


@pytest.mark.parametrize("level", ["glass", "black"])
def test_tissue_cut_out_on_any_background_passes(level, phantom):
    pixels = phantom[0].copy()
    image = SlideImage(ArraySource([pixels]), mpp=1.0)
    tissue = tissue_mask(image)
    rows = np.minimum(np.arange(pixels.shape[0]) // int(tissue.downsample), tissue.mask.shape[0] - 1)
    columns = np.minimum(np.arange(pixels.shape[1]) // int(tissue.downsample), tissue.mask.shape[1] - 1)
    pixels[~tissue.mask[np.ix_(rows, columns)]] = 0 if level == "black" else 255
    assert judged(pixels).level == "ok"
