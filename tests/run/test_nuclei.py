"""The call `nuclei` and its verb: from files to a published result."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

import histoscribe as hs
from histoscribe.cli import main
from histoscribe.cli.app import INCOMPLETE
from histoscribe.errors import ConfigError, InputError
from histoscribe.nuclei.spots import SPOT_COLUMNS
from histoscribe.phantom import make_phantom, write_spaceranger
from histoscribe.run.nuclei import nuclei
from histoscribe.run.section.nuclei import read_nuclei_block, read_nuclei_element
from histoscribe.run.section.plan import build_segmenter
from histoscribe.run.section.settings import NucleiSettings, RunConfig


@pytest.fixture(scope="module")
def png(tmp_path_factory):
    path = tmp_path_factory.mktemp("png") / "tile.png"
    Image.fromarray(make_phantom(0, size_um=500, n_domains=3).image.read(200, 200, 500, 500)).save(path)
    return path


@pytest.fixture(scope="module")
def result(png, tmp_path_factory):
    out = tmp_path_factory.mktemp("result") / "r"
    return nuclei(png, out=out, mpp=0.5)[0]


def test_a_plain_picture_gives_all_files(result):
    names = {path.name for path in result.folder.iterdir()}
    assert names == {"nuclei", "figures", "report.html", "tissue.zarr", "preflight.json", "run.json", "manifest.json"}
    names = {path.name for path in (result.folder / "nuclei").iterdir()}
    assert names == {"nuclei.parquet", "nuclei.geojson", "labels.tif", "nuclei.zarr", "figures"}


def test_table_outlines_and_labels_agree_on_their_number(result):
    table = pd.read_parquet(result.folder / "nuclei" / "nuclei.parquet")
    features = json.loads((result.folder / "nuclei" / "nuclei.geojson").read_text())["features"]
    labels = tifffile.imread(result.folder / "nuclei" / "labels.tif")
    assert len(table) == len(features) == labels.max() == result.facts["nuclei"] > 50
    assert {"x_px", "y_px", "area_um2", "nearest_um"} <= set(table)


def test_the_pyramid_opens_as_spatialdata(result):
    assert np.asarray(read_nuclei_element(result.folder / "nuclei")).max() == result.facts["nuclei"]


def test_the_same_call_writes_the_same_bytes(png, result, tmp_path):
    nuclei(png, out=tmp_path / "again", mpp=0.5)
    for name in ("nuclei.parquet", "nuclei.geojson", "labels.tif", "figures/nuclei.png"):
        assert (tmp_path / "again" / "nuclei" / name).read_bytes() == (result.folder / "nuclei" / name).read_bytes()


def test_a_picture_without_scale_is_refused_with_the_option(png, tmp_path):
    with pytest.raises(InputError, match="--mpp"):
        nuclei(png, out=tmp_path / "r")
    assert not (tmp_path / "r").exists()


def test_a_missing_picture_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        nuclei(tmp_path / "absent.png", out=tmp_path / "r", mpp=0.5)


def test_weights_for_a_method_without_any_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"classical takes no model(.|\n)*instanseg"):
        build_segmenter(NucleiSettings(model=tmp_path / "x.zip"))


def test_thresholds_are_of_stardist_alone(tmp_path):
    with pytest.raises(ConfigError, match="classical takes no prob_threshold, nms_threshold"):
        build_segmenter(NucleiSettings(prob_threshold=0.4, nms_threshold=0.3))
    with pytest.raises(ConfigError, match="instanseg takes no prob_threshold"):
        build_segmenter(NucleiSettings("instanseg", prob_threshold=0.4))
    made = build_segmenter(NucleiSettings("stardist", prob_threshold=0.4, nms_threshold=0.3))
    assert (made.prob_threshold, made.nms_threshold) == (0.4, 0.3)


@pytest.mark.parametrize("wrong", [{"prob_threshold": 1.1}, {"nms_threshold": -0.1}, {"block_px": 100}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        NucleiSettings(**wrong)


def test_settings_of_nuclei_without_nuclei_are_refused():
    with pytest.raises(ConfigError, match="without nuclei"):
        RunConfig(nuclei_prob_threshold=0.4)


def test_small_blocks_find_the_same_nuclei(png, result, tmp_path):
    (found,) = nuclei(png, out=tmp_path / "r", mpp=0.5, settings=NucleiSettings(block_px=256))
    assert found.facts["nuclei"] == result.facts["nuclei"]
    areas = [pd.read_parquet(one.folder / "nuclei" / "nuclei.parquet")["area_um2"] for one in (found, result)]
    assert np.array_equal(*map(np.sort, areas))


def test_blank_glass_has_no_nuclei(tmp_path):
    glass = np.random.default_rng(0).normal(243, 2, (400, 400, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(glass).save(tmp_path / "glass.png")
    (found,) = nuclei(tmp_path / "glass.png", out=tmp_path / "r", mpp=0.5)
    assert found.facts["nuclei"] == 0
    assert len(pd.read_parquet(found.folder / "nuclei" / "nuclei.parquet")) == 0


def test_a_pen_mark_on_glass_has_no_nuclei(tmp_path):
    glass = np.random.default_rng(0).normal(243, 2, (600, 600, 3)).clip(0, 255).astype(np.uint8)
    glass[100:500, 250:330] = (30, 60, 190)
    Image.fromarray(glass).save(tmp_path / "pen.png")
    (found,) = nuclei(tmp_path / "pen.png", out=tmp_path / "r", mpp=0.5)
    assert found.facts["nuclei"] == 0


def test_a_section_gets_its_spots_described(tmp_path):
    write_spaceranger(make_phantom(1, size_um=700, n_domains=3), tmp_path / "visium")
    (found,) = nuclei(tmp_path / "visium", out=tmp_path / "r")
    spots = pd.read_csv(found.folder / "nuclei" / "nuclei_spots.csv")
    assert list(spots) == ["barcode", *SPOT_COLUMNS]
    assert spots["count"].sum() > 50
    block = read_nuclei_block(found.folder / "nuclei", pd.Index(spots["barcode"][::-1]))
    assert block.shape == (len(spots), len(SPOT_COLUMNS))


def test_the_verb_prints_how_many(png, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["nuclei", str(png), "--out", str(tmp_path / "r"), "--mpp", "0.5", "--quiet"])
    assert end.value.code == 0
    assert "nuclei, median area" in capsys.readouterr().out


def test_a_refused_section_of_a_sheet_holds_up_no_other(tmp_path, capsys):
    write_spaceranger(make_phantom(3, size_um=700, n_domains=3, n_genes=40), tmp_path / "good")
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("section,path\nA,missing/outs\nB,good/outs\n")
    with pytest.raises(SystemExit) as ended:
        main(["nuclei", str(sheet), "--out", str(tmp_path / "r")])
    assert ended.value.code == INCOMPLETE
    assert "A: refused" in capsys.readouterr().out
    summary = pd.read_csv(tmp_path / "r" / "summary.csv").set_index("section")
    assert summary["nuclei"].isna()["A"]
    assert summary.loc["B", "nuclei"] == len(pd.read_parquet(tmp_path / "r" / "B" / "nuclei" / "nuclei.parquet")) > 0


def test_files_beside_the_sections_that_another_command_wrote_stay_listed(tmp_path):
    for k in range(2):
        write_spaceranger(make_phantom(k, size_um=700, n_domains=2, n_genes=40), tmp_path / f"S{k}")
    (tmp_path / "sheet.csv").write_text("section,path\n" + "".join(f"S{k},S{k}\n" for k in range(2)))
    hs.find_domains(tmp_path / "sheet.csv", out=tmp_path / "r", n_domains=2)
    nuclei(tmp_path / "sheet.csv", out=tmp_path / "r")
    found = hs.verify(tmp_path / "r")["."]
    assert found.ok
    assert not found.strangers
    assert (tmp_path / "r" / "matched_domains.csv").is_file()
    hs.find_domains(tmp_path / "sheet.csv", out=tmp_path / "r", n_domains=2)
    assert not list((tmp_path / "r").glob("kept-*"))
