"""One chain: the same settings give the same result, whichever command asked for it and whatever lay there before."""

import shutil

import pandas as pd
import pytest
import spatialdata

import histoscribe as hs
from histoscribe import cli
from histoscribe.errors import ConfigError, InputError, ResultError
from histoscribe.run.cohort.evaluate import evaluate
from histoscribe.run.cohort.fit import fit
from histoscribe.run.cohort.options import PredictOptions
from histoscribe.run.maps.section import map_sections
from histoscribe.run.maps.settings import MapSettings
from histoscribe.run.section.settings import RunConfig
from histoscribe.run.section.transfer import transfer
from histoscribe.store.files import canonical, files_below, read_json
from histoscribe.store.manifest import describe, read_manifest, write_manifest


def contents(folder):
    """Bytes of all files of a result but its record, whose stages are named."""
    return {name: (folder / name).read_bytes() for name in files_below(folder) if name != "manifest.json"}


def call(*arguments) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


def test_run_and_domains_write_the_same_files(finished, vendor, tmp_path):
    hs.find_domains(vendor, out=tmp_path / "r", n_domains=3)
    assert contents(tmp_path / "r") == contents(finished)


def test_a_folder_made_by_one_command_is_continued_by_another(finished, vendor, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    states = []
    hs.find_domains(
        vendor,
        out=tmp_path / "r",
        n_domains=4,
        listen=lambda event: states.append((event.get("stage"), event.get("state"))),
    )
    assert {("check", "reused"), ("embed", "reused"), ("domains", "done")} <= set(states)
    hs.find_domains(vendor, out=tmp_path / "fresh", n_domains=4)
    assert contents(tmp_path / "r") == contents(tmp_path / "fresh")


AS_RUN = MapSettings(genes="top:2", um=64.0)
SMALL = MapSettings(genes="top:2", um=64.0, encoder="none")


def test_commands_one_after_the_other_give_the_folder_that_one_gives_in_one_go(finished, vendor, tmp_path):
    shutil.copytree(finished, tmp_path / "r")  # by run
    (by_domains,) = hs.find_domains(vendor, out=tmp_path / "r", n_domains=3)
    assert set(by_domains.reused) == {"check", "embed", "domains", "describe", "section", "report"}
    (by_map,) = map_sections(vendor, out=tmp_path / "r", settings=AS_RUN)
    assert set(by_map.reused) == {"check", "embed", "domains", "describe", "section"}
    at_once = RunConfig("morphology", n_domains=3, maps="top:2", map_um=64.0)
    hs.run_sections(vendor, out=tmp_path / "at_once", config=at_once)
    assert contents(tmp_path / "r") == contents(tmp_path / "at_once")
    assert (tmp_path / "r" / "manifest.json").read_bytes() == (tmp_path / "at_once" / "manifest.json").read_bytes()


MARKERS = MapSettings(genes="markers:2", um=64.0)


@pytest.fixture(scope="module")
def marked(finished, vendor, tmp_path_factory):
    """A result of run to which maps of the markers of its domains were added, and the outcome."""
    out = tmp_path_factory.mktemp("marked") / "r"
    shutil.copytree(finished, out)
    (outcome,) = map_sections(vendor, out=out, settings=MARKERS)
    return out, outcome


def test_markers_of_the_domains_that_are_there_are_mapped_as_in_one_go(marked, finished, vendor, tmp_path):
    out, outcome = marked
    assert {"embed", "domains", "describe", "section"} <= set(outcome.reused)
    assert not outcome.notes[1:]  # the first says which picture was taken
    (again,) = hs.find_domains(vendor, out=out, n_domains=3)
    assert {"cells", "maps"} <= set(again.reused)
    at_once = RunConfig("morphology", n_domains=3, maps="markers:2", map_um=64.0)
    hs.run_sections(vendor, out=tmp_path / "at_once", config=at_once)
    assert contents(out) == contents(tmp_path / "at_once")
    assert (out / "manifest.json").read_bytes() == (tmp_path / "at_once" / "manifest.json").read_bytes()


def test_the_strongest_markers_of_each_domain_are_mapped_and_said(marked):
    out, _ = marked
    table = pd.read_csv(out / "markers.csv")
    own = [group["gene"].tolist() for _, group in table.groupby("domain")]
    maps = hs.read_maps(out)
    # one gene may mark two domains
    assert maps.genes == tuple(dict.fromkeys(genes[rank] for rank in range(2) for genes in own))
    assert maps.notes[-1] == "the genes are the strongest markers of each of 3 domains, at most 2 of each"
    assert maps.notes[-1][1:] in (out / "maps" / "report.html").read_text()


def test_domains_are_found_for_their_markers_where_there_are_none(vendor, tmp_path, capsys):
    assert call("map", vendor, "--genes", "markers:1", "--um", 64, "--out", tmp_path / "r") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the folder held no domains of this input, so they were found as histoscribe domains finds them" in said
    assert "1 of each" in said
    (outcome,) = hs.find_domains(vendor, out=tmp_path / "r")
    assert {"embed", "domains", "describe", "section", "cells", "maps", "report"} <= set(outcome.reused)


def test_maps_of_markers_belong_to_their_domains(marked, vendor, tmp_path):
    shutil.copytree(marked[0], tmp_path / "r")
    (outcome,) = hs.find_domains(vendor, out=tmp_path / "r", n_domains=2)
    assert "maps" not in outcome.reused
    assert list((tmp_path / "r").glob("kept-*/maps/map.json"))


@pytest.mark.parametrize("genes", ["markers:0", "markers:x", "markers:21", "markers:"])
def test_a_number_of_markers_that_no_run_finds_is_refused(genes):
    with pytest.raises(ConfigError, match="markers:1 to markers:20"):
        MapSettings(genes=genes)


def test_a_slide_without_counts_has_no_markers(marked, vendor, tmp_path):
    with pytest.raises(ConfigError, match="no markers are found"):
        map_sections(vendor, out=tmp_path / "r", settings=MARKERS, model=marked[0])


def test_any_order_of_commands_gives_the_same_folder(finished, vendor, tmp_path):
    map_sections(vendor, out=tmp_path / "r", settings=SMALL)
    hs.find_nuclei(vendor, out=tmp_path / "r")
    hs.find_domains(vendor, out=tmp_path / "r", n_domains=3)
    shutil.copytree(finished, tmp_path / "other")
    hs.find_nuclei(vendor, out=tmp_path / "other")
    map_sections(vendor, out=tmp_path / "other", settings=SMALL)
    assert contents(tmp_path / "r") == contents(tmp_path / "other")
    assert hs.verify(tmp_path / "r")["."].ok


def test_what_does_not_depend_on_a_change_stays(finished, vendor, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    map_sections(vendor, out=tmp_path / "r", settings=SMALL)
    before = (tmp_path / "r" / "maps" / "map.json").stat().st_ino
    (outcome,) = hs.find_domains(vendor, out=tmp_path / "r", n_domains=4)
    assert {"cells", "maps"} <= set(outcome.reused)
    assert (tmp_path / "r" / "maps" / "map.json").stat().st_ino == before
    assert not list((tmp_path / "r").glob("kept-*"))


def test_what_belongs_to_another_input_is_moved_aside_and_named(finished, vendor, tmp_path, caplog):
    shutil.copytree(finished, tmp_path / "r")
    map_sections(vendor, out=tmp_path / "r", settings=SMALL)
    aligned = RunConfig("morphology", n_domains=3, align=True)
    hs.find_domains(vendor, out=tmp_path / "r", config=aligned)
    assert not (tmp_path / "r" / "maps").exists()
    (kept,) = (tmp_path / "r").glob("kept-*/maps/map.json")
    assert kept.is_file()
    assert "parts of the older result do not fit the new one" in caplog.text
    assert "cells" in caplog.text
    assert kept.parents[1].joinpath("run.json").is_file()
    hs.find_domains(vendor, out=tmp_path / "fresh", config=aligned)
    assert {k: v for k, v in contents(tmp_path / "r").items() if not k.startswith("kept-")} == contents(
        tmp_path / "fresh"
    )


def test_a_record_that_names_itself_as_what_comes_before_is_not_believed(finished, vendor, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    record = read_json(tmp_path / "r" / "run.json")
    record["stages"]["describe"]["after"] = ["describe", "domains", "nowhere"]
    (tmp_path / "r" / "run.json").write_bytes(canonical(record))
    files = read_manifest(tmp_path / "r")["files"]
    write_manifest(tmp_path / "r", files | {"run.json": files["run.json"] | describe(tmp_path / "r", "run.json")})
    (outcome,) = map_sections(vendor, out=tmp_path / "r", settings=SMALL)
    assert "domains" not in outcome.reused
    assert list((tmp_path / "r").glob("kept-*/domains.csv"))


def test_what_an_interrupted_run_with_other_settings_left_is_not_read(finished, vendor, tmp_path, monkeypatch):
    from histoscribe.run.section import plan

    def stop(*arguments, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(plan, "domains_stage", stop)
        with pytest.raises(KeyboardInterrupt):
            hs.find_domains(vendor, out=tmp_path / "r", n_domains=3, config=RunConfig("morphology", nuclei="classical"))
    assert (tmp_path / "r" / ".partial" / "nuclei").is_dir()
    hs.find_domains(vendor, out=tmp_path / "r", n_domains=3)
    assert contents(tmp_path / "r") == contents(finished)


def test_every_setting_of_a_file_is_used_by_domains(vendor, tmp_path):
    (tmp_path / "a.toml").write_text(
        'method = "histology"\nnuclei = "classical"\nmaps = "top:2"\nmap_um = 64.0\nalign = true\nn_domains = 3\n'
    )
    assert call("domains", vendor, "--out", tmp_path / "r", "--config", tmp_path / "a.toml", "--quiet") == 0
    record = read_json(tmp_path / "r" / "run.json")
    assert read_json(tmp_path / "r" / "domains.json")["method"] == "histology"
    assert (tmp_path / "r" / "nuclei" / "nuclei.parquet").is_file()
    assert (tmp_path / "r" / "maps" / "map.json").is_file()
    assert record["stages"]["embed"]["settings"]["encoder"]["name"] == "morphology"
    assert record["stages"].keys() == {
        "check",
        "embed",
        "nuclei",
        "domains",
        "describe",
        "cells",
        "maps",
        "section",
        "report",
    }


def test_a_card_of_ones_own_is_recorded_by_name_and_hash_and_no_path(vendor, tmp_path):
    (tmp_path / "mine.toml").write_text('like = "morphology"\nname = "mine"\n')
    (tmp_path / "a.toml").write_text(f'encoder = "{tmp_path / "mine.toml"}"\nn_domains = 2\n')
    assert call("domains", vendor, "--out", tmp_path / "r", "--config", tmp_path / "a.toml", "--quiet") == 0
    for name in ("run.json", "report.html"):
        assert str(tmp_path) not in (tmp_path / "r" / name).read_text()
    assert read_json(tmp_path / "r" / "run.json")["stages"]["embed"]["settings"]["encoder"]["name"] == "mine"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--n-domains", "3"], "n_domains"),
        (["--method", "niche"], "method"),
        (["--nuclei", "classical"], "nuclei"),
    ],
)
def test_a_transfer_refuses_options_that_it_cannot_use(finished, vendor, tmp_path, capsys, options, words):
    assert call("domains", vendor, "--transfer", finished, "--out", tmp_path / "t", *options) == 2
    assert words in capsys.readouterr().err
    assert not (tmp_path / "t").exists()


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    from histoscribe.phantom import cohort, make_phantom, write_spaceranger

    folder = tmp_path_factory.mktemp("cohort")
    rows = ["section,patient,path,image"]
    for phantom in cohort(3, like=make_phantom(0, size_um=900.0, mpp=2.0, n_domains=3, n_genes=40)):
        write_spaceranger(phantom, folder / phantom.name)
        rows.append(f"{phantom.name},{phantom.patient_name},{phantom.name},{phantom.name}/{phantom.name}.tif")
    (folder / "sheet.csv").write_text("\n".join(rows) + "\n")
    return folder


FIRST = PredictOptions(
    heads=("ridge", "knn"),
    encoders=("morphology",),
    tile_um=(112.0,),
    n_genes=8,
    neighbours=True,
    standardise="section",
)
SECOND = FIRST.updated(neighbours=False, standardise="none", stacks=("ridge", "mlp"))


def test_an_evaluation_with_other_settings_in_the_same_folder_is_that_of_a_fresh_one(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr("histoscribe.run.cohort.evaluation.write_evaluation_page", lambda folder, contents: [])
    first = evaluate(cohort / "sheet.csv", out=tmp_path / "ev", options=FIRST).scores
    again = evaluate(cohort / "sheet.csv", out=tmp_path / "ev", options=SECOND).scores
    fresh = evaluate(cohort / "sheet.csv", out=tmp_path / "fresh", options=SECOND).scores
    assert "stack_mlp" in again["heads"]
    assert again == fresh
    assert again["heads"]["ridge"] != first["heads"]["ridge"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"target": "abundance", "n_genes": 3}, "n_genes"),
        ({"ranks": False}, "ranks"),
        ({"pixel_px": 64}, "pixel_px"),
        ({"head_options": {"finetune": {"epochs": 1}}}, "finetune"),
    ],
)
def test_an_evaluation_refuses_options_that_it_cannot_use(cohort, tmp_path, options, words):
    with pytest.raises(ConfigError, match=words):
        evaluate(cohort / "sheet.csv", out=tmp_path / "r", options=FIRST.updated(**options))
    assert not (tmp_path / "r").exists()


