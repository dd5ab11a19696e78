"""Domains of another patient's slide are predicted from its picture alone, or not where the model abstains."""

import shutil

import pandas as pd
import pytest

import histoscribe as hs
from histoscribe import cli
from histoscribe.domains.transfer import fit_transfer
from histoscribe.errors import ConfigError, InputError
from histoscribe.phantom import make_phantom, write_spaceranger
from histoscribe.run.requests import ReadOptions
from histoscribe.run.section.settings import RunConfig
from histoscribe.run.section.transfer import transfer
from histoscribe.store.result import read_record

# larger than the other tests' section: how domains look is not learnt from a few dozen spots each
LIKE = {"size_um": 1400.0, "mpp": 1.0, "n_domains": 3}


@pytest.fixture(scope="module")
def vendor(tmp_path_factory):
    folder = tmp_path_factory.mktemp("learnt") / "section"
    write_spaceranger(make_phantom(3, **LIKE), folder)
    return folder


@pytest.fixture(scope="module")
def finished(vendor, tmp_path_factory):
    out = tmp_path_factory.mktemp("learnt") / "result"
    hs.run_sections(vendor, out=out, encoder="morphology", n_domains=3)
    return out


@pytest.fixture(scope="module")
def another(tmp_path_factory):
    folder = tmp_path_factory.mktemp("another") / "section"
    write_spaceranger(make_phantom(3, **LIKE, patient=1), folder)
    return folder


@pytest.fixture(scope="module")
def predicted(finished, another, tmp_path_factory):
    out = tmp_path_factory.mktemp("predicted") / "result"
    with pytest.raises(SystemExit) as ended:
        cli.main(["domains", str(another), "--transfer", str(finished), "--out", str(out)])
    assert ended.value.code == 0
    return out


def test_every_spot_has_a_domain_or_a_reason(predicted, finished):
    table = pd.read_csv(predicted / "domains.csv")
    known = set(pd.read_csv(finished / "domains.csv")["domain"])
    assert set(table["domain"].dropna().astype(int)) <= known
    assert (table["domain"].isna() == table["reason"].notna()).all()
    assert table["confidence"].between(0, 1).all()


def test_the_result_is_whole_and_says_what_it_was_trained_on(predicted, finished):
    assert hs.verify(predicted)["."].ok
    assert read_record(predicted)["stages"]["domains"]["settings"]["section"] == read_record(finished)["section"]


def test_the_domains_are_better_than_one_label_for_all(predicted, another):
    from sklearn.metrics import adjusted_rand_score

    truth = pd.read_csv(another / "truth.csv").set_index("barcode")["domain"]
    table = pd.read_csv(predicted / "domains.csv").set_index("barcode")
    assert adjusted_rand_score(truth.loc[table.index], table["likeliest"]) > 0.3


def test_a_result_without_a_picture_cannot_teach(tmp_path, vendor, another):
    spots = hs.read_section(vendor).spots
    spots.write_h5ad(tmp_path / "spots.h5ad")
    hs.find_domains(tmp_path / "spots.h5ad", out=tmp_path / "r", n_domains=2)
    with pytest.raises(InputError, match="without a picture"):
        transfer(another, result=tmp_path / "r", out=tmp_path / "t")
    assert not (tmp_path / "t").exists()


def test_another_encoder_is_refused(finished, another, tmp_path, monkeypatch):
    card = tmp_path / "card.toml"
    card.write_text('like = "morphology"\nname = "another"\n')
    with pytest.raises(ConfigError, match="not that of the result"):
        transfer(another, result=finished, out=tmp_path / "t", encoder=str(card))
    assert RunConfig().encoder != "another"


