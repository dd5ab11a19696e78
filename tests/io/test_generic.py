"""Loose files: an image, a table of spots, and counts of any kind."""

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData

from histoscribe.errors import InputError
from histoscribe.io import Request, read


def request(loose, **changes):
    fields = {"section": "S", "spots": loose.spots, "counts": loose.counts, "image": loose.image, "mpp": 0.5}
    return Request(**fields | changes)


def test_image_spots_and_counts(loose):
    reading = read(request(loose))
    assert (reading.format, reading.section.spots.shape, reading.section.mpp) == ("generic", (12, 6), 0.5)
    expected = pd.read_csv(loose.spots)[["x", "y"]].to_numpy()
    np.testing.assert_allclose(reading.section.xy_px, expected)


@pytest.mark.parametrize("kind", ["h5ad", "h5", "mtx", "tsv"])
def test_counts_of_every_kind(loose, make, tmp_path, kind):
    names = pd.read_csv(loose.spots)["barcode"].tolist()
    matrix = make.counts_of(names)
    path = tmp_path / f"other.{kind}"
    if kind == "h5ad":
        AnnData(X=matrix, obs=pd.DataFrame(index=names)).write_h5ad(path)
    elif kind == "h5":
        make.write_10x_h5(path, names, matrix)
    elif kind == "mtx":
        make.write_mtx(path, names, matrix)
    else:
        pd.DataFrame(matrix.toarray(), index=names).to_csv(path, sep="\t")
    spots = read(request(loose, counts=path)).section.spots
    np.testing.assert_array_equal(spots.X.toarray(), matrix.toarray())


@pytest.mark.parametrize("separator", [",", "\t", ";"])
def test_the_separator_is_found(loose, separator):
    pd.read_csv(loose.spots).to_csv(loose.spots, index=False, sep=separator)
    assert read(request(loose)).section.spots.n_obs == 12


@pytest.mark.parametrize("names", [("id", "pixel_x", "pixel_y"), ("Barcode", "X", "Y"), ("", "x_px", "y_px")])
def test_other_names_of_the_columns(loose, names):
    table = pd.read_csv(loose.spots)
    table.columns = list(names)
    table.to_csv(loose.spots, index=False)
    assert read(request(loose)).section.spots.n_obs == 12


def test_spots_without_counts_are_left_out_and_counted(loose):
    pd.read_csv(loose.counts, index_col=0).iloc[:9].to_csv(loose.counts)
    reading = read(request(loose))
    assert reading.section.spots.n_obs == 9
    assert "3 spots without counts were left out" in reading.notes


def test_microns_per_pixel_must_be_known(loose):
    with pytest.raises(InputError, match="how many microns") as caught:
        read(request(loose, mpp=None))
    assert "give mpp" in str(caught.value)


def test_a_picture_made_smaller_needs_its_factor(loose):
    reading = read(request(loose, scale="0.5"))
    np.testing.assert_allclose(reading.section.xy_px, pd.read_csv(loose.spots)[["x", "y"]].to_numpy() / 2)


def test_spots_off_tissue_are_left_out_and_said(loose):
    table = pd.read_csv(loose.spots)
    table["in_tissue"] = ["yes"] * 10 + ["no"] * 2
    table.to_csv(loose.spots, index=False)
    reading = read(request(loose))
    assert reading.section.spots.n_obs == 10
    assert any("2 of 12 spots are off tissue by in_tissue" in note for note in reading.notes)
    table.loc[4, "in_tissue"] = "2"
    table.to_csv(loose.spots, index=False)
    with pytest.raises(InputError, match="in_tissue of 1 of 12 spots is neither yes nor no"):
        read(request(loose))
