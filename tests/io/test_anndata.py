"""h5ad files: where counts, places and pictures are found, and what is said where they are not."""

import json

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData
from scipy import sparse

from histoscribe.errors import InputError
from histoscribe.io import read, sections_in


def spots_of(make, **uns):
    table = make.positions()
    adata = AnnData(
        X=make.counts_of(table["barcode"].tolist()).astype(np.float32),
        obs=table.set_index("barcode")[["in_tissue", "array_row", "array_col"]],
        var=pd.DataFrame({"gene_ids": [f"E{k}" for k in range(6)]}, index=list("ABCDEF")),
        obsm={"spatial": table[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy()},
    )
    adata.uns.update(uns)
    return adata


def library(dtype=np.float32):
    pixels = np.random.default_rng(0).random((120, 140, 3))
    return {
        "images": {"hires": pixels.astype(dtype) if dtype != np.uint8 else np.rint(pixels * 255).astype(np.uint8)},
        "scalefactors": {"tissue_hires_scalef": 0.5, "tissue_lowres_scalef": 0.25, "spot_diameter_fullres": 13.0},
    }


@pytest.fixture
def h5ad(make, tmp_path):
    path = tmp_path / "brain.h5ad"

    def write(adata=None):
        (adata if adata is not None else spots_of(make)).write_h5ad(path)
        return path

    return write


def test_counts_places_and_lattice(h5ad):
    reading = read(h5ad())
    section = reading.section
    assert (reading.format, section.name, section.platform) == ("anndata", "brain", "visium")
    assert section.spots.shape == (90, 6)
    assert section.spots.var["gene_ids"].tolist()[0] == "E0"
    assert section.image is None
    assert len(reading.off_tissue_xy_px) == 10
    assert reading.mpp_by_source["spot pitch"] == pytest.approx(5.0)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_the_picture_in_uns_and_its_scale(h5ad, make, dtype):
    reading = read(h5ad(spots_of(make, spatial={"lib": library(dtype)})))
    assert reading.section.image.shape == (120, 140)
    assert reading.image_scale == 0.5
    assert reading.section.image.read(0, 0, 9, 9).dtype == np.uint8
    assert reading.mpp_by_source["scalefactors spot diameter"] == pytest.approx(10.0)


def test_a_picture_in_which_the_spots_do_not_lie_is_passed_over_and_said(h5ad, make):
    stored = library()
    stored["images"] = {"hires": stored["images"]["hires"][:40, :40], "lowres": np.full((60, 70, 3), 0.5)}
    reading = read(h5ad(spots_of(make, spatial={"lib": stored})))
    assert reading.image_scale == 0.25
    assert any("hires picture in uns was passed over" in note for note in reading.notes)


def test_a_given_image_finds_its_frame_by_the_factors_beside_it(h5ad, make, tmp_path):
    (tmp_path / "scalefactors_json.json").write_text(json.dumps({"tissue_lowres_scalef": 0.25}))
    reading = read(h5ad(), image=make.picture(tmp_path / "tissue_lowres_image.png", 0.25))
    assert reading.image_scale == 0.25


@pytest.mark.parametrize("place", ["layer", "raw"])
def test_counts_beside_a_normalised_matrix_are_found_and_said(h5ad, make, place):
    adata = spots_of(make)
    expected = adata.X.toarray()[10:]
    if place == "layer":
        adata.layers["counts"] = adata.X.copy()
    else:
        adata.raw = adata.copy()
    adata.X = np.log1p(adata.X)
    reading = read(h5ad(adata))
    np.testing.assert_array_equal(reading.section.spots.X.toarray(), expected)
    assert any(f"counts are from {'layers' if place == 'layer' else 'raw'}" in note for note in reading.notes)


def test_without_any_counts_the_genes_are_left_out_and_said(h5ad, make):
    adata = spots_of(make)
    adata.X = np.log1p(adata.X)
    reading = read(h5ad(adata))
    assert reading.section.spots.shape == (90, 0)
    assert any("brain.h5ad holds no raw counts" in note for note in reading.notes)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csc_matrix])
def test_dense_and_column_matrices_become_sparse_rows(h5ad, make, kind):
    adata = spots_of(make)
    expected = adata.X.toarray()[10:]
    adata.X = kind(adata.X.toarray())
    spots = read(h5ad(adata)).section.spots
    assert isinstance(spots.X, sparse.csr_matrix)
    np.testing.assert_array_equal(spots.X.toarray(), expected)


