"""Domains are told to another patient's slide from its picture alone, or not told where the model does not know."""

import pandas as pd
import pytest

import histoscribe as hs
from histoscribe import cli
from histoscribe.errors import ConfigError, InputError
from histoscribe.phantom import make_phantom, write_spaceranger
from histoscribe.run.config import RunConfig
from histoscribe.run.transfer import transfer


@pytest.fixture(scope="module")
def another(tmp_path_factory):
    folder = tmp_path_factory.mktemp("another") / "section"
    write_spaceranger(make_phantom(3, size_um=1400.0, mpp=1.0, n_domains=3, patient=1), folder)
    return folder


@pytest.fixture(scope="module")
def told(finished, another, tmp_path_factory):
    out = tmp_path_factory.mktemp("told") / "result"
    with pytest.raises(SystemExit) as ended:
        cli.main(["domains", str(another), "--transfer", str(finished), "--out", str(out)])
    assert ended.value.code == 0
    return out


def test_every_spot_has_a_domain_or_a_reason(told, finished):
    table = pd.read_csv(told / "domains.csv")
    known = set(pd.read_csv(finished / "domains.csv")["domain"])
    assert set(table["domain"].dropna().astype(int)) <= known
    assert (table["domain"].isna() == table["reason"].notna()).all()
    assert table["confidence"].between(0, 1).all()


def test_the_result_is_whole_and_says_what_it_was_trained_on(told):
    from histoscribe.store.result import read_record

    assert hs.verify(told)["."].ok
    assert read_record(told)["trained_on"]["section"]


def test_the_domains_are_better_than_one_label_for_all(told, another):
    from sklearn.metrics import adjusted_rand_score

    truth = pd.read_csv(another / "truth.csv").set_index("barcode")["domain"]
    table = pd.read_csv(told / "domains.csv").set_index("barcode")
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
