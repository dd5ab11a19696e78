"""Slides of different scans are seen at one scale, and one that is too coarse for it is refused."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from histoscribe.encoders import build_encoder, load_card
from histoscribe.encoders.coarse import CoarseEncoder
from histoscribe.errors import InputError
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.tiles import read_tiles


def test_at_a_common_scale_a_fine_slide_is_seen_as_a_coarse_one_would_be():
    # nothing in it is finer than a pixel of the coarse slide
    pixels = gaussian_filter(np.random.default_rng(0).normal(size=(512, 512, 3)), (24, 24, 0))
    pixels = np.clip(150 + 40 * pixels / pixels.std(), 0, 255).astype(np.uint8)
    fine, coarse = SlideImage(ArraySource([pixels]), mpp=0.5), SlideImage(ArraySource([pixels[4::8, 4::8]]), mpp=4.0)
    encoder = build_encoder(load_card("morphology"))
    found = []
    for image, side_px in ((fine, 512), (coarse, 64)):
        seen_by = CoarseEncoder(encoder, image, common_mpp=4.0, side_um=112.0)
        assert seen_by.card.input_px == 28
        tiles = read_tiles(image, np.array([[side_px / 2, side_px / 2]]), tile_um=112.0, out_px=28)
        found.append(seen_by.encode(tiles))
    assert np.corrcoef(*np.concatenate(found))[0, 1] > 0.99


def test_a_slide_coarser_than_the_common_scale_is_refused():
    image = SlideImage(ArraySource([np.zeros((64, 64, 3), np.uint8)]), mpp=8.0)
    with pytest.raises(InputError, match=r"coarser(.|\n)*--mpp 8"):
        CoarseEncoder(build_encoder(load_card("morphology")), image, common_mpp=4.0)
