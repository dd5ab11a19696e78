"""Maps from a vendor's folder to files, and what is refused on the way."""

import errno
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from histoscribe.errors import ConfigError, InputError, ResultError
from histoscribe.maps.read import read_maps
from histoscribe.run.map_slide import map_slide
from histoscribe.run.maps import MapSettings, map_section
from histoscribe.store.manifest import read_manifest
from histoscribe.store.result import verify_result

PLAIN = MapSettings(encoder="none", um=16.0)


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
    maps = map_slide(vendor, model=mapped, out=tmp_path / "other", settings=PLAIN)
    assert maps.genes == read_maps(mapped).genes
    own = read_maps(mapped).gene(maps.genes[0], unit="log", balanced=False).to_numpy()
    found = maps.gene(maps.genes[0], unit="log").to_numpy()
    both = np.isfinite(own) & np.isfinite(found)
    assert np.corrcoef(own[both], found[both])[0, 1] > 0.2


def test_another_encoder_than_the_models_is_refused(vendor, mapped, tmp_path):
    with pytest.raises(ConfigError, match="cannot read the slide"):
        map_slide(vendor, model=mapped, out=tmp_path / "o", settings=MapSettings(encoder="morphology"))


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


@pytest.mark.parametrize(
    "writer",
    ["histoscribe.maps.cells.arrays.create", "histoscribe.maps.store.arrays.write", "spatialdata.SpatialData.write"],
)
def test_a_full_disk_is_told_with_the_room_that_is_needed_and_the_older_maps_stay(
    vendor, mapped, tmp_path, monkeypatch, writer
):
    def full(*_args, **_kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    out = tmp_path / "out"
    shutil.copytree(mapped, out)
    before = read_manifest(out)["content_sha256"]
    monkeypatch.setattr(writer, full)
    with pytest.raises(ResultError, match=r"(?s)disk is full.*up to [\d,]+ MB.*MB left"):
        map_section(vendor, genes="top:2", um=20.0, out=out, settings=PLAIN)
    assert verify_result(out).ok
    assert read_manifest(out)["content_sha256"] == before
    assert len(read_maps(out).genes) == 3


def test_scores_stand_beside_those_of_baselines(mapped):
    scores = read_maps(mapped).scores
    methods = {"map", "nearest", "gaussian", "kriging", "ridge_colour"}
    assert set(scores["method"]) == methods
    assert set(scores["gene"]) == set(read_maps(mapped).genes)
    own = scores[scores["method"] == "map"]
    assert (own["spot_sum_error"] < 0.01).all()
    assert own["coverage"].between(0.7, 1).all()
    assert (scores["pearson"] <= 1).all()
    assert "ssim" not in scores
    page = (mapped / "report.html").read_text()
    assert "kriging, no picture" in page
    assert "Scores on left-out spots, by abundance" in page


def test_the_command_line_trains_the_autoencoder_and_keeps_its_networks(vendor, tmp_path, capsys, monkeypatch):
    from histoscribe.cli import main
    from histoscribe.maps import autoencoder
    from histoscribe.maps.autoencoder_settings import AutoencoderSettings

    @dataclass(frozen=True)
    class Quick(AutoencoderSettings):
        members: int = 1
        pretrain_steps: int = 3
        steps: int = 3
        field_steps: int = 20
        priors: tuple[float, ...] = (5e-4,)

    monkeypatch.setattr(autoencoder, "AutoencoderSettings", Quick)
    told = ["--genes", "top:1", "--um", "32", "--method", "autoencoder", "--device", "cpu"]
    log = tmp_path / "log"
    with pytest.raises(SystemExit) as exit_:
        main(["map", str(vendor), *told, "--out", str(tmp_path / "o"), "--log-json", str(log)])
    assert exit_.value.code == 0
    assert "left-out spots" in capsys.readouterr().out
    assert (tmp_path / "o" / "training" / "member_0.safetensors").is_file()
    assert read_maps(tmp_path / "o").stored.factors.latent.shape[1] == 64
    assert '"progress"' in log.read_text()


def test_visium_hd_is_mapped_from_spots_and_scored_in_its_bins(tmp_path):
    from histoscribe.phantom import make_phantom, write_visium_hd

    phantom = make_phantom(2, kind="visium_hd", size_um=960.0, mpp=1.0, n_genes=40, n_domains=2)
    write_visium_hd(phantom, tmp_path / "hd")
    maps = map_section(tmp_path / "hd", genes="top:3", um=32.0, out=tmp_path / "out", settings=PLAIN)
    assert maps.stored.shape == "disc"
    fine = maps.bin_scores
    assert {"map", "map_balanced", "kriging"} <= set(fine["method"])
    assert fine["ssim"].between(-1, 1).all()
    assert (tmp_path / "out" / "bin_scores.csv").is_file()


def test_a_sum_that_bins_cannot_have_is_refused():
    with pytest.raises(ConfigError, match="multiple of 2"):
        MapSettings(bins="7")


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