def test_start_weights_and_device_are_said_on_the_page_in_the_scores_and_in_the_model_card(
    cohort, tmp_path, monkeypatch
):
    page = "histoscribe.run.cohort.evaluation.write_evaluation_page"
    monkeypatch.setattr(page, lambda folder, contents: notes.extend(contents.notes) or [])
    notes, words = [], "random weights, because pretrained = false was given"
    small = {"backbone": "test_resnet", "pretrained": False, "tile_px": 32, "epochs": 1, "device": "cpu"}
    options = FIRST.updated(heads=("finetune",), head_options={"finetune": small}, pixel_px=32)
    found = evaluate(cohort / "sheet.csv", out=tmp_path / "ev", options=options)
    (fitted,) = {tuple(one.items()) for one in found.scores["heads"]["finetune"]["fitted"].values()}
    assert dict(fitted) == {"device": "cpu", "started from": words}
    assert f"finetune: device cpu; started from {words}" in notes
    fit(cohort / "sheet.csv", out=tmp_path / "m", options=options)
    assert f"Started from: {words}." in (tmp_path / "m" / "MODEL_CARD.md").read_text()


def test_a_preset_refuses_tiles_that_are_cut_smaller_than_it_sees_them():
    options = PredictOptions(heads=("finetune",), head_options={"finetune": {"preset": "published"}})
    with pytest.raises(ConfigError, match="pixel_px") as refused:
        options.refuse_unused(command="evaluate")
    assert "pixel_px = 224" in refused.value.fix
    options.updated(pixel_px=224).refuse_unused(command="evaluate")


