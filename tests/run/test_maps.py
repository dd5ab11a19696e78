"""Maps from a vendor's folder to files, and what is refused on the way."""

import errno
import re
import shutil
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import spatialdata

import histoscribe as hs
from histoscribe.cli import main
from histoscribe.errors import ConfigError, InputError, ResultError
from histoscribe.maps.read import read_maps
from histoscribe.run.inputs import read_input
from histoscribe.run.maps.plan import plan_maps
from histoscribe.run.maps.section import map_section, map_sections, map_slide
from histoscribe.run.maps.settings import MapSettings
from histoscribe.run.requests import requests_of
from histoscribe.store.files import read_json
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
    assert (mapped / "maps" / "figures" / "composite.png").is_file()


def test_rasters_stand_in_spatialdata_in_the_frame_of_the_picture(mapped):
    sdata = spatialdata.read_zarr(mapped / "maps" / "maps.zarr")
    maps = read_maps(mapped)
    raster = sdata.images["genes"]
    assert list(raster.c.to_numpy()) == list(maps.genes)
    assert np.nan_to_num(maps.gene(maps.genes[1]).to_numpy()) == pytest.approx(raster.to_numpy()[1])
    assert {"image", "factors"} <= set(sdata.images)
    low, high = spatialdata.get_extent(sdata["genes"], coordinate_system="um")["x"]
    assert (low, high) == pytest.approx((0, maps.grid.columns * 16.0))


def test_the_same_again_is_taken_over_with_the_same_bytes(vendor, mapped):
    before = (mapped / "maps" / "factors.zarr" / "zarr.json").stat().st_mtime_ns
    map_section(vendor, genes="top:3", um=16.0, out=mapped, settings=PLAIN)
    assert (mapped / "maps" / "factors.zarr" / "zarr.json").stat().st_mtime_ns == before


def test_another_slide_is_mapped_with_the_model(vendor, mapped, tmp_path):
    maps = map_slide(vendor, model=mapped, out=tmp_path / "other", settings=PLAIN)
    assert maps.genes == read_maps(mapped).genes
    own = read_maps(mapped).gene(maps.genes[0], unit="log", balanced=False).to_numpy()
    found = maps.gene(maps.genes[0], unit="log").to_numpy()
    both = np.isfinite(own) & np.isfinite(found)
    assert np.corrcoef(own[both], found[both])[0, 1] > 0.2


def test_the_slides_of_a_sheet_are_mapped_with_the_model(vendor, mapped, tmp_path):
    picture = next(vendor.rglob("*.tif"))
    (tmp_path / "sheet.csv").write_text(f"section,path\nA,{vendor}\nB,{picture}\nC,{vendor / 'absent'}\n")
    settings = PLAIN.asking("all")
    outcomes = map_sections(tmp_path / "sheet.csv", out=tmp_path / "r", settings=settings, model=mapped)
    assert [outcome.status for outcome in outcomes] == ["done", "done", "refused"]
    a, b = (read_maps(tmp_path / "r" / name) for name in "AB")
    both = [maps.gene(maps.genes[0]).to_numpy() for maps in (a, b)]
    known = np.isfinite(both[0]) & np.isfinite(both[1])
    # counts are not looked at; the two differ by what the spots' pitch says of the scale
    assert np.corrcoef(both[0][known], both[1][known])[0, 1] > 0.99


def test_spots_cannot_be_moved_where_there_are_none(vendor, mapped, tmp_path):
    picture = next(vendor.rglob("*.tif"))
    with pytest.raises(ConfigError, match="no spots to be moved"):
        map_slide(picture, model=mapped, out=tmp_path / "o", settings=PLAIN.updated(align=True))


