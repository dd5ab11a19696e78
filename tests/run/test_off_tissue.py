"""Spots off the tissue, the background and places of spots: treated as asked, recorded, and alike on a new slide."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from histoscribe.errors import ConfigError, HistoscribeError, InputError
from histoscribe.io import read_section
from histoscribe.predict.heads.mean import MeanHead
from histoscribe.run.cohort import predict as predicting
from histoscribe.run.cohort.evaluate import evaluate
from histoscribe.run.cohort.files import read_files
from histoscribe.run.cohort.fit import fit
from histoscribe.run.cohort.model import read_model
from histoscribe.run.cohort.options import PredictOptions
from histoscribe.run.cohort.predict import predict
from histoscribe.run.requests import requests_of
from histoscribe.slide.tissue import tissue_mask

OPTIONS = PredictOptions(heads=("mean",), encoders=("morphology",), tile_um=(112.0,), n_genes=8)
OFF = 4  # spots that are put on glass, the first of each section


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Three sections of three patients, each with four spots on glass, at the picture's corners."""
    from histoscribe.phantom import cohort, make_phantom, write_spaceranger

    folder = tmp_path_factory.mktemp("cohort")
    rows = []
    for phantom in cohort(3, like=make_phantom(0, size_um=800.0, mpp=2.0, n_domains=3, n_genes=40)):
        write_spaceranger(phantom, folder / phantom.name)
        picture = folder / phantom.name / f"{phantom.name}.tif"
        section = read_section(folder / phantom.name, image=picture)
        spots = section.spots.copy()
        mask = tissue_mask(section.image)
        spots = spots[mask.at(spots.obsm["spatial"])].copy()
        side = section.image.width
        spots.obsm["spatial"][:OFF] = [[8, 8], [side - 8, 8], [8, side - 8], [side - 8, side - 8]]
        spots.write_h5ad(folder / f"{phantom.name}.h5ad")
        row = {"section": phantom.name, "patient": phantom.patient_name, "path": f"{phantom.name}.h5ad"}
        rows.append(row | {"image": f"{phantom.name}/{phantom.name}.tif", "mpp": section.mpp})
    pd.DataFrame(rows).to_csv(folder / "sheet.csv", index=False)
    return folder


@pytest.fixture(autouse=True)
def without_figures(monkeypatch):
    """Leave the figures of the page out: they take longer than everything else."""
    monkeypatch.setattr("histoscribe.report.evaluation.draw_evaluation", lambda contents: [])


def n_spots(cohort, name):
    return ad.read_h5ad(cohort / f"{name}.h5ad").n_obs


def row_of(cohort, folder, name):
    """A sheet of one section."""
    table = pd.read_csv(cohort / "sheet.csv", dtype=str)
    for column in ("path", "image"):
        table[column] = [str(cohort / path) for path in table[column]]
    table[table["section"] == name].to_csv(folder / "one.csv", index=False)
    return folder / "one.csv"


def test_dropped_spots_take_no_part_and_are_counted(cohort, tmp_path):
    found = evaluate(cohort / "sheet.csv", out=tmp_path / "r", options=OPTIONS.updated(off_tissue="drop"))
    n = n_spots(cohort, "P0S0")
    table = ad.read_h5ad(tmp_path / "r" / "predictions" / "P0S0.h5ad")
    assert list(table.obs_names) == [str(k) for k in range(OFF, n)]  # numbers of the rows in the file
    assert found.scores["heads"]["mean"]["sections"]["P0S0"]["n_spots"] == n - OFF
    said = f"P0S0: {OFF} of {n} spots lie off the tissue of the picture and are left out"
    assert said in found.notes
    assert said in (tmp_path / "r" / "report.html").read_text()
    (record, *_) = json.loads((tmp_path / "r" / "run.json").read_text())["inputs"]
    assert record["off_tissue"] == {"rule": "drop", "spots": n, "off": OFF}
    audit = json.loads((tmp_path / "r" / "audit.json").read_text())
    (noted,) = [entry for entry in audit["folds"]["P1"]["fitted"] if entry["part"] == "mean"]
    rows = [seen["rows"] for seen in noted["fitted_on"]]
    assert rows == [n_spots(cohort, name) - OFF for name in ("P0S0", "P2S0")]