@pytest.mark.parametrize(("options", "words"), [({"by": "section"}, "by"), ({"stacks": ("mlp",)}, "stacks")])
def test_a_fit_refuses_options_that_it_cannot_use(cohort, tmp_path, options, words):
    with pytest.raises(ConfigError, match=f"no use for {words}"):
        fit(cohort / "sheet.csv", out=tmp_path / "m", options=FIRST.updated(heads=("ridge",), **options))


def test_a_refused_section_stops_an_evaluation_unless_it_is_left_out_on_purpose(cohort, tmp_path, monkeypatch):
    monkeypatch.setattr("histoscribe.run.cohort.evaluation.write_evaluation_page", lambda folder, contents: [])
    text = (cohort / "sheet.csv").read_text()
    (cohort / "worse.csv").write_text(text + "lost,P9,missing/outs,\n")
    with pytest.raises(InputError, match=r"1 of 4 sections are refused(.|\n)*lost: (.|\n)*--skip-refused"):
        evaluate(cohort / "worse.csv", out=tmp_path / "r", options=FIRST.updated(heads=("ridge",)))
    found = evaluate(
        cohort / "worse.csv", out=tmp_path / "r", options=FIRST.updated(heads=("ridge",), skip_refused=True)
    )
    record = read_json(found.folder / "run.json")
    assert list(record["skipped"]) == ["lost"]
    assert "outs" in record["skipped"]["lost"]
    assert str(cohort) not in (found.folder / "run.json").read_text()
    assert record["configuration"]["skip_refused"] is True