def test_one_of_several_libraries_is_chosen_by_name(h5ad, make):
    adata = spots_of(make, spatial={"left": library(), "right": library()})
    adata.obs["library_id"] = ["left"] * 50 + ["right"] * 50
    path = h5ad(adata)
    assert sections_in(path) == ["left", "right"]
    assert read(path, section="right").section.spots.n_obs == 50
    with pytest.raises(InputError, match="several sections"):
        read(path)


def test_spots_of_no_known_lattice_need_microns_per_pixel(h5ad, make, tmp_path):
    adata = spots_of(make)
    del adata.obs["array_row"]
    path, image = h5ad(adata), make.picture(tmp_path / "he.png")
    assert read(path, image=image, mpp=0.7).section.mpp == 0.7
    with pytest.raises(InputError, match="microns"):
        read(path, image=image)


@pytest.mark.parametrize("layer", ["counts", "raw_counts", "counts_raw", "count", "raw"])
def test_counts_are_found_in_layers_of_any_usual_name(h5ad, make, layer):
    adata = spots_of(make)
    expected = adata.X.sum()
    adata.layers[layer] = adata.X.copy()
    adata.X = np.log1p(adata.X.toarray())
    reading = read(h5ad(adata))
    assert reading.section.spots.X.sum() == pytest.approx(expected * 0.9, rel=0.2)  # spots on tissue
    assert any(f"layers['{layer}']" in note for note in reading.notes)


@pytest.mark.parametrize("column", ["feature_name", "gene_symbols", "SYMBOL", "gene_name"])
def test_symbols_are_taken_where_the_index_holds_identifiers(h5ad, make, column):
    adata = spots_of(make)
    adata.var = pd.DataFrame({column: ["ERBB2", "CD3E", "MKI67", "KRT5", "", "VIM"]}, index=identifiers())
    reading = read(h5ad(adata))
    assert reading.section.spots.var_names.tolist() == ["ERBB2", "CD3E", "MKI67", "KRT5", identifiers()[4], "VIM"]
    assert reading.section.spots.var["gene_ids"].tolist() == identifiers()
    assert any(column in note for note in reading.notes)


def test_proteins_beside_the_genes_are_left_out_and_said(h5ad, make):
    adata = spots_of(make)
    adata.var["feature_types"] = ["Gene Expression"] * 4 + ["Antibody Capture"] * 2
    reading = read(h5ad(adata))
    assert reading.section.spots.var_names.tolist() == list("ABCD")
    assert any("2 features of type Antibody Capture were left out" in note for note in reading.notes)
    adata.var["feature_types"] = [None, "Gene", None, "gene_expression", None, None]  # as concatenating leaves it
    assert read(h5ad(adata)).section.spots.n_vars == 6
    adata.var["feature_types"] = "Antibody Capture"
    with pytest.raises(InputError, match="no feature of this matrix is a gene"):
        read(h5ad(adata))


def test_symbols_in_the_index_stay(h5ad, make):
    adata = spots_of(make)
    adata.var["feature_name"] = identifiers()
    assert read(h5ad(adata)).section.spots.var_names.tolist() == list("ABCDEF")


@pytest.mark.parametrize("words", [("1", "0"), ("True", "False"), ("yes", "NO"), ("T", "f"), ("1.0", "0.0")])
def test_yes_and_no_of_any_spelling_are_read_and_spots_left_out_are_said(h5ad, make, words):
    adata = spots_of(make)
    adata.obs["in_tissue"] = np.where(adata.obs["in_tissue"] == 1, *words)
    reading = read(h5ad(adata))
    assert reading.section.spots.n_obs == 90
    assert any("10 of 100 spots are off tissue by in_tissue and were left out" in note for note in reading.notes)


@pytest.mark.parametrize("word", ["2", "maybe", "", "nan"])
def test_what_is_neither_yes_nor_no_is_refused_with_what_was_found(h5ad, make, word):
    adata = spots_of(make)
    said = adata.obs["in_tissue"].astype(str).to_numpy(object)
    said[:3] = word
    adata.obs["in_tissue"] = said
    with pytest.raises(InputError, match="in_tissue of 3 of 100 spots is neither yes nor no"):
        read(h5ad(adata))


def identifiers():
    return [f"ENSG{k:011d}" for k in range(6)]


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.astype(str).astype("category"),
        lambda values: values.astype(str),
        lambda values: values.astype(float),
        lambda values: values.astype(float).astype(str),
    ],
)
def test_places_on_the_array_are_read_whatever_their_type(h5ad, make, change):
    adata = spots_of(make)
    for name in ("array_row", "array_col"):
        adata.obs[name] = change(adata.obs[name])
    reading = read(h5ad(adata))
    assert reading.section.spots.obs["array_row"].dtype == np.int64
    assert reading.mpp_by_source["spot pitch"] == pytest.approx(5.0)