def test_flagged_spots_are_kept_and_marked(cohort, tmp_path):
    plain = evaluate(cohort / "sheet.csv", out=tmp_path / "p", options=OPTIONS)
    found = evaluate(cohort / "sheet.csv", out=tmp_path / "r", options=OPTIONS.updated(off_tissue="flag"))
    table = ad.read_h5ad(tmp_path / "r" / "predictions" / "P0S0.h5ad")
    assert np.flatnonzero(table.obs["off_tissue"]).tolist() == list(range(OFF))
    assert found.scores == plain.scores
    assert not any("tissue" in note for note in plain.notes)
    assert "off_tissue" not in ad.read_h5ad(tmp_path / "p" / "predictions" / "P0S0.h5ad").obs


def test_blocks_of_a_section_keep_the_numbers_of_their_rows(cohort, tmp_path):
    options = OPTIONS.updated(off_tissue="drop", by="blocks")
    evaluate(row_of(cohort, tmp_path, "P0S0"), out=tmp_path / "r", options=options)
    rows = [
        int(name)
        for path in sorted((tmp_path / "r" / "predictions").iterdir())
        for name in ad.read_h5ad(path).obs_names
    ]
    assert sorted(rows) == list(range(OFF, n_spots(cohort, "P0S0")))


def test_a_model_predicts_nothing_off_the_tissue_where_it_learnt_nothing_there(cohort, tmp_path):
    fit(cohort / "sheet.csv", out=tmp_path / "m", head="mean", options=OPTIONS.updated(off_tissue="drop"))
    assert "are left out" in (tmp_path / "m" / "MODEL_CARD.md").read_text()
    assert sum(read_model(tmp_path / "m").facts["n_spots"].values()) == sum(
        n_spots(cohort, name) - OFF for name in ("P0S0", "P1S0", "P2S0")
    )
    table = predict(tmp_path / "m", row_of(cohort, tmp_path, "P1S0"), out=tmp_path / "p")["P1S0"].table
    assert np.flatnonzero(np.isnan(table.X).all(axis=1)).tolist() == list(range(OFF))
    assert np.flatnonzero(table.obs["off_tissue"]).tolist() == list(range(OFF))
    assert np.isfinite(table.layers["upper"][OFF:]).all()
    assert f"{OFF} of {table.n_obs} spots lie off the tissue" in (tmp_path / "p" / "P1S0" / "report.html").read_text()


def test_a_section_without_a_spot_on_tissue_is_refused(cohort, tmp_path):
    spots = ad.read_h5ad(cohort / "P0S0.h5ad")
    sheet = row_of(cohort, tmp_path, "P0S0")
    spots[:OFF].copy().write_h5ad(tmp_path / "off.h5ad")
    table = pd.read_csv(sheet, dtype=str).assign(path=str(tmp_path / "off.h5ad"))
    table.to_csv(sheet, index=False)
    with pytest.raises(InputError, match="tissue"):
        evaluate(sheet, out=tmp_path / "r", options=OPTIONS.updated(off_tissue="drop", by="blocks"))


@pytest.fixture
def encoded(monkeypatch):
    """Tiles that the encoder was given, a list of batches."""
    from histoscribe.encoders.morphology import MorphologyEncoder

    given, honest = [], MorphologyEncoder.encode
    monkeypatch.setattr(MorphologyEncoder, "encode", lambda self, tiles: given.append(tiles) or honest(self, tiles))
    return given


class SeenEnough(HistoscribeError):
    """Ends a prediction where the slide was seen; the files of a result are other tests' work."""


@pytest.fixture
def seen_slide(monkeypatch):
    """What a model sees of a slide, in a list; the prediction goes no further."""
    slides = []

    def seen_only(model, seen, section, **options):
        slides.append(seen)
        raise SeenEnough("enough")

    monkeypatch.setattr(predicting, "predict_slide", seen_only)
    return slides


def n_blank(batches):
    return sum(int((tile == 255).all()) for tiles in batches for tile in tiles)


