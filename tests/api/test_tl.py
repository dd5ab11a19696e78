"""What is found in an object in memory is what the commands find, and stands where the field's tools look for it."""

from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from anndata import AnnData, read_h5ad
from scipy import sparse

import histoscribe as hs
from histoscribe.api.options import DomainOptions, MapOptions, ReadingOptions
from histoscribe.errors import ConfigError, InputError
from histoscribe.io.reading import Request
from histoscribe.run.maps.settings import MapSettings
from histoscribe.run.section.settings import RunConfig


@pytest.fixture(scope="session")
def found(outs):
    """A SpatialData object with its domains; to be read only."""
    sdata = hs.read(outs)
    hs.tl.domains(sdata, n_domains=3)
    return sdata


def test_domains_are_those_of_the_command_to_the_last_spot(found, outs, tmp_path):
    hs.find_domains(outs, out=tmp_path / "result", n_domains=3)
    command = pd.read_csv(tmp_path / "result" / "domains.csv")
    obs = found["table"].obs
    assert obs["domain"].astype(int).tolist() == command["domain"].tolist()
    np.testing.assert_allclose(obs["domain_confidence"], command["confidence"])


def test_domains_of_an_anndata_object_are_those_of_its_file(adata, tmp_path):
    adata.write_h5ad(tmp_path / "section.h5ad")
    hs.find_domains(tmp_path / "section.h5ad", out=tmp_path / "result", n_domains=3)
    hs.tl.domains(adata, n_domains=3)
    command = pd.read_csv(tmp_path / "result" / "domains.csv")
    assert adata.obs["domain"].astype(int).tolist() == command["domain"].tolist()


def test_results_stand_where_scanpy_looks_and_can_be_written(found, tmp_path):
    table = found["table"]
    assert list(table.obs["domain"].cat.categories) == ["1", "2", "3"]
    assert table.uns["domain_colors"][0] == "#0072B2"
    assert table.uns["domain"]["settings"]["encoder"] == "morphology"
    assert table.obsm["X_niche"].shape[0] == table.n_obs
    table.write_h5ad(tmp_path / "done.h5ad")
    again = read_h5ad(tmp_path / "done.h5ad")
    assert again.obs["domain"].tolist() == table.obs["domain"].tolist()
    assert again.uns["domain"]["evidence"]["n_domains"] == 3


def test_scanpy_ranks_genes_of_our_domains(found):
    scanpy = pytest.importorskip("scanpy")
    table = found["table"].copy()
    scanpy.pp.normalize_total(table)
    scanpy.pp.log1p(table)
    scanpy.tl.rank_genes_groups(table, "domain", method="t-test")
    ours = hs.tl.markers(found, n_markers=5).query("domain == '1'")["gene"]
    theirs = table.uns["rank_genes_groups"]["names"]["1"][:20]
    assert set(ours) <= set(theirs)


def test_markers_of_any_column_hold_every_gene_and_can_be_written(found, tmp_path):
    table = found["table"].copy()
    table.obs["side"] = np.where(table.obsm["spatial"][:, 0] < 600, "left", "right")
    markers = hs.tl.markers(table, key="side")
    assert set(markers["domain"]) == {"left", "right"}
    assert len(markers) > 100
    assert markers["autocorrelation"].dtype == np.float64
    table.write_h5ad(tmp_path / "markers.h5ad")


def test_a_score_stands_beside_its_floors(found):
    table = found["table"].copy()
    table.obs["truth"] = table.obs["domain"].astype(str)
    table.obs.loc[table.obs_names[:7], "truth"] = "undetermined"
    scores = hs.tl.score(table, labels="truth")
    assert scores["ari"]["score"] == 1.0
    assert scores["dropped"] == 7
    with pytest.raises(InputError, match="domain"):
        hs.tl.score(table, labels="truth", key="domains")


def test_maps_go_into_a_spatialdata_object(sdata):
    maps = hs.tl.maps(sdata, genes="top:2", um=64, encoder="none")
    raster = sdata.images["genes"].sel(c=maps.genes[0]).to_numpy()
    np.testing.assert_allclose(raster, np.nan_to_num(maps.gene(maps.genes[0]).to_numpy()))
    with pytest.raises(ConfigError, match=r"hs\.tl\.markers"):
        hs.tl.maps(sdata, genes="markers:2")


def test_counts_in_another_layer_are_found_and_transformed_ones_are_not_taken_for_counts(adata):
    del adata.uns["spatial"]  # counts alone
    raw = adata.copy()
    adata.layers["counts"] = adata.X.copy()
    adata.X = sparse.csr_matrix(np.log1p(adata.X.toarray() / 3))
    hs.tl.domains(adata, n_domains=3)
    hs.tl.domains(raw, n_domains=3)
    assert adata.obs["domain"].tolist() == raw.obs["domain"].tolist()


def test_nothing_is_written_where_something_is_refused(adata):
    with pytest.raises(ConfigError, match="n_domains"):
        hs.tl.domains(adata, n_domains=0)
    with pytest.raises(ConfigError, match="whole number"):
        hs.tl.domains(adata, seed="one")
    with pytest.raises(ConfigError, match="encoder"):
        hs.tl.domains(adata, encodr="morphology")
    assert "domain" not in adata.obs


def test_an_object_without_places_says_what_it_needs():
    with pytest.raises(InputError, match="the AnnData object: the spots have no coordinates"):
        hs.tl.domains(AnnData(np.ones((5, 3), np.float32)))


@pytest.mark.parametrize(
    ("options", "settings"), [(DomainOptions, RunConfig), (MapOptions, MapSettings)], ids=["domains", "maps"]
)
def test_every_option_is_a_setting_of_the_command(options, settings):
    own = set(options.__annotations__) - set(ReadingOptions.__annotations__)
    assert own <= {item.name for item in fields(settings)}
    reading = set(ReadingOptions.__annotations__) - {"table_name", "image_key", "listen"}
    assert reading <= {item.name for item in fields(Request)}


def test_events_are_heard(sdata):
    heard = []
    hs.tl.domains(sdata, n_domains=3, listen=heard.append)
    assert {"embed", "domains"} <= {event.get("stage") for event in heard}
