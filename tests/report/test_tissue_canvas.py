"""Picture, mask and spots meet in one frame."""

import numpy as np
import pytest

from histoscribe.report.tissue_canvas import faded, prepare
from histoscribe.section import Section
from histoscribe.slide.image import ArraySource, SlideImage


def test_spots_on_the_mask_are_distinguished_from_spots_off_it(contents_of):
    mask = np.zeros((50, 50), bool)
    mask[:, :25] = True  # 25 mask pixels of 5 image pixels of 4 um: x < 500 um
    canvas = prepare(contents_of(tissue_mask=mask, tissue_downsample=5.0))
    np.testing.assert_array_equal(canvas.on_tissue(), canvas.xy[:, 0] < 500)


def test_spots_outside_the_mask_are_off_tissue(contents_of):
    canvas = prepare(contents_of(tissue_mask=np.ones((2, 2), bool), tissue_downsample=5.0))
    assert not canvas.on_tissue().any()


def test_domains_are_joined_by_barcode_and_not_by_order(contents_of):
    contents = contents_of()
    turned = contents_of(domains=contents.domains.iloc[::-1])
    np.testing.assert_array_equal(prepare(contents).domain, prepare(turned).domain)


def test_spots_beside_the_picture_are_within_the_whole_view(section_of, contents_of):
    canvas = prepare(contents_of(section_of(image_side=60)))
    assert canvas.whole.right > canvas.xy[:, 0].max()
    assert canvas.whole.bottom > canvas.xy[:, 1].max()


def test_one_pixel_of_the_overview_spans_what_it_says(section_of, contents_of):
    given = section_of()
    pixels = np.zeros((3201, 3203, 3), np.uint8)  # reduced by three, with a rest
    section = Section.from_anndata(given.spots, name="S", image=SlideImage(ArraySource([pixels]), mpp=0.5))
    canvas = prepare(contents_of(section))
    assert max(canvas.picture.shape) <= 1600
    assert canvas.picture_step == pytest.approx(3 * 0.5)


def test_a_black_ground_becomes_pale_under_the_tiles(section_of, contents_of):
    given = section_of()
    black = SlideImage(ArraySource([np.zeros((250, 250, 3), np.uint8)]), mpp=4.0)
    section = Section.from_anndata(given.spots, name="S", image=black, lattice=given.lattice)
    assert faded(prepare(contents_of(section, tissue_mask=np.zeros((50, 50), bool)))).min() > 220
