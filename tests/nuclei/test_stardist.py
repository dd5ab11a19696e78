"""The segmenter "stardist" gives whole nuclei with outlines, the same wherever a block of the slide begins."""

from pathlib import Path

import numpy as np
import pytest

from histoscribe.errors import ConfigError, InputError, WeightsError
from histoscribe.nuclei.stardist import StarDistSegmenter

TINY = Path(__file__).parent / "data" / "tiny_he.zip"


@pytest.fixture(scope="module")
def sample():
    """(300, 500, 3) uint8."""
    from stardist.data import test_image_he_2d

    return test_image_he_2d()


@pytest.fixture(scope="module")
def segmenter(sample):
    return StarDistSegmenter(TINY).prepare([sample])


def test_labels_and_outlines_speak_of_the_same_nuclei(segmenter, sample):
    found = segmenter.segment(sample)
    assert len(found.outlines) == len(found.probability) > 100
    for label in (1, 50, 100):
        rows, columns = np.nonzero(found.labels == label)
        outline = found.outlines[label - 1]
        assert outline[:, 0].min() - 1 <= columns.mean() <= outline[:, 0].max() + 1
        assert outline[:, 1].min() - 1 <= rows.mean() <= outline[:, 1].max() + 1


def test_a_block_with_its_halo_finds_what_the_whole_picture_has(segmenter, sample):
    wide = np.tile(sample, (2, 2, 1))
    whole = segmenter.segment(wide).labels > 0
    left, halo = 416, segmenter.halo_px
    block = segmenter.segment(wide[:, left - halo :]).labels > 0
    # what lies beyond the halo sees the same pixels: masks differ nowhere
    np.testing.assert_array_equal(block[:, halo:], whole[:, left:])


def test_percentiles_come_from_the_sample_alone(segmenter, sample):
    again = StarDistSegmenter(TINY).prepare([sample[:150], sample[150:]])
    assert again.record() == segmenter.record()
    assert segmenter.record()["range"] == pytest.approx([*np.percentile(sample, (3, 99.8))])


def test_a_slide_without_tissue_can_be_prepared():
    assert StarDistSegmenter(TINY).prepare([]).record()["range"] == [0.0, 255.0]


def test_a_segmenter_that_was_not_prepared_says_so(sample):
    with pytest.raises(ConfigError, match="prepare"):
        StarDistSegmenter(TINY).segment(sample)


def test_a_grey_picture_is_refused(segmenter, sample):
    with pytest.raises(InputError, match="colour picture"):
        segmenter.segment(sample[:, :, 0])


def test_a_model_that_is_not_there_is_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nowhere\.zip"):
        StarDistSegmenter(tmp_path / "nowhere.zip").prepare([])
