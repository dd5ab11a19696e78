"""What every registered segmenter of nuclei must do; those whose weights are not on this machine are skipped."""

import json
from pathlib import Path

import numpy as np
import pytest

from histoscribe.errors import HistoscribeError, InputError
from histoscribe.nuclei import SEGMENTERS
from histoscribe.phantom import make_phantom

SIDE = 256
# in place of the published weights, which are fetched
SMALL_MODELS = {"stardist": Path(__file__).parents[1] / "nuclei" / "data" / "tiny_he.zip"}


@pytest.fixture(scope="module")
def rgb():
    return make_phantom(3, size_um=500, n_domains=3).image.read(300, 300, SIDE, SIDE)


@pytest.fixture(params=SEGMENTERS.names(), scope="module")
def segmenter(request, rgb):
    built = SEGMENTERS.get(request.param)
    if "model" not in getattr(built, "takes", ()):
        return built().prepare([rgb])
    if request.param not in SMALL_MODELS:
        pytest.skip("its weights are fetched, and there is no small model of its kind")
    return built(model=SMALL_MODELS[request.param]).prepare([rgb])


def test_it_says_what_it_is_and_what_it_needs(segmenter):
    assert segmenter.name in SEGMENTERS.names()
    assert 0.05 < segmenter.mpp < 5
    assert segmenter.halo_px > 0


def test_labels_fit_the_picture_and_are_numbered_without_gaps(segmenter, rgb):
    found = segmenter.segment(rgb)
    assert found.labels.shape == rgb.shape[:2]
    assert found.labels.dtype == np.int32
    assert np.array_equal(np.unique(found.labels), np.arange(found.labels.max() + 1))
    assert found.labels.max() > 10


def test_the_same_picture_gives_the_same_nuclei(segmenter, rgb):
    assert np.array_equal(segmenter.segment(rgb).labels, segmenter.segment(rgb.copy()).labels)


def test_the_picture_is_not_changed(segmenter, rgb):
    before = rgb.copy()
    segmenter.segment(rgb)
    assert np.array_equal(rgb, before)


def test_the_record_is_fit_for_json(segmenter):
    record = segmenter.record()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert record["name"] == segmenter.name


@pytest.mark.parametrize("level", [0, 128, 245, 255])
def test_a_picture_of_one_colour_has_no_nuclei(segmenter, level):
    flat = np.full((96, 128, 3), level, np.uint8)
    assert segmenter.segment(flat).labels.max() == 0
    assert segmenter.prepare([flat]).segment(flat).labels.max() == 0


def test_a_slide_without_tissue_can_be_prepared(segmenter):
    glass = np.random.default_rng(0).normal(243, 2, (200, 200, 3)).clip(0, 255).astype(np.uint8)
    assert segmenter.prepare([]).segment(glass).labels.max() == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (7, 3), (65, 33)])
def test_pictures_of_any_size_are_taken(segmenter, rgb, shape):
    assert segmenter.segment(rgb[: shape[0], : shape[1]]).labels.shape == shape


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 4), np.uint8), np.zeros((9, 9, 3)), np.zeros((0, 9, 3), np.uint8)],
)
def test_what_is_no_picture_is_refused(segmenter, wrong):
    with pytest.raises(InputError, match="colour picture"):
        segmenter.segment(wrong)


def test_an_unknown_name_says_what_there_is():
    with pytest.raises(HistoscribeError, match="classical"):
        SEGMENTERS.get("clasical")