def test_a_programming_error_is_never_taken_for_a_refused_section(vendor, tmp_path, monkeypatch):
    (tmp_path / "sheet.csv").write_text(f"section,path\nA,{vendor}\nB,{vendor}\n")

    def wrong(*arguments, **named):
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr("histoscribe.run.section.plan.domains_stage", wrong)
    with pytest.raises(ZeroDivisionError):
        hs.run_sections(tmp_path / "sheet.csv", out=tmp_path / "r", config=RunConfig(encoder="morphology", n_domains=2))


def test_a_picture_alone_and_the_same_with_spots_laid_out_are_two_inputs(finished, vendor, tmp_path, caplog):
    picture = next(vendor.rglob("*.tif"))
    transfer(picture, result=finished, out=tmp_path / "r")
    hs.find_nuclei(picture, out=tmp_path / "r")
    assert hs.verify(tmp_path / "r")["."].ok
    assert "domains" in caplog.text
    assert list((tmp_path / "r").glob("kept-*/domains.csv"))


def test_a_transfer_shares_its_folder_with_what_reads_the_counts(finished, vendor, tmp_path):
    transfer(vendor, result=finished, out=tmp_path / "one")
    map_sections(vendor, out=tmp_path / "one", settings=SMALL)
    map_sections(vendor, out=tmp_path / "other", settings=SMALL)
    transfer(vendor, result=finished, out=tmp_path / "other")
    assert contents(tmp_path / "one") == contents(tmp_path / "other")


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_result_with_a_damaged_record_is_moved_aside_and_not_deleted(finished, vendor, tmp_path, caplog, damage):
    shutil.copytree(finished, tmp_path / "r")
    record = tmp_path / "r" / "run.json"
    record.unlink() if damage == "missing" else record.write_text(record.read_text() + " ")
    before = (finished / "domains.csv").read_bytes()
    map_sections(vendor, out=tmp_path / "r", settings=SMALL)
    (kept,) = (tmp_path / "r").glob("kept-*/domains.csv")
    assert kept.read_bytes() == before
    assert kept.with_name("section.zarr").is_dir()
    assert "domains" in caplog.text


