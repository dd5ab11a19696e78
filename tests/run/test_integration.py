"""One run does all that is asked for: domains from counts, nuclei and maps, in one verified folder."""

import pandas as pd
import pytest

import histoscribe as hs
from histoscribe.errors import ConfigError
from histoscribe.run.section.settings import RunConfig
from histoscribe.store.files import read_json


@pytest.fixture(scope="module")
def whole(vendor, tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "result"
    config = RunConfig(encoder="morphology", n_domains=3, nuclei="classical", maps="top:2", map_um=32.0)
    hs.run_sections(vendor, out=out, config=config)
    return out


def test_counts_are_used_where_there_are_any(finished):
    assert read_json(finished / "domains.json")["method"] == "niche"
    assert read_json(finished / "run.json")["stages"]["domains"]["settings"]["method"] == "niche"


def test_another_method_can_be_asked_for(vendor, tmp_path):
    hs.run_sections(vendor, out=tmp_path / "r", config=RunConfig(encoder="morphology", n_domains=2, method="histology"))
    assert read_json(tmp_path / "r" / "domains.json")["method"] == "histology"


def test_nuclei_and_maps_lie_in_the_same_verified_result(whole):
    assert hs.verify(whole)["."].ok
    assert len(pd.read_parquet(whole / "nuclei" / "nuclei.parquet")) > 100
    maps = hs.read_maps(whole)
    assert maps.gene(maps.genes[0]).shape == maps.gene(maps.genes[1]).shape


def test_nuclei_join_the_features_of_the_domains_and_the_section(whole):
    import spatialdata

    assert "nuclei" in str(read_json(whole / "domains.json")["blocks"])
    assert "nuclei" in spatialdata.read_zarr(whole / "section.zarr").labels


def test_the_page_shows_nuclei_and_maps(whole):
    page = (whole / "report.html").read_text()
    assert "What else was found" in page
    assert "figures/nuclei.png" in page
    assert "figures/maps.png" in page
    assert (whole / "figures" / "maps.png").is_file()


def test_an_unknown_segmenter_is_refused_before_anything_is_written(vendor, tmp_path):
    with pytest.raises(ConfigError, match="classical"):
        hs.run_sections(vendor, out=tmp_path / "r", config=RunConfig(encoder="morphology", nuclei="clasical"))
    assert not (tmp_path / "r").exists()
