"""Maps from a vendor's folder to files, and what is refused on the way."""

import errno
import shutil
from pathlib import Path

import numpy as np
import pytest

from histoscribe.errors import ConfigError, InputError, ResultError
from histoscribe.maps.read import read_maps
from histoscribe.run.map_slide import map_slide
from histoscribe.run.maps import MapSettings, map_section
from histoscribe.store.result import verify_result

PLAIN = MapSettings(encoder="none")


@pytest.fixture(scope="module")
def mapped(vendor, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("mapped") / "out"
    map_section(vendor, genes="top:3", um=16.0, out=out, settings=PLAIN)
    return out


def test_the_result_is_whole_and_can_be_opened(mapped):
    assert verify_result(mapped).ok
    maps = read_maps(mapped)
    assert len(maps.genes) == 3
    assert maps.evidence["held_out_pearson_200"] > 0
    assert (mapped / "report.html").is_file()
    assert (mapped / "figures" / "composite.png").is_file()


def test_rasters_stand_in_spatialdata_in_the_frame_of_the_picture(mapped):
    import spatialdata

    sdata = spatialdata.read_zarr(mapped / "maps.zarr")
    maps = read_maps(mapped)
    raster = sdata.images["genes"]
    assert list(raster.c.to_numpy()) == list(maps.genes)
    assert np.nan_to_num(maps.gene(maps.genes[1]).to_numpy()) == pytest.approx(raster.to_numpy()[1])
    assert {"image", "factors"} <= set(sdata.images)
    low, high = spatialdata.get_extent(sdata["genes"], coordinate_system="um")["x"]
    assert (low, high) == pytest.approx((0, maps.grid.columns * 16.0))


def test_the_same_again_is_taken_over_with_the_same_bytes(vendor, mapped):
    before = (mapped / "factors.zarr" / "zarr.json").stat().st_mtime_ns
    map_section(vendor, genes="top:3", um=16.0, out=mapped, settings=PLAIN)
    assert (mapped / "factors.zarr" / "zarr.json").stat().st_mtime_ns == before


def test_another_slide_is_mapped_with_the_model(vendor, mapped, tmp_path):
    maps = map_slide(vendor, model=mapped, um=16.0, out=tmp_path / "other", settings=PLAIN)
    assert maps.genes == read_maps(mapped).genes
    own = read_maps(mapped).gene(maps.genes[0], unit="log", balanced=False).to_numpy()
    found = maps.gene(maps.genes[0], unit="log").to_numpy()
    both = np.isfinite(own) & np.isfinite(found)
    assert np.corrcoef(own[both], found[both])[0, 1] > 0.2


def test_another_encoder_than_the_models_is_refused(vendor, mapped, tmp_path):
    with pytest.raises(ConfigError, match="cannot read the slide"):
        map_slide(vendor, model=mapped, um=16.0, out=tmp_path / "o", settings=MapSettings(encoder="morphology"))


def test_an_absent_gene_is_refused_and_nothing_is_written(vendor, tmp_path):
    with pytest.raises(InputError, match="did you mean GENE"):
        map_section(vendor, genes="GENE0000X", out=tmp_path / "out", settings=PLAIN)
    assert not (tmp_path / "out").exists()


def test_a_section_without_counts_is_refused(vendor, tmp_path):
    copy = tmp_path / "bare"
    shutil.copytree(vendor, copy)
    next(copy.rglob("filtered_feature_bc_matrix.h5")).unlink()
    with pytest.raises(InputError, match=r"no counts|matrix"):
        map_section(copy, out=tmp_path / "out", settings=PLAIN)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_leaves_nothing_half_written(vendor, tmp_path, monkeypatch):
    from histoscribe.maps import store

    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.arrays, "write", full)
    with pytest.raises(ResultError, match="disk is full"):
        map_section(vendor, genes="top:2", um=16.0, out=tmp_path / "out", settings=PLAIN)
    with pytest.raises(ResultError):
        read_maps(tmp_path / "out")


def test_the_command_line_makes_maps(vendor, tmp_path, capsys):
    from histoscribe.cli import main

    arguments = [
        "map",
        str(vendor),
        "--genes",
        "top:1",
        "--um",
        "32",
        "--encoder",
        "none",
        "--out",
        str(tmp_path / "o"),
    ]
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 0
    assert "1 genes" in capsys.readouterr().out


def test_the_bins_of_visium_hd_become_spots_and_larger_bins(tmp_path):
    from histoscribe.phantom import make_phantom, write_visium_hd
    from histoscribe.run.map_bins import hd_section

    phantom = make_phantom(2, kind="visium_hd", size_um=640.0, mpp=1.0, n_genes=40, n_domains=2)
    write_visium_hd(phantom, tmp_path / "hd")
    spots = hd_section(tmp_path / "hd")
    assert spots.lattice.kind == "hex"
    large = hd_section(tmp_path / "hd", to=16)
    assert large.spots.X.sum() == pytest.approx(phantom.bin_counts(2)[phantom.on_tissue(phantom.layout(2))].sum())
    with pytest.raises(InputError, match="no bins of 2 um"):
        hd_section(tmp_path)
