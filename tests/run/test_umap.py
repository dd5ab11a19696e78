"""run --umap: places of the spots for people to look at, the same every time."""

import json

import numpy as np
import pandas as pd
import pytest
import spatialdata

import histoscribe as hs
from histoscribe.errors import ConfigError

CONFIG = hs.RunConfig(encoder="morphology", n_domains=3, umap=True)


@pytest.fixture(scope="module")
def results(vendor, tmp_path_factory):
    folder = tmp_path_factory.mktemp("umap")
    for name in ("one", "two"):
        hs.run_sections(vendor, out=folder / name, config=CONFIG)
    return folder


def test_two_runs_give_the_same_places_and_the_table_has_them(results):
    one, two = (results / name / "umap.csv" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()
    table = pd.read_csv(one)
    spots = spatialdata.read_zarr(results / "one" / "section.zarr").tables["table"]
    assert list(table["barcode"]) == list(spots.obs_names)
    assert np.allclose(spots.obsm["X_umap"], table[["umap_1", "umap_2"]], atol=1e-3)


def test_spots_of_a_domain_lie_together(results):
    table = pd.read_csv(results / "one" / "umap.csv").merge(pd.read_csv(results / "one" / "domains.csv"))
    places, domain = table[["umap_1", "umap_2"]].to_numpy(), table["domain"].to_numpy()
    nearest = np.linalg.norm(places[:, None] - places, axis=2).argsort(axis=1)[:, 1]
    assert (domain[nearest] == domain).mean() > 0.8


def test_the_page_shows_them_and_another_command_keeps_them(results, vendor):
    assert "UMAP" in (results / "one" / "report.html").read_text()
    assert (results / "one" / "figures" / "umap.png").is_file()
    hs.find_nuclei(vendor, out=results / "one")
    assert (results / "one" / "figures" / "umap.png").is_file()
    assert "umap" in json.loads((results / "one" / "run.json").read_text())["stages"]


def test_without_the_package_it_is_refused_before_any_work(vendor, tmp_path, monkeypatch):
    monkeypatch.setattr("histoscribe.run.section.umap.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"umap-learn is not installed(.|\n)*histoscribe\[umap\]"):
        hs.run_sections(vendor, out=tmp_path / "out", config=CONFIG)
    assert not (tmp_path / "out").exists()
