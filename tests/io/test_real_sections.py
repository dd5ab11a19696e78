"""Real sections of every layout are read as their source describes them; numbers are those of the data's own notes."""

import time

import numpy as np
import pytest

from histoscribe.errors import InputError
from histoscribe.io import Request, detect, read, sections_in

VISIUM = {
    # path: spots, genes, spots off tissue, scale of the opened picture
    "visium/mouse_cytassist": (2898, 19465, 2094, 0.2),
    "visium/mouse_brain_v1": (2702, 0, 2290, 0.051033426),
    "visium/breast_block_a_section_1": (3798, 0, 1194, 0.024752475),
    "visium/dlpfc/151507": (4226, 0, 766, 0.045004502),
    "visium/dlpfc/151510": (4634, 0, 358, 0.045004502),
    "visium/dlpfc/151673": (3639, 0, 1353, 0.045004502),
    "visium/dlpfc/151676": (3460, 0, 1532, 0.045004502),
    "layouts/visiumio/10xVisium/section1": (22, 49, 28, 0.051033426),
    "layouts/visiumio/10xVisium/section2": (22, 49, 27, 0.051033426),
}


@pytest.mark.parametrize("path", VISIUM)
def test_visium(data_dir, path):
    spots, genes, off_tissue, scale = VISIUM[path]
    assert detect(data_dir / path).format == "visium"
    reading = read(data_dir / path)
    section = reading.section
    assert section.spots.shape == (spots, genes)
    assert len(reading.off_tissue_xy_px) == off_tissue
    assert reading.image_scale == pytest.approx(scale)
    assert ((section.xy_px >= 0) & (section.xy_px < section.image.shape[::-1])).all()
    pitch, diameter = (reading.mpp_by_source[name] for name in ("spot pitch", "scalefactors spot diameter"))
    assert diameter == pytest.approx(pitch, rel=0.01)


def test_mouse_cytassist_reads_quickly_and_completely(data_dir):
    start = time.process_time()
    section = read(data_dir / "visium/mouse_cytassist").section
    assert time.process_time() - start < 3.0
    assert np.median(np.asarray(section.spots.X.sum(axis=1))) == 226


def test_counts_of_an_h5ad_join_a_visium_folder(data_dir):
    folder = data_dir / "visium/dlpfc/151510"
    section = read(folder, counts=folder / "151510_500genes.h5ad").section
    assert section.spots.shape == (4634, 500)
    assert section.image.shape == (600, 600)


def test_visium_hd(data_dir):
    reading = read(data_dir / "layouts/visiumio")
    assert (reading.format, reading.section.spots.shape) == ("visium_hd", (10, 10))
    # ten bins of 2 um, far apart: the pitch comes from their indices
    assert reading.mpp_by_source["spot pitch"] == pytest.approx(
        reading.mpp_by_source["scalefactors microns_per_pixel"], rel=0.01
    )


def test_a_visium_hd_folder_with_the_matrix_of_another_slide_is_refused(data_dir):
    with pytest.raises(InputError, match="2,053 of 2,695 barcodes"):
        read(data_dir / "layouts/seurat_visium_hd", bin_um=16)
    assert read(data_dir / "layouts/seurat_visium_hd").section.spots.n_obs == 1368


HER2ST = {"A1": (346, "2000/6954", 3.2), "C2": (187, None, 0.69), "C3": (180, None, 0.69), "C6": (178, None, 0.69)}


@pytest.mark.parametrize("name", HER2ST)
def test_her2st(data_dir, name):
    spots, scale, mpp = HER2ST[name]
    start = time.process_time()
    reading = read(data_dir / "her2st", section=name, scale=scale)
    assert time.process_time() - start < 2.0
    section = reading.section
    assert (reading.format, section.spots.n_obs) == ("st", spots)
    assert section.mpp == pytest.approx(mpp, rel=0.02)
    assert ((section.xy_px >= 0) & (section.xy_px < section.image.shape[::-1])).all()


def test_her2st_as_loose_files_with_its_known_depth(data_dir):
    her2st = data_dir / "her2st"
    request = Request(
        section="C2",
        image=her2st / "images/C2.jpg",
        counts=her2st / "counts/C2.tsv.gz",
        spots=her2st / "spots/C2_selection.tsv",
    )
    counts = read(request).section.spots.X
    assert np.median(np.asarray(counts.sum(axis=1))) == 8508
    assert np.median(np.diff(counts.indptr)) == 3707


def test_her2st_lists_its_sections(data_dir):
    counted = {path.name.removesuffix(".tsv.gz") for path in (data_dir / "her2st" / "counts").glob("*.tsv.gz")}
    assert {"A1", "A2", "B1", "C1", "C2", "C6", "D1", "E1"} <= counted
    assert sections_in(data_dir / "her2st") == sorted(counted)


@pytest.mark.parametrize(("name", "spots"), [("MOB1", 379), ("MOB2", 407), ("MOB3", 438)])
def test_olfactory_bulb(data_dir, name, spots):
    section = read(data_dir / "st/mob_stutility", section=name).section
    assert section.spots.shape == (spots, 1000)
    # every other point of a grid of 100 um, in a picture of about 23 px per step
    assert section.lattice.pitch_um == pytest.approx(141.4, abs=0.1)
    assert section.mpp == pytest.approx(4.38, rel=0.01)


def test_xfuse(data_dir):
    section = read(data_dir / "st/xfuse_mob_tiny").section
    assert section.spots.shape == (282, 10)
    assert section.lattice.pitch_um == 200


def test_squidpy_crop_with_its_image(data_dir):
    folder = data_dir / "visium/squidpy_crop"
    reading = read(folder / "test_data.h5ad", image=folder / "test_img.jpg")
    assert (reading.section.spots.shape, reading.image_scale) == ((49, 0), 1.0)
    assert any("raw counts" in note for note in reading.notes)
    # without the image, the stored hires picture does not hold the spots and lowres does
    assert read(folder / "test_data.h5ad").image_scale == pytest.approx(0.051033426)


def test_h5ad_without_picture(data_dir):
    assert read(data_dir / "visium/mouse_brain_v1/mbrain_raw_100genes.h5ad").section.spots.shape == (2702, 100)
    folder = data_dir / "visium/dlpfc/151510"
    reading = read(folder / "151510_500genes.h5ad", image=folder / "tissue_lowres_image.png")
    assert (reading.section.platform, reading.image_scale) == ("visium", pytest.approx(0.045004502))


def test_cells_without_coordinates_are_refused_and_placed_by_a_table(data_dir, tmp_path):
    folder = data_dir / "xenium/ncbi858"
    with pytest.raises(InputError, match="no coordinates") as caught:
        read(folder / "NCBI858.h5ad")
    assert "x_pixel" in str(caught.value)