def test_a_damaged_part_is_moved_aside_with_what_it_needs(finished, vendor, tmp_path, caplog):
    shutil.copytree(finished, tmp_path / "r")
    map_sections(vendor, out=tmp_path / "r", settings=SMALL)
    with (tmp_path / "r" / "maps" / "map.json").open("a") as file:
        file.write(" ")
    (outcome,) = hs.find_domains(vendor, out=tmp_path / "r", n_domains=3)
    assert "cells" not in outcome.reused
    assert list((tmp_path / "r").glob("kept-*/cells/features.zarr"))
    assert "a file is damaged" in caplog.text


def test_nothing_is_written_over_what_it_is_made_from(finished, vendor):
    with pytest.raises(ResultError, match="holds the result that the domains come from"):
        transfer(vendor, result=finished, out=finished)


@pytest.mark.parametrize("command", ["run", "domains", "map"])
def test_a_picture_alone_is_refused_with_what_takes_it(command, vendor, tmp_path, capsys):
    assert call(command, next(vendor.rglob("*.tif")), "--out", tmp_path / "r") == 2
    assert "domains --transfer" in capsys.readouterr().err


def test_a_record_with_numbers_that_are_none_is_not_believed(finished, vendor, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    text = (tmp_path / "r" / "run.json").read_text().replace('"tile_um": 112.0', '"tile_um": NaN')
    assert "NaN" in text
    (tmp_path / "r" / "run.json").write_text(text)
    files = read_manifest(tmp_path / "r")["files"]
    write_manifest(tmp_path / "r", files | {"run.json": files["run.json"] | describe(tmp_path / "r", "run.json")})
    (outcome,) = map_sections(vendor, out=tmp_path / "r", settings=SMALL)
    assert "domains" not in outcome.reused
    assert list((tmp_path / "r").glob("kept-*/domains.csv"))


def resealed(folder, name, text):
    """Replace a file of a result, as somebody might who writes a manifest that fits."""
    (folder / name).write_text(text)
    files = read_manifest(folder)["files"]
    write_manifest(folder, files | {name: files[name] | describe(folder, name)})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("domains.csv", "barcode,domain,confidence\nA,1,0.5\n"),
        ("domains.csv", "barcode,domain\n"),
        ("domains.csv", ""),
        ("domains.json", "[]"),
        ("domains.json", '{"method": "niche", "choice": 5}'),
        ("domains.json", '{"method": "niche", "choice": {"numbers": [2, 3], "stability": [0.5]}}'),
        ("domains.json", '{"method": "niche", "consensus": {}}'),
        ("markers.csv", "domain,gene\n1,A\n"),
        ("morphology.csv", "domain,feature,mean,mean_outside,effect\n1,a,b,c,d\n"),
        ("neighbours.csv", "domain\nx\n"),
    ],
)
def test_what_a_received_result_holds_is_checked_where_it_is_read(finished, vendor, tmp_path, name, text):
    shutil.copytree(finished, tmp_path / "r")
    resealed(tmp_path / "r", name, text)
    before = contents(tmp_path / "r")
    with pytest.raises(ResultError, match=name.replace(".", r"\.")):
        hs.save_tiles(vendor, out=tmp_path / "r")
    assert {n: b for n, b in contents(tmp_path / "r").items() if not n.startswith(".partial")} == before