def test_settings_of_an_encoder_are_refused_where_there_is_none(vendor, tmp_path):
    with pytest.raises(ConfigError, match=r"no use for(.|\n)*precision = float32: no encoder"):
        map_section(vendor, out=tmp_path / "o", settings=PLAIN.updated(precision="float32"))


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
def test_a_full_disk_is_reported_with_the_room_that_is_needed_and_the_older_maps_stay(
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
    page = (mapped / "maps" / "report.html").read_text()
    assert "kriging, no picture" in page
    assert "Scores on left-out spots, by abundance" in page


def test_the_command_line_trains_the_autoencoder_and_keeps_its_networks(vendor, tmp_path, capsys):
    (tmp_path / "a.toml").write_text(
        'genes = "top:2"\nmapper = "autoencoder"\num = 32\ndevice = "cpu"\n'
        "[autoencoder]\nrank = 8\nmembers = 1\npretrain_steps = 3\nfield_steps = 20\npriors = [5e-4]\n"
    )
    options = ["--config", tmp_path / "a.toml", "--genes", "top:1", "--autoencoder.steps", 3, "--autoencoder.rank", 5]
    log = tmp_path / "log"
    with pytest.raises(SystemExit) as exit_:
        main(list(map(str, ["map", vendor, *options, "--out", tmp_path / "o", "--log-json", log])))
    assert exit_.value.code == 0
    made = read_json(tmp_path / "o" / "run.json")["stages"]["maps"]["settings"]["maps"]
    assert (made["genes"], made["um"]) == ("top:1", 32)
    used = {name: made["autoencoder"][name] for name in ("rank", "members", "steps", "priors", "patience")}
    assert used == {"rank": 5, "members": 1, "steps": 3, "priors": [5e-4], "patience": 150}
    assert "left-out spots" in capsys.readouterr().out
    assert (tmp_path / "o" / "training" / "member_0.safetensors").is_file()
    assert read_maps(tmp_path / "o").stored.factors.latent.shape[1] == 64
    assert read_maps(tmp_path / "o").stored.factors.loadings.shape == (5, 1)
    like = read_json(tmp_path / "o" / "maps" / "map.json")["evidence"]["picture_ssim"]
    assert f"{like:.3f}" in (tmp_path / "o" / "maps" / "report.html").read_text()
    assert (tmp_path / "o" / "maps" / "figures" / "reconstruction.png").is_file()
    with PIL.Image.open(tmp_path / "o" / "maps" / "reconstructed.png") as picture:
        assert picture.size == (232, 232)  # 29 cells of 32 um, 8 pixels each
    assert '"progress"' in log.read_text()


def test_limits_that_are_given_win_over_the_preset():
    assert MapSettings().limits() == {
        "min_genes_per_spot": None,
        "min_spots_per_gene": None,
        "max_counts_per_spot": None,
    }
    settings = MapSettings(qc="published", min_genes_per_spot=150, max_counts_per_spot=0)
    assert settings.limits() == {"min_genes_per_spot": 150, "min_spots_per_gene": 3, "max_counts_per_spot": 0}
    with pytest.raises(ConfigError, match="not negative"):
        MapSettings(min_spots_per_gene=-1)


@pytest.fixture(scope="module")
def checked(vendor, tmp_path_factory) -> tuple[Path, np.ndarray]:
    """Maps of the spots with at most the median of the molecules, and which these are."""
    section = hs.read_section(vendor)
    library = np.asarray(section.spots.X.sum(axis=1)).ravel()
    most = int(np.median(library))
    out = tmp_path_factory.mktemp("checked") / "out"
    map_section(vendor, genes="top:2", um=32.0, out=out, settings=PLAIN.updated(max_counts_per_spot=most))
    return out, library <= most


def test_a_spot_that_is_left_out_takes_part_in_no_fit_score_or_sum(vendor, checked):
    out, kept = checked
    maps, section = read_maps(out), hs.read_section(vendor)
    assert len(maps.stored.xy_px) == kept.sum() < len(kept)
    assert np.array_equal(maps.stored.xy_px, section.xy_px[kept])
    counted = section.spots[kept, maps.genes[0]].X.toarray()[:, 0]
    assert maps.spot_sums(maps.genes[0]) == pytest.approx(counted, rel=1e-2, abs=0.1)
    table = spatialdata.read_zarr(out / "maps" / "maps.zarr").tables["table"]
    assert list(table.obs_names) == list(section.spots.obs_names[kept])
    abundance = maps.scores.query("method == 'map'").set_index("gene")["abundance"]
    assert abundance[maps.genes[0]] == pytest.approx(counted.mean(), rel=1e-4)


def test_what_quality_control_left_out_is_said_wherever_a_user_looks(vendor, checked, capsys):
    out, kept = checked
    note = read_maps(out).notes[-1]
    assert note.startswith(f"quality control left out {(~kept).sum()} of {len(kept)} spots")
    assert note[1:] in (out / "maps" / "report.html").read_text()
    most = read_json(out / "run.json")["stages"]["maps"]["settings"]["maps"]["max_counts_per_spot"]
    options = ["--genes", "top:2", "--um", "32", "--encoder", "none", "--max-counts-per-spot", str(most)]
    with pytest.raises(SystemExit):
        main(["map", str(vendor), "--out", str(out), *options])
    said = " ".join(capsys.readouterr().out.split())
    assert "reused check, cells, maps, report" in said
    assert note in said
    facts = read_json(out / "run.json")["stages"]["maps"]["facts"]["quality"]
    assert facts["spots_left_out"] == facts["with_too_many_counts"] == (~kept).sum()


def test_quality_control_that_leaves_nothing_or_the_gene_that_is_asked_for_is_refused(vendor, tmp_path):
    with pytest.raises(InputError, match=r"leaves too little(.|\n)*with fewer than 90,000 genes"):
        map_section(vendor, out=tmp_path / "o", settings=PLAIN.updated(min_genes_per_spot=90_000))
    section = hs.read_section(vendor)
    rare = section.spots.var_names[np.argmin((section.spots.X > 0).sum(axis=0))]
    n = section.spots.n_obs
    with pytest.raises(InputError, match=f"leaves out 1 of 1 genes that are asked for: {rare}"):
        map_section(vendor, genes=rare, out=tmp_path / "o", settings=PLAIN.updated(min_spots_per_gene=n - 1))
    assert not (tmp_path / "o").exists()


def test_bins_of_a_spot_that_is_left_out_are_not_scored(vendor):
    (request,) = requests_of(vendor)
    given = read_input(request, picture=True)
    most = int(np.median(np.asarray(given.section.spots.X.sum(axis=1))))
    settings = PLAIN.updated(max_counts_per_spot=most)
    plan = plan_maps(given, settings, hd=True, fine=given.section)  # each spot is its own only bin
    assert list(plan.fine.spots.obs_names) == list(plan.passed(given).section.spots.obs_names)


def test_a_slide_that_is_mapped_with_a_model_has_no_quality_control(vendor, mapped, tmp_path):
    with pytest.raises(ConfigError, match=r"no use for qc(.|\n)*counts are not looked at"):
        map_slide(vendor, model=mapped, out=tmp_path / "o", settings=PLAIN.updated(qc="published"))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"ranks": 3}, "did you mean rank"),
        ({"rank": 2.5}, "not of the right kind, a whole number"),
        ({"rank": 70, "members": 2}, "rank times members is at most 128"),
        ({"priors": ()}, "priors must lie between"),
        ({"learning_rate": float("nan")}, "learning_rate must lie between"),
        ({"seed": 3}, "'seed' is not a setting"),
    ],
)
def test_options_that_the_autoencoder_cannot_have_are_refused_by_name(options, words):
    with pytest.raises(ConfigError, match=words):
        MapSettings(mapper="autoencoder", autoencoder=options)


