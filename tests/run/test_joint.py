"""Domains of several sections together: one number means one tissue in all of them."""

import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

import histoscribe as hs
from histoscribe import cli
from histoscribe.errors import ConfigError, InputError
from histoscribe.phantom import cohort, make_phantom, write_spaceranger
from histoscribe.run.section.settings import RunConfig
from histoscribe.store.files import read_json

ASKED = RunConfig(encoder="morphology", joint="standardised", n_domains=3)


@pytest.fixture(scope="module")
def sheet(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cohort")
    rows = ["section,patient,path"]
    for phantom in cohort(2, like=make_phantom(7, size_um=1200.0, mpp=1.0, n_domains=3, n_genes=80)):
        write_spaceranger(phantom, folder / phantom.name)
        rows.append(f"{phantom.name},{phantom.patient_name},{phantom.name}")
    (folder / "sheet.csv").write_text("\n".join(rows) + "\n")
    return folder / "sheet.csv"


@pytest.fixture(scope="module")
def found(sheet, tmp_path_factory):
    out = tmp_path_factory.mktemp("joint") / "r"
    return hs.find_domains(sheet, out=out, config=ASKED)


def domains_of(outcome) -> pd.Series:
    return pd.read_csv(outcome.folder / "domains.csv", index_col="barcode")["domain"]


def test_a_number_means_the_same_in_all_sections(found, sheet):
    both, truths = [], []
    for outcome in found:
        truth = pd.read_csv(sheet.parent / outcome.section / "truth.csv", index_col="barcode")["domain"]
        domains = domains_of(outcome)
        both += [*domains]
        truths += [*truth.loc[domains.index]]
    assert adjusted_rand_score(truths, both) > 0.8  # .86 here; .80 where each section is divided by itself


def test_each_section_has_a_whole_result_of_its_own(found, sheet):
    for outcome in found:
        assert hs.verify(outcome.folder)["."].ok
        assert (outcome.folder / "report.html").is_file()
        settings = read_json(outcome.folder / "run.json")["stages"]["domains"]["settings"]
        assert settings["integration"] == "standardised"
        assert settings["sections"] == sorted(one.section for one in found)
        assert "embed" in outcome.reused


def test_the_same_again_divides_nothing(found, sheet, monkeypatch):
    def never(*arguments, **named):
        raise AssertionError

    monkeypatch.setattr("histoscribe.domains.joint.joint_domains", never)
    again = hs.find_domains(sheet, out=found[0].folder.parent, config=ASKED)
    assert all("domains" in outcome.reused for outcome in again)
    assert not list(found[0].folder.parent.glob("kept-*"))


def test_another_integration_is_another_division(found, sheet, tmp_path):
    out = found[0].folder.parent
    key = read_json(out / found[0].section / "run.json")["stages"]["domains"]["key"]
    other = hs.find_domains(sheet, out=tmp_path / "r", config=ASKED.updated(joint="both"))
    assert read_json(other[0].folder / "run.json")["stages"]["domains"]["key"] != key


def test_a_refused_section_stops_all_unless_it_is_left_out_on_purpose(found, sheet, tmp_path):
    text = sheet.read_text() + f"lost,P9,{sheet.parent / 'absent'}\n"
    (sheet.parent / "worse.csv").write_text(text)
    with pytest.raises(InputError, match=r"1 of 3 sections are refused(.|\n)*--skip-refused"):
        hs.find_domains(sheet.parent / "worse.csv", out=tmp_path / "w", config=ASKED)
    skipped = hs.find_domains(sheet.parent / "worse.csv", out=tmp_path / "w", config=ASKED.updated(skip_refused=True))
    assert [outcome.status for outcome in skipped] == ["done", "done", "refused"]
    assert "refused" in (tmp_path / "w" / "summary.csv").read_text()
    assert domains_of(skipped[0]).equals(domains_of(found[0]))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"joint": "both", "method": "niche"}, "found by efnst"),
        ({"joint": "both", "consensus": True}, "without consensus"),
        ({"skip_refused": True}, "without joint"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        RunConfig(**settings)


def test_one_section_alone_is_refused(vendor, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        cli.main(["domains", str(vendor), "--out", str(tmp_path / "r"), "--joint", "standardised"])
    assert end.value.code == 2
    assert "two or more sections" in capsys.readouterr().err
    assert not (tmp_path / "r").exists()


def test_options_of_efnst_and_places_by_umap_are_for_several_sections_too(sheet, tmp_path):
    config = ASKED.updated(efnst={"pre_epochs": 3, "epochs": 2}, clustering="leiden", umap=True)
    for outcome in hs.find_domains(sheet, out=tmp_path / "r", config=config):
        evidence = read_json(outcome.folder / "domains.json")
        assert evidence["settings"]["epochs"] == 2
        assert evidence["clustering"] == "leiden"
        assert (outcome.folder / "umap.csv").is_file()


def test_what_efnst_does_not_take_is_refused_before_any_section_is_described(sheet, tmp_path):
    with pytest.raises(InputError, match="efnst has no setting components"):
        hs.find_domains(sheet, out=tmp_path / "r", config=ASKED.updated(components=5))
    assert not list(tmp_path.glob("r/*/embedding.zarr"))
