"""Preparation of an object in memory: the check, the tissue, embeddings and nuclei."""

import anndata
import numpy as np
import pandas as pd
import pytest

import histoscribe as hs
from histoscribe.encoders import build_encoder, embed, load_card, load_embedding
from histoscribe.errors import ConfigError, InputError


def test_the_check_is_a_table_and_writes_nothing(adata):
    before = adata.copy()
    found = hs.pp.check(adata)
    assert found.loc["orientation", "level"] == "ok"
    assert set(found.columns) == {"level", "message", "fix"}
    assert list(adata.obs) == list(before.obs)
    assert set(adata.uns) == set(before.uns)


def test_what_does_not_fit_is_a_row_and_raises_only_when_asked(adata):
    adata.obsm["spatial"] = adata.obsm["spatial"] * 5
    assert "refused" in set(hs.pp.check(adata)["level"])
    with pytest.raises(InputError, match="image"):
        hs.pp.check(adata, strict=True)
    with pytest.raises(InputError):
        hs.pp.tissue(adata)


def test_tissue_of_a_spatialdata_object_is_a_column_and_labels(sdata):
    hs.pp.tissue(sdata)
    assert sdata["table"].obs["on_tissue"].mean() > 0.9
    assert "tissue" in sdata.labels


def test_spots_off_tissue_have_no_numbers(adata):
    adata.obs["in_tissue"] = np.r_[np.zeros(5, int), np.ones(adata.n_obs - 5, int)]
    hs.pp.embed(adata)
    values = adata.obsm["X_morphology"]
    assert np.isnan(values[:5]).all()
    assert np.isfinite(values[5:]).all()


def test_an_embedding_is_that_of_the_vendors_files(sdata, outs, tmp_path):
    hs.pp.embed(sdata, key_added="look")
    section, encoder = hs.read_section(outs), build_encoder(load_card("morphology"))
    embed(section.require_image(), section.xy_px, encoder, tile_um=112.0, folder=tmp_path / "embedding.zarr")
    np.testing.assert_array_equal(sdata["table"].obsm["look"], load_embedding(tmp_path / "embedding.zarr"))


def test_nuclei_are_a_table_with_names_and_labels(sdata):
    hs.pp.nuclei(sdata)
    table = sdata["table"].obsm["nuclei"]
    assert isinstance(table, pd.DataFrame)
    assert table["count"].sum() > 100
    assert "nuclei" in sdata.labels


def test_a_copy_leaves_the_object_as_it_is(sdata, adata):
    for data, table in ((sdata, sdata["table"]), (adata, adata)):
        done = hs.pp.tissue(data, copy=True)
        assert "on_tissue" not in table.obs
        assert "on_tissue" in (done if data is adata else done["table"]).obs
    assert "tissue" not in sdata.labels


def test_an_option_that_is_none_is_refused_with_the_nearest(adata):
    with pytest.raises(ConfigError, match="image_key"):
        hs.pp.check(adata, img_key="hires")
    with pytest.raises(ConfigError, match="SpatialData"):
        hs.pp.check(adata, table_name="table")


def test_the_picture_is_chosen_by_name(adata, sdata):
    assert hs.pp.check(adata, image_key="lowres").loc["microns per pixel", "level"] == "ok"
    with pytest.raises(InputError, match="picture cannot be placed"):
        hs.pp.check(adata, image_key="hiress")
    with pytest.raises(ConfigError, match="did you mean image"):
        hs.pp.check(sdata, image_key="imag")


def test_a_section_of_the_package_and_other_things():
    section = hs.Section.from_anndata(hs.make_phantom(7, size_um=1200.0, mpp=1.0).spots(), name="A1")
    assert hs.pp.check(section).loc["counts", "level"] == "ok"
    with pytest.raises(InputError, match=r"hs\.read"):
        hs.pp.check("my_section")


def test_of_several_sections_one_is_named_and_the_others_are_left_as_they_are(adata):
    other = adata.copy()
    other.obs_names = [f"{name}-other" for name in other.obs_names]
    both = anndata.concat({"one": adata, "two": other}, label="sample", uns_merge="unique")
    library = other.uns["spatial"]["phantom"]
    library["images"] = {name: 0.9 * picture + 0.1 for name, picture in library["images"].items()}
    both.uns["spatial"] = {"one": adata.uns["spatial"]["phantom"], "two": library}
    with pytest.raises(InputError, match="several sections"):
        hs.pp.tissue(both)
    hs.pp.embed(both, section="two")
    known = np.isfinite(both.obsm["X_morphology"]).all(axis=1)
    assert (known == (both.obs["sample"] == "two")).all()
    both.obs_names = [*adata.obs_names, *adata.obs_names]
    with pytest.raises(InputError, match="not unique"):
        hs.pp.embed(both, section="two")
