"""The verb tiles: the tissue around every spot as a picture, by barcode."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import histoscribe as hs
from histoscribe.cli import main
from histoscribe.errors import ConfigError, InputError
from histoscribe.run.section.tiles import file_names
from histoscribe.slide.tiles import read_tiles
from histoscribe.store.result import verify_result


@pytest.fixture(scope="module")
def saved(vendor, tmp_path_factory):
    out = tmp_path_factory.mktemp("tiles") / "out"
    (outcome,) = hs.save_tiles(vendor, out=out, settings=hs.SavedTileSettings(tile_um="auto"))
    return outcome, out


def test_every_spot_has_a_picture_under_its_barcode(saved, vendor):
    outcome, out = saved
    section = hs.read_section(vendor)
    table = pd.read_csv(out / "tiles" / "tiles.csv")
    assert list(table["barcode"]) == list(section.spots.obs_names)
    assert list(table["file"]) == [f"{barcode}.png" for barcode in section.spots.obs_names]
    assert outcome.facts["tiles"] == len(table) == len(list((out / "tiles").glob("*.png")))
    assert verify_result(out).ok


def test_a_picture_holds_the_tissue_around_its_spot_as_wide_as_spots_lie_apart(saved, vendor):
    outcome, out = saved
    section = hs.read_section(vendor)
    table = pd.read_csv(out / "tiles" / "tiles.csv")
    assert table["tile_um"].unique() == pytest.approx([section.lattice.pitch_um], rel=0.01)
    assert outcome.facts["px"] == round(table["tile_um"][0] / section.mpp)
    row = len(table) // 2
    expected = read_tiles(
        section.image, section.xy_px[[row]], tile_um=table["tile_um"][row], out_px=outcome.facts["px"]
    )[0]
    assert np.array_equal(np.asarray(Image.open(out / "tiles" / table["file"][row])), expected)


def test_tiles_stay_beside_what_another_command_makes_in_the_folder(saved, vendor, capsys):
    _, out = saved
    before = (out / "tiles" / "tiles.csv").read_bytes()
    hs.find_domains(vendor, out=out, n_domains=3)
    assert (out / "tiles" / "tiles.csv").read_bytes() == before
    assert (out / "domains.csv").is_file()
    with pytest.raises(SystemExit) as end:
        main(["tiles", str(vendor), "--out", str(out), "--tile-um", "auto", "--quiet"])
    assert end.value.code == 0
    assert "reused" in capsys.readouterr().out
    assert (out / "domains.csv").is_file()


@pytest.mark.parametrize("barcodes", [["10x12", "10x13"], ["AAAC-1", "TTTG-1"]])
def test_barcodes_that_are_names_of_files_are_taken(barcodes):
    assert file_names(barcodes) == [f"{barcode}.png" for barcode in barcodes]


@pytest.mark.parametrize("barcodes", [["a/b", "c"], ["..", "c"], ["A", "a"], ["CON", "b"], ["", "b"], ["x" * 300, "b"]])
def test_barcodes_that_are_no_names_of_files_are_numbered(barcodes):
    assert file_names(barcodes) == ["spot_0.png", "spot_1.png"]


def test_a_section_without_a_picture_and_sizes_that_are_none_are_refused(vendor, tmp_path):
    hs.read_section(vendor).spots.write_h5ad(tmp_path / "spots.h5ad")
    with pytest.raises(InputError, match="image"):
        hs.save_tiles(tmp_path / "spots.h5ad", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="size above 0"):
        hs.SavedTileSettings(px=0)