def test_a_white_background_is_seen_by_encoders_and_heads_in_training_and_on_a_new_slide(
    cohort, tmp_path, encoded, seen_slide, monkeypatch
):
    monkeypatch.setattr(MeanHead, "takes", "tiles")  # it learns nothing from them, and takes no time
    options = OPTIONS.updated(background="white", pixel_px=30, pixel_tile_um=30.0)
    fit(cohort / "sheet.csv", out=tmp_path / "m", head="mean", options=options)
    assert n_blank(encoded) == 3 * OFF
    model = read_model(tmp_path / "m")
    assert model.options.background == "white"
    (noted,) = [entry for entry in model.facts["audit"] if entry["part"] == "background"]
    assert noted["method"] == "white"
    assert "white in every tile" in (tmp_path / "m" / "MODEL_CARD.md").read_text()
    encoded.clear()
    predict(tmp_path / "m", row_of(cohort, tmp_path, "P1S0"), out=tmp_path / "p")
    assert n_blank(encoded) == OFF
    assert n_blank([seen_slide[0].observed.tiles[:OFF]]) == OFF


def test_without_a_word_the_background_is_as_scanned(cohort, tmp_path, encoded):
    fit(cohort / "sheet.csv", out=tmp_path / "m", head="mean", options=OPTIONS)
    assert n_blank(encoded) == 0


@pytest.mark.parametrize("given", [{"off_tissue": "hide"}, {"background": "black"}])
def test_what_is_not_known_is_refused(given):
    with pytest.raises(ConfigError, match="there is no"):
        OPTIONS.updated(**given)


@pytest.fixture(scope="module")
def shifted(tmp_path_factory):
    """Two sections of two patients with places that are 60 um beside where they belong."""
    from histoscribe.phantom import cohort, make_phantom, write_spaceranger

    folder = tmp_path_factory.mktemp("shifted")
    rows = []
    for phantom in cohort(2, like=make_phantom(3, size_um=1200.0, mpp=2.0, n_domains=3, n_genes=40)):
        write_spaceranger(phantom, folder / phantom.name)
        section = read_section(folder / phantom.name, image=folder / phantom.name / f"{phantom.name}.tif")
        spots = section.spots.copy()
        spots.obsm["spatial"] = spots.obsm["spatial"] + [30.0, 0.0]
        spots.write_h5ad(folder / f"{phantom.name}.h5ad")
        row = {"section": phantom.name, "patient": phantom.patient_name, "path": f"{phantom.name}.h5ad", "mpp": 2.0}
        rows.append(row | {"image": f"{phantom.name}/{phantom.name}.tif"})
    pd.DataFrame(rows).to_csv(folder / "sheet.csv", index=False)
    return folder


def test_alignment_moves_the_spots_of_each_section_and_of_a_new_slide(shifted, tmp_path, seen_slide):
    options = OPTIONS.updated(align=True)
    plain, moved = (
        [read_files(request, one) for request in requests_of(shifted / "sheet.csv", one)] for one in (OPTIONS, options)
    )
    for before, after in zip(plain, moved, strict=True):
        (shift,) = np.unique((after.xy_um - before.xy_um).round(3), axis=0)
        assert shift[0] < -20
        np.testing.assert_allclose(after.open().xy_um, after.xy_um)
    found = evaluate(shifted / "sheet.csv", out=tmp_path / "r", options=options)
    page = (tmp_path / "r" / "report.html").read_text()
    inputs = {one["section"]: one for one in json.loads((tmp_path / "r" / "run.json").read_text())["inputs"]}
    for name in ("P0S0", "P1S0"):
        (note,) = [note for note in inputs[name]["notes"] if "Moving the spots" in note]
        assert f"{name}: {note}" in found.notes
        assert note in page
    fit(shifted / "sheet.csv", out=tmp_path / "m", head="mean", options=options)
    predict(tmp_path / "m", row_of(shifted, tmp_path, "P1S0"), out=tmp_path / "p")
    np.testing.assert_allclose(seen_slide[0].observed.xy_um, moved[1].xy_um)
