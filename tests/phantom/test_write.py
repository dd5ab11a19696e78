import hashlib
import json

import h5py
import numpy as np
import pandas as pd
import pytest

from histoscribe.errors import ConfigError
from histoscribe.phantom import make_phantom, write_spaceranger, write_st, write_visium_hd


def hashes(folder):
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="module")
def visium(tmp_path_factory, tiny):
    folder = tmp_path_factory.mktemp("visium")
    write_spaceranger(tiny, folder)
    return folder


def test_scanpy_reads_the_folder_back(visium, tiny):
    import scanpy as sc

    found = sc.read_visium(visium / "outs")
    made = tiny.spots()
    np.testing.assert_array_equal(found[made.obs_names].X.toarray(), made.X.toarray())
    np.testing.assert_allclose(found[made.obs_names].obsm["spatial"], made.obsm["spatial"])
    assert list(found.var_names) == list(made.var_names)


def test_positions_hold_the_whole_frame_with_spots_off_tissue(visium):
    positions = pd.read_csv(visium / "outs/spatial/tissue_positions.csv")
    assert list(positions.columns) == [
        "barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres",
    ]  # fmt: skip
    assert 0 < positions.in_tissue.mean() < 1


def test_the_truth_names_a_domain_for_each_spot_on_tissue(visium, tiny):
    truth = pd.read_csv(visium / "truth.csv")
    positions = pd.read_csv(visium / "outs/spatial/tissue_positions.csv").set_index("barcode")
    assert set(truth.barcode) == set(positions.index[positions.in_tissue == 1])
    where = positions.loc[truth.barcode, ["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()
    assert list(np.array(tiny.domain_names)[tiny.domain_at(where)]) == list(truth.domain)


def test_the_full_resolution_image_is_tiled_and_states_its_scale(visium, tiny):
    import tifffile

    with tifffile.TiffFile(visium / "P0S0.tif") as file:
        page = file.pages[0]
        assert page.is_tiled
        assert page.shape == (*tiny.shape, 3)
        top, bottom = page.tags["XResolution"].value
        assert 1e4 * bottom / top == pytest.approx(tiny.mpp)
        pixels = page.asarray().astype(float)
    drawn = tiny.image.read(0, 0, tiny.shape[1], tiny.shape[0])
    assert np.abs(pixels - drawn).mean() < 4  # JPEG
    np.testing.assert_allclose(pixels.mean(axis=(0, 1)), drawn.mean(axis=(0, 1)), atol=0.3)


def test_lossless_images_hold_the_drawn_pixels(tmp_path):
    import tifffile

    phantom = make_phantom(3, size_um=300, n_genes=60)
    write_spaceranger(phantom, tmp_path, compression="zstd")
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "P0S0.tif"), phantom.image.read(0, 0, 600, 600))


def test_small_images_fit_their_scale_factors(visium, tiny):
    from skimage.io import imread

    scales = json.loads((visium / "outs/spatial/scalefactors_json.json").read_text())
    for name in ("hires", "lowres"):
        picture = imread(visium / f"outs/spatial/tissue_{name}_image.png")
        assert max(picture.shape) == round(max(tiny.shape) * scales[f"tissue_{name}_scalef"])
    assert scales["spot_diameter_fullres"] == pytest.approx(55 / tiny.mpp)


def test_a_small_image_is_the_average_of_the_large_one(tiny):
    from histoscribe.phantom.picture import shrink

    small = shrink(tiny.image, 175)  # 8 by 8 pixels each
    large = tiny.image.read(0, 0, 1400, 1400).reshape(175, 8, 175, 8, 3).mean(axis=(1, 3))
    np.testing.assert_allclose(small, large, atol=0.51)


def test_a_small_image_of_any_size_keeps_the_mean(tiny):
    from histoscribe.phantom.picture import shrink_array

    picture = tiny.image.read(0, 0, 1400, 1400)
    assert shrink_array(picture, 333).shape == (333, 333, 3)
    np.testing.assert_allclose(shrink_array(picture, 333).mean(axis=(0, 1)), picture.mean(axis=(0, 1)), atol=0.1)


def test_the_same_phantom_gives_the_same_bytes(visium, tmp_path):
    write_spaceranger(make_phantom(3, size_um=700, n_genes=120), tmp_path)
    assert hashes(tmp_path) == hashes(visium)


def test_spaceranger_1_writes_whole_pixels_without_a_header(tmp_path):
    write_spaceranger(make_phantom(3, size_um=300, n_genes=60), tmp_path, version=1)
    first = (tmp_path / "outs/spatial/tissue_positions_list.csv").read_text().splitlines()[0].split(",")
    assert len(first) == 6
    assert all(field.isdigit() for field in first[1:])
    assert not (tmp_path / "outs/spatial/tissue_positions.csv").exists()


def test_visium_hd_has_three_sizes_of_bins_with_equal_sums(tmp_path):
    import scanpy as sc

    phantom = make_phantom(3, kind="visium_hd", size_um=320, mpp=1.0, n_genes=60)
    outs = write_visium_hd(phantom, tmp_path)
    for bin_um in (2, 8, 16):
        folder = outs / "binned_outputs" / f"square_{bin_um:03d}um"
        positions = pd.read_parquet(folder / "spatial/tissue_positions.parquet").set_index("barcode")
        assert len(positions) == (320 // bin_um) ** 2
        table = sc.read_10x_h5(folder / "filtered_feature_bc_matrix.h5")
        assert set(table.obs_names) == set(positions.index[positions.in_tissue == 1])
        assert json.loads((folder / "spatial/scalefactors_json.json").read_text())["bin_size_um"] == bin_um
    truth = pd.read_csv(tmp_path / "truth.csv")
    assert truth.barcode.str.startswith("s_008um_").any()


def test_legacy_st_files_join_as_her2st_s_do(tmp_path):
    phantom = make_phantom(3, kind="st", size_um=1500, mpp=1.0, n_genes=60)
    write_st(phantom, tmp_path)
    counts = pd.read_csv(tmp_path / "counts/P0S0.tsv.gz", sep="\t", index_col=0)
    spots = pd.read_csv(tmp_path / "spots/P0S0_selection.tsv", sep="\t")
    assert list(spots.x.astype(str) + "x" + spots.y.astype(str)) == list(counts.index)
    assert counts.shape[1] == 60
    assert (phantom.domain_at(spots[["pixel_x", "pixel_y"]].to_numpy()) >= 0).all()
    assert (tmp_path / "images/P0S0.jpg").read_bytes()[:2] == b"\xff\xd8"


def test_a_writer_refuses_a_phantom_measured_otherwise(tmp_path, tiny):
    with pytest.raises(ConfigError, match="measured otherwise"):
        write_st(tiny, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_matrix_has_cell_ranger_s_layout(visium):
    with h5py.File(visium / "outs/filtered_feature_bc_matrix.h5") as file:
        assert file.attrs["filetype"] == "matrix"
        n_genes, n_spots = file["matrix/shape"][:]
        assert len(file["matrix/indptr"]) == n_spots + 1
        assert len(file["matrix/features/id"]) == n_genes
        assert set(file["matrix/features/feature_type"][:]) == {b"Gene Expression"}