def test_a_received_figure_that_is_no_picture_is_refused_by_name(vendor, tmp_path):
    hs.find_nuclei(vendor, out=tmp_path / "r")
    resealed(tmp_path / "r", "nuclei/figures/nuclei.png", "no picture" * 60_000)
    with pytest.raises(ResultError, match=r"nuclei\.png"):
        hs.save_tiles(vendor, out=tmp_path / "r")


def test_a_record_without_the_number_of_domains_is_refused(finished, vendor, tmp_path):
    shutil.copytree(finished, tmp_path / "r")
    record = read_json(tmp_path / "r" / "run.json")
    record["stages"]["domains"]["facts"] = {}
    resealed(tmp_path / "r", "run.json", canonical(record).decode())
    with pytest.raises(ResultError, match="how many n_domains"):
        hs.find_domains(vendor, out=tmp_path / "r", n_domains=3)


def test_the_scale_that_a_user_gives_is_used_and_recorded(vendor, tmp_path):
    picture = next(vendor.rglob("*.tif"))
    for k, mpp in enumerate((1.0, 1.02)):
        assert call("domains", vendor, "--out", tmp_path / f"r{k}", "--n-domains", 2, "--mpp", mpp) == 0
        assert read_json(tmp_path / f"r{k}" / "run.json")["stated"]["mpp"] == mpp
    (outcome,) = transfer(picture, result=tmp_path / "r0", out=tmp_path / "t", mpp=1.02)
    assert hs.Section.from_spatialdata(spatialdata.read_zarr(outcome.folder / "section.zarr")).mpp == 1.02