def test_a_card_that_a_received_result_names_is_not_followed(finished, another, tmp_path, monkeypatch):
    (tmp_path / "evil.toml").write_text('like = "morphology"\n')
    record = read_record(finished)
    record["stages"]["embed"]["settings"]["encoder"]["name"] = str(tmp_path / "evil.toml")
    monkeypatch.setattr("histoscribe.run.section.transfer.read_record", lambda folder: record)
    with pytest.raises(ConfigError, match=r"no encoder called(.|\n)*--encoder"):
        transfer(another, result=finished, out=tmp_path / "t")


def test_the_slides_of_a_sheet_are_labelled_one_by_one(finished, another, tmp_path, capsys):
    picture = next(another.glob("*.tif"))
    rows = ["section,path", f"A,{another}", f"B,{picture}", f"C,{another / 'absent'}"]
    (tmp_path / "sheet.csv").write_text("\n".join(rows) + "\n")
    with pytest.raises(SystemExit) as ended:
        cli.main(["domains", str(tmp_path / "sheet.csv"), "--transfer", str(finished), "--out", str(tmp_path / "t")])
    assert ended.value.code == 3
    out = capsys.readouterr().out
    assert "no such file" in out
    for name in ("A", "B"):
        assert hs.verify(tmp_path / "t" / name)["."].ok
        assert (tmp_path / "t" / name / "report.html").is_file()


def test_a_transferred_result_can_be_scored(predicted, another):
    scores = hs.score_domains(predicted, labels=another / "truth.csv")
    assert scores["ari"]["score"] > 0.3
    assert scores["scored"] == len(pd.read_csv(predicted / "domains.csv"))


def test_the_tiles_get_the_colours_that_the_other_sections_had(vendor, another, tmp_path):
    config = RunConfig("morphology", n_domains=3, stain="reinhard", stain_reference=str(another))
    hs.run_sections(vendor, out=tmp_path / "r", config=config)
    (outcome,) = transfer(another, result=tmp_path / "r", out=tmp_path / "t")
    stain = read_record(outcome.folder)["stages"]["embed"]["settings"]["stain"]
    assert stain == read_record(tmp_path / "r")["stages"]["embed"]["settings"]["stain"]
    assert stain["normaliser"]["method"] == "reinhard"


@pytest.mark.parametrize("missing", ["embed", "domains"])
def test_a_result_that_does_not_say_how_it_was_made_cannot_teach(finished, another, tmp_path, monkeypatch, missing):
    record = read_record(finished)
    del record["stages"][missing]
    monkeypatch.setattr("histoscribe.run.section.transfer.read_record", lambda folder: record)
    with pytest.raises(InputError, match="nothing to be learnt"):
        transfer(another, result=finished, out=tmp_path / "t")


def test_a_slide_on_which_nothing_is_known_has_a_result_that_says_so(finished, another, tmp_path, monkeypatch):
    real = fit_transfer
    monkeypatch.setattr(
        "histoscribe.run.section.transfer.fit_transfer", lambda *a, **k: real(*a, **k, min_confidence=1.0)
    )
    (outcome,) = transfer(another, result=finished, out=tmp_path / "t")
    assert outcome.n_domains == 0
    assert pd.read_csv(tmp_path / "t" / "domains.csv")["domain"].isna().all()
    assert "transferred by their appearance" in (tmp_path / "t" / "report.html").read_text()


def test_an_anonymous_transfer_does_not_name_the_stain_reference(vendor, another, tmp_path):
    reference = tmp_path / "SMITH_JOHN"
    shutil.copytree(another, reference)
    config = RunConfig("morphology", n_domains=3, stain="reinhard", stain_reference=str(reference))
    hs.run_sections(vendor, out=tmp_path / "hidden", config=config.updated(anonymous=True))
    hs.run_sections(vendor, out=tmp_path / "r", config=config)
    transfer(another, result=tmp_path / "r", out=tmp_path / "t", reading=ReadOptions(anonymous=True))
    assert "SMITH" in (tmp_path / "r" / "run.json").read_text()
    for folder in ("hidden", "t"):
        assert not [path for path in (tmp_path / folder).rglob("*") if path.is_file() and b"SMITH" in path.read_bytes()]