@pytest.mark.parametrize("value", [np.nan, 2.5])
def test_a_place_that_is_no_whole_number_is_refused_as_such(h5ad, make, value):
    adata = spots_of(make)
    adata.obs["array_row"] = adata.obs["array_row"].astype(float)
    adata.obs.iloc[50, 1] = value
    with pytest.raises(InputError, match="array_row of 1 of 90 spots is no whole number"):
        read(h5ad(adata))
    adata.obs.iloc[50, 1], adata.obs.iloc[0, 1] = 5.0, value  # off tissue
    assert read(h5ad(adata)).mpp_by_source["spot pitch"] == pytest.approx(5.0)
    adata.obs["array_row"] = np.nan
    assert "array_row" not in read(h5ad(adata)).section.spots.obs


def test_a_coordinate_that_is_no_number_and_a_section_without_tissue_are_refused_as_such(h5ad, make):
    adata = spots_of(make)
    adata.obsm["spatial"] = adata.obsm["spatial"].astype(float)
    adata.obsm["spatial"][7, 1] = np.nan
    with pytest.raises(InputError, match="1 spots have no finite coordinates"):
        read(h5ad(adata))
    adata = spots_of(make)
    adata.obs["in_tissue"] = 0
    with pytest.raises(InputError, match="no spot lies on tissue"):
        read(h5ad(adata))


@pytest.mark.parametrize(
    ("picture_key", "factor_key"),
    [("hires_image", "tissue_hires_scalef"), ("tissue_hires_image", "hires_scalef"), ("hires", "hires"),
     ("highres", "tissue_hires_image_scalef")],
)  # fmt: skip
@pytest.mark.parametrize("factor", [0.5, np.array([0.5]), "0.5"])
def test_pictures_and_factors_are_known_by_any_usual_key(h5ad, make, picture_key, factor_key, factor):
    stored = {
        "images": {picture_key: library()["images"]["hires"]},
        "scalefactors": {factor_key: factor, "spot_diameter_fullres": np.array([13.0])},
    }
    reading = read(h5ad(spots_of(make, spatial={"lib": stored})))
    assert (reading.image_scale, reading.section.image.shape) == (0.5, (120, 140))


def test_the_lowres_picture_is_read_where_the_hires_one_has_no_factor(h5ad, make):
    stored = library()
    stored["images"]["lowres"] = np.full((60, 70, 3), 0.5)
    del stored["scalefactors"]["tissue_hires_scalef"]
    reading = read(h5ad(spots_of(make, spatial={"lib": stored})))
    assert reading.image_scale == 0.25
    assert any("hires picture in uns was passed over: it has no factor tissue_hires_scalef" in n for n in reading.notes)
    del stored["images"]["lowres"]
    with pytest.raises(InputError, match="the hires picture cannot be placed"):
        read(h5ad(spots_of(make, spatial={"lib": stored})))


@pytest.mark.parametrize("diameter", [True, False])
@pytest.mark.parametrize("frame", ["fullres", "hires", "lowres"])
def test_spots_in_pixels_of_a_thumbnail_are_scaled_once(h5ad, make, frame, diameter):
    """Tissue lies under the spots, in the lower right of a large picture: in the wrong frame they lie on glass."""
    factors = {"fullres": 1.0, "hires": 0.5, "lowres": 0.25}
    adata = spots_of(make)
    full = adata.obsm["spatial"].astype(float) + [500, 500]
    adata.obsm["spatial"] = full * factors[frame]
    picture = np.full((450, 500, 3), 240, np.uint8)
    noise = np.random.default_rng(0).integers(-30, 30, (110, 130, 3))
    picture[265:375, 265:395] = np.array([170, 90, 150]) + noise
    scalefactors = {"tissue_hires_scalef": 0.5, "tissue_lowres_scalef": 0.25}
    scalefactors |= {"spot_diameter_fullres": 13.0} if diameter else {}
    reading = read(h5ad(spots_with(adata, picture, scalefactors)))
    np.testing.assert_allclose(reading.section.xy_px, full[10:] * 0.5)
    assert any("in pixels of the" in note for note in reading.notes) == (frame != "fullres")


def spots_with(adata, picture, scalefactors):
    adata.uns["spatial"] = {"lib": {"images": {"hires": picture}, "scalefactors": scalefactors}}
    return adata
