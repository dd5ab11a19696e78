"""The command line: what it prints, and the status it ends with."""

import json
import shutil
from pathlib import Path

import pytest

from histoscribe import cli


def call(*arguments: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main([str(argument) for argument in arguments])
    return int(end.value.code or 0)


@pytest.fixture(scope="module")
def vendor(tmp_path_factory) -> Path:
    """SpaceRanger folder of a small phantom."""
    from histoscribe.phantom import make_phantom, write_spaceranger

    folder = tmp_path_factory.mktemp("cli") / "section"
    write_spaceranger(make_phantom(5, size_um=1200.0, mpp=1.0, n_domains=2), folder)
    return folder


@pytest.fixture(scope="module")
def result(vendor, tmp_path_factory) -> Path:
    """A finished result."""
    out = tmp_path_factory.mktemp("cli_result") / "r"
    assert call("run", vendor, "--out", out, "--encoder", "morphology", "--n-domains", 2, "--quiet") == 0
    return out


def test_every_verb_explains_itself(capsys):
    for verb in ("demo", "check", "run", "verify", "doctor", "encoders"):
        assert call(verb, "--help") == 0
        assert len(capsys.readouterr().out.splitlines()) > 3, verb


def test_run_says_where_the_report_is(vendor, tmp_path, capsys):
    assert call("run", vendor, "--out", tmp_path / "r", "--encoder", "morphology", "--n-domains", 2) == 0
    assert str(tmp_path / "r" / "report.html") in capsys.readouterr().out
    assert (tmp_path / "r" / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("verb", ["domains", "run"])
def test_a_picture_that_was_passed_over_is_reported(vendor, tmp_path, capsys, verb):
    folder = shutil.copytree(vendor, tmp_path / "section")
    (picture,) = folder.glob("*.tif")
    picture.write_bytes(picture.read_bytes()[:-50_000])
    given = ("--encoder", "morphology", "--n-domains", 2)
    assert call(verb, folder, "--out", tmp_path / "r", *given) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert f"{picture.name} lies beside the section but is no readable picture" in printed
    assert "image: tissue_hires_image.png, the hires picture" in printed


def test_a_result_holds_what_was_promised(result):
    names = {path.name for path in result.iterdir()}
    assert {"run.json", "manifest.json", "section.zarr", "domains.csv", "report.html", "figures"} <= names
    assert (result / "domains.csv").read_text().splitlines()[0] == "barcode,domain,confidence"
    record = json.loads((result / "run.json").read_text())
    assert record["stages"]["embed"]["settings"]["encoder"]["name"] == "morphology"
    assert record["stages"]["domains"]["settings"]["n_domains"] == 2
    assert all(len(file["sha256"]) == 64 for file in record["inputs"])


def test_no_path_of_this_computer_is_written_into_a_result(result, vendor):
    for name in ("run.json", "report.html", "manifest.json", "preflight.json"):
        text = (result / name).read_text()
        assert str(vendor) not in text, name
        assert str(Path.home()) not in text, name


def test_verify_passes_a_whole_result_and_names_the_damaged_file(result, tmp_path, capsys):
    assert call("verify", result) == 0
    shutil.copytree(result, tmp_path / "hurt")
    (tmp_path / "hurt" / "domains.csv").write_text("barcode,domain,confidence\n")
    assert call("verify", tmp_path / "hurt") == 2
    assert "domains.csv" in capsys.readouterr().err


def test_check_says_what_it_is_and_that_it_fits(vendor, capsys):
    assert call("check", vendor) == 0
    printed = capsys.readouterr().out
    assert "visium" in printed
    assert "um/px" in printed


def test_check_tells_scripts_what_it_found(vendor, tmp_path):
    assert call("check", vendor, "--json", tmp_path / "found.json") == 0
    (one,) = json.loads((tmp_path / "found.json").read_text())
    assert (one["format"], one["refused"]) == ("visium", False)
    assert {finding["level"] for finding in one["findings"]} == {"ok"}
    few = tmp_path / "few.csv"
    few.write_text("barcode,x,y\n" + "".join(f"s{k},{300 + 60 * (k % 5)},{300 + 60 * (k // 5)}\n" for k in range(20)))
    (picture,) = Path(vendor).glob("*.tif")
    (tmp_path / "sheet.csv").write_text(
        f"section,image,spots,mpp\nfew,{picture},few.csv,1.0\nlost,{picture},nowhere.csv,1.0\n"
    )
    assert call("check", tmp_path / "sheet.csv", "--json", tmp_path / "found.json") == 2
    warned, refused = json.loads((tmp_path / "found.json").read_text())
    assert "warning" in {finding["level"] for finding in warned["findings"]}
    assert "nowhere.csv" in refused["error"]
    assert list(tmp_path.glob("kept-*/found.json"))  # the first file is not lost
    (tmp_path / "sheet.csv").write_text(f"section,image,spots,mpp\nfew,{picture},few.csv,1.0\n")
    assert call("check", tmp_path / "sheet.csv") == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "no_such_folder", "--out", "r", "--encoder", "morphology"], "no_such_folder"),
        (["run", "VENDOR", "--out", "r", "--encoder", "morfology"], "morphology"),
        (["run", "VENDOR"], "--out"),
        (["run", "VENDOR", "--out", "r", "--n-domains", "many"], "many"),
        (["run", "VENDOR", "--out", "r", "--encoder", "morphology", "--n-domains", "0"], "at least 1"),
        (["run", "VENDOR", "--out", "r", "--encoder", "morphology", "--n-domains", "100000"], "domains"),
        (["run", "VENDOR", "--out", "r", "--config", "none.toml"], "none.toml"),
        (["verify", "no_such_folder"], "no_such_folder"),
        (["chekc", "VENDOR"], "chekc"),
        (["demo", "--break", "colour"], "colour"),
    ],
)
def test_what_is_refused_ends_with_status_2_one_message_and_no_folder(
    arguments, words, vendor, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert call(*[str(vendor) if a == "VENDOR" else a for a in arguments]) == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert "Traceback" not in printed
    assert list(tmp_path.iterdir()) == []


def test_one_bad_section_of_a_sheet_does_not_stop_the_others(vendor, tmp_path, capsys):
    bad = tmp_path / "bad"
    shutil.copytree(vendor, bad)
    positions = next(bad.rglob("tissue_positions*.csv"))
    positions.write_text("nothing\n")
    sheet = tmp_path / "samplesheet.csv"
    sheet.write_text(f"section,path\nbroken,{bad}\ngood,{vendor}\n")
    config = tmp_path / "run.toml"
    config.write_text('encoder = "morphology"\nn_domains = 2\n')
    assert call("run", sheet, "--out", tmp_path / "out", "--config", config, "--log-json", tmp_path / "log") == 3
    printed = capsys.readouterr().out
    assert "refused" in printed
    assert "tissue_positions" in printed
    assert (tmp_path / "out" / "good" / "report.html").is_file()
    assert not (tmp_path / "out" / "broken").exists()
    assert (tmp_path / "out" / "summary.csv").is_file()
    kinds = {json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines()}
    assert {"stage", "refused"} <= kinds
    assert call("verify", tmp_path / "out") == 0


def test_doctor_finds_no_broken_part_here(capsys):
    assert call("doctor") == 0
    printed = capsys.readouterr().out
    for word in ("torch", "torchvision", "timm", "OpenSlide", "MB/s"):
        assert word in printed


def test_encoders_lists_licence_and_availability(capsys):
    assert call("encoders") == 0
    printed = capsys.readouterr().out
    assert "morphology" in printed
    assert "efficientnet_b0" in printed


@pytest.mark.parametrize("how", ["swap", "scale"])
def test_the_demo_shows_a_refusal_with_its_evidence(how, tmp_path, capsys):
    assert call("demo", "--out", tmp_path / "d", "--break", how) == 2
    assert how in capsys.readouterr().err.lower()
