"""Nuclei of whole slides: seams, scale, tissue, resumption, exports."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile

from histoscribe.errors import InputError
from histoscribe.nuclei import Instances
from histoscribe.nuclei.canvas import Canvas
from histoscribe.nuclei.classical import ClassicalSegmenter
from histoscribe.nuclei.engine import LABELS, find_nuclei
from histoscribe.nuclei.export import labels_element, write_geojson, write_labels_tiff
from histoscribe.nuclei.table import PARTS, join_parts, read_nuclei
from histoscribe.phantom import make_phantom
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.tissue import TissueMask
from histoscribe.store import arrays

SIDE = 700


def slide(pixels, mpp=0.5):
    return SlideImage(ArraySource([pixels]), mpp=mpp)


def all_tissue(image):
    return TissueMask(np.ones((8, 8), bool), max(image.shape) / 8)


@pytest.fixture(scope="module")
def pixels():
    return make_phantom(0, size_um=600, n_domains=3).image.read(200, 200, SIDE, SIDE)


def found(image, folder, *, mask=None, segmenter=None, **options):
    folder.mkdir(exist_ok=True)
    segmenter = segmenter or ClassicalSegmenter()
    find_nuclei(image, mask or all_tissue(image), segmenter, folder=folder, **options)
    return join_parts(folder, mpp=image.mpp)


def in_order(table):
    return table.sort_values(["y_px", "x_px"]).drop(columns="nucleus").reset_index(drop=True)


@pytest.mark.parametrize("mpp", [0.5, 0.4])
def test_the_nuclei_do_not_depend_on_the_block_size(pixels, tmp_path, mpp):
    small = found(slide(pixels, mpp), tmp_path / "small", block_px=192)
    whole = found(slide(pixels, mpp), tmp_path / "whole", block_px=4096)
    assert len(whole) > 100
    pd.testing.assert_frame_equal(in_order(small), in_order(whole))


def test_black_areas_are_the_same_whatever_the_blocks(pixels, tmp_path):
    framed = np.zeros_like(pixels)
    framed[37:-61, 45:-52] = pixels[37:-61, 45:-52]
    framed[180:250, 170:260] = 5  # on the borders of the small blocks
    small = found(slide(framed), tmp_path / "small", block_px=192)
    whole = found(slide(framed), tmp_path / "whole", block_px=4096)
    assert len(whole) > 100
    pd.testing.assert_frame_equal(in_order(small), in_order(whole))


def test_labels_and_table_name_the_same_nuclei(pixels, tmp_path):
    table = found(slide(pixels), tmp_path / "a", block_px=256)
    labels = np.asarray(arrays.open_array(tmp_path / "a" / LABELS)[...])
    area = np.bincount(labels.ravel())[1:]
    assert np.allclose(area * 0.25, table["area_um2"])
    assert table["nucleus"].tolist() == list(range(1, len(table) + 1))


def test_sizes_are_physical_whatever_the_pixels(pixels, tmp_path):
    fine = np.repeat(np.repeat(pixels[:400, :400], 2, axis=0), 2, axis=1)
    coarse = found(slide(pixels[:400, :400], 0.5), tmp_path / "coarse")
    finer = found(slide(fine, 0.25), tmp_path / "fine")
    assert len(finer) == pytest.approx(len(coarse), rel=0.05)
    assert finer["area_um2"].median() == pytest.approx(coarse["area_um2"].median(), rel=0.05)


@pytest.mark.parametrize(
    "ink", [(40, 60, 160), (25, 25, 30), (30, 120, 60), (190, 30, 40)], ids=["blue", "black", "green", "red"]
)
def test_a_pen_on_the_tissue_costs_few_nuclei_beside_it(pixels, tmp_path, ink):
    row, column = np.mgrid[:SIDE, :SIDE]
    line = np.abs(row - 300 - 0.2 * (column - 300)) < 30
    marked = np.where(line[..., None], pixels * (np.array(ink) / 255), pixels).astype(np.uint8)

    def beside(table):
        return (~line[table["y_px"].astype(int), table["x_px"].astype(int)]).sum()

    clean, inked = found(slide(pixels), tmp_path / "clean"), found(slide(marked), tmp_path / "inked")
    assert beside(inked) == pytest.approx(beside(clean), rel=0.15)
    assert len(inked) - beside(inked) < len(clean) - beside(clean)


def test_only_tissue_has_nuclei(pixels, tmp_path):
    half = np.zeros((8, 8), bool)
    half[:, :4] = True
    table = found(slide(pixels), tmp_path / "half", mask=TissueMask(half, SIDE / 8))
    assert len(table) > 50
    assert table["x_px"].max() < SIDE / 2


def test_a_slide_without_tissue_gives_an_empty_valid_result(tmp_path):
    glass = np.random.default_rng(0).normal(243, 2, (300, 300, 3)).clip(0, 255).astype(np.uint8)
    table = found(slide(glass), tmp_path / "glass", mask=TissueMask(np.zeros((8, 8), bool), 300 / 8))
    assert len(table) == len(read_nuclei(tmp_path / "glass")) == 0
    assert write_geojson(tmp_path / "glass") == 0
    assert json.loads((tmp_path / "glass" / "nuclei.geojson").read_text())["features"] == []
    assert write_labels_tiff(tmp_path / "glass", shape=(300, 300), mpp=0.5)


def test_an_image_without_scale_names_the_option():
    with pytest.raises(InputError, match="--mpp"):
        Canvas(slide(np.zeros((9, 9, 3), np.uint8), None), mpp=0.5)


class Counting(ClassicalSegmenter):
    """Fails at its third block, the first time."""

    calls, fail = 0, True

    def prepare(self, sample):
        prepared = super().prepare(sample)
        prepared.__class__ = Counting
        return prepared

    def segment(self, rgb):
        Counting.calls += 1
        if Counting.fail and Counting.calls == 3:
            raise KeyboardInterrupt
        return super().segment(rgb)


def test_an_interrupted_search_goes_on_and_ends_the_same(pixels, tmp_path):
    Counting.calls, Counting.fail = 0, True
    with pytest.raises(KeyboardInterrupt):
        found(slide(pixels), tmp_path / "cut", segmenter=Counting(), block_px=256)
    assert len(list((tmp_path / "cut" / PARTS).iterdir())) == 2
    Counting.calls, Counting.fail = 0, False
    resumed = found(slide(pixels), tmp_path / "cut", segmenter=Counting(), block_px=256)
    assert Counting.calls == 9 - 2
    pd.testing.assert_frame_equal(resumed, found(slide(pixels), tmp_path / "whole", block_px=256))


def test_a_damaged_block_is_done_again(pixels, tmp_path):
    before = found(slide(pixels), tmp_path / "a", block_px=512)
    part = sorted((tmp_path / "a" / PARTS).iterdir())[0]
    part.write_bytes(part.read_bytes()[:100])
    pd.testing.assert_frame_equal(before, found(slide(pixels), tmp_path / "a", block_px=512))


class WithOutlines(ClassicalSegmenter):
    """Answers with one square nucleus and its own outline."""

    def prepare(self, sample):
        return self

    def segment(self, rgb):
        labels = np.zeros(rgb.shape[:2], np.int32)
        labels[20:30, 40:50] = 1
        square = np.array([[40.0, 20], [50, 20], [50, 30], [40, 30]])
        return Instances(labels, (square,), np.array([0.75], np.float32))


def test_outlines_of_the_method_are_written_in_level_0_pixels(tmp_path):
    image = slide(np.full((200, 200, 3), 128, np.uint8), 0.25)
    table = found(image, tmp_path / "a", segmenter=WithOutlines())
    assert write_geojson(tmp_path / "a") == 1
    (feature,) = json.loads((tmp_path / "a" / "nuclei.geojson").read_text())["features"]
    assert feature["geometry"]["coordinates"] == [[[80, 40], [100, 40], [100, 60], [80, 60], [80, 40]]]
    assert feature["properties"]["objectType"] == "detection"
    assert feature["properties"]["measurements"]["Nucleus: Area um^2"] == 25  # 10 x 10 pixels of 0.5 um
    assert (table["x_px"][0], table["y_px"][0], table["probability"][0]) == (90, 50, 0.75)


def test_the_label_picture_has_the_size_of_the_slide(pixels, tmp_path):
    table = found(slide(pixels, 0.4), tmp_path / "a")
    assert write_labels_tiff(tmp_path / "a", shape=(SIDE, SIDE), mpp=0.4)
    labels = tifffile.imread(tmp_path / "a" / "labels.tif")
    assert labels.shape == (SIDE, SIDE)
    x, y = (table[name].to_numpy().astype(int) for name in ("x_px", "y_px"))
    assert (labels[y, x] == table["nucleus"]).mean() > 0.97  # a crescent's centroid lies beside it


def test_a_large_slide_gets_no_label_picture(tmp_path):
    assert not write_labels_tiff(tmp_path, shape=(10_001, 5), mpp=0.5)


def test_the_pyramid_is_in_the_slides_own_frame(pixels, tmp_path):
    from spatialdata.transformations import get_transformation

    found(slide(pixels, 0.4), tmp_path / "a")
    element = labels_element(tmp_path / "a", mpp=0.4)
    assert get_transformation(element, "global").to_affine_matrix(("x", "y"), ("x", "y"))[0, 0] == pytest.approx(1.25)
    assert get_transformation(element, "um").to_affine_matrix(("x", "y"), ("x", "y"))[0, 0] == pytest.approx(0.5)


def test_pixels_too_large_to_separate_nuclei_are_refused(pixels):
    with pytest.raises(InputError, match="too large") as caught:
        Canvas(slide(pixels, 6.3), mpp=0.5)
    assert "6.3 um per pixel" in str(caught.value)
    assert Canvas(slide(pixels, 0.69), mpp=0.5).mpp == pytest.approx(0.5)