def test_options_of_the_autoencoder_are_refused_where_there_is_none(vendor, tmp_path):
    with pytest.raises(ConfigError, match=r"no use for autoencoder(.|\n)*the mapper dense has no networks"):
        map_section(vendor, out=tmp_path / "o", settings=PLAIN.updated(autoencoder={"rank": 3}))


def test_visium_hd_is_mapped_from_spots_and_scored_in_its_bins(tmp_path):
    from histoscribe.phantom import make_phantom, write_visium_hd

    phantom = make_phantom(2, kind="visium_hd", size_um=960.0, mpp=1.0, n_genes=40, n_domains=2)
    write_visium_hd(phantom, tmp_path / "hd")
    maps = map_section(tmp_path / "hd", genes="top:3", um=32.0, out=tmp_path / "out", settings=PLAIN)
    assert maps.stored.shape == "disc"
    fine = maps.bin_scores
    assert {"map", "map_balanced", "kriging"} <= set(fine["method"])
    assert fine["ssim"].between(-1, 1).all()
    assert (tmp_path / "out" / "maps" / "bin_scores.csv").is_file()


def test_a_sum_that_bins_cannot_have_is_refused():
    with pytest.raises(ConfigError, match="multiple of 2"):
        MapSettings(bins="7")


def test_the_bins_of_visium_hd_become_spots_and_larger_bins(tmp_path):
    from histoscribe.phantom import make_phantom, write_visium_hd
    from histoscribe.run.maps.bins import hd_section

    phantom = make_phantom(2, kind="visium_hd", size_um=640.0, mpp=1.0, n_genes=40, n_domains=2)
    write_visium_hd(phantom, tmp_path / "hd")
    spots = hd_section(tmp_path / "hd")
    assert spots.lattice.kind == "hex"
    large = hd_section(tmp_path / "hd", to=16)
    assert large.spots.X.sum() == pytest.approx(phantom.bin_counts(2)[phantom.on_tissue(phantom.layout(2))].sum())
    with pytest.raises(InputError, match="no bins of 2 um"):
        hd_section(tmp_path)


def test_what_a_very_fine_grid_costs_is_said_before_the_work(vendor, tmp_path, monkeypatch):
    monkeypatch.setattr("histoscribe.run.maps.plan._MANY_CELLS", 100_000)
    said = []

    def listen(event):
        if event["event"] == "note":
            said.append(event["text"])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hs.map_section(vendor, out=tmp_path / "fine", um=2.0, genes="top:2", listen=listen)
    assert re.search(r"\d+ million cells of 2 um(.|\n)*about \d+ minutes(.|\n)*GB on the disk", said[0])
    assert not (tmp_path / "fine").exists()
