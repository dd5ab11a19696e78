"""Evaluate, fit and predict on a small cohort of phantoms: honest, resumable, and clear about what is refused."""

import html
import json
import shutil

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from histoscribe.errors import ConfigError, InputError, ResultError
from histoscribe.run.cohort import folds as fold_stages
from histoscribe.run.cohort import planning, sections
from histoscribe.run.cohort.evaluate import evaluate
from histoscribe.run.cohort.fit import fit
from histoscribe.run.cohort.model import read_model
from histoscribe.run.cohort.options import PredictOptions, read_options
from histoscribe.run.cohort.predict import predict
from histoscribe.store.result import verify_result

TYPES = PredictOptions(heads=("ridge",), encoders=("morphology",), tile_um=(112.0,))
OPTIONS = TYPES.updated(n_genes=8)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Three patients with a section each, with a sheet and tables of abundances."""
    from histoscribe.phantom import cohort, make_phantom, write_spaceranger

    folder = tmp_path_factory.mktemp("cohort")
    rows = ["section,patient,path,image,abundance"]
    for phantom in cohort(3, like=make_phantom(0, size_um=900.0, mpp=2.0, n_domains=3, n_genes=40)):
        write_spaceranger(phantom, folder / phantom.name)
        spots = phantom.spots()
        kinds = pd.DataFrame(np.random.default_rng(0).gamma(1.0, size=(spots.n_obs, 4)), index=spots.obs_names)
        kinds.columns = ["a", "b", "c", "d"]
        kinds.to_csv(folder / f"{phantom.name}.csv", index_label="")
        name = phantom.name
        rows.append(f"{name},{phantom.patient_name},{name},{name}/{name}.tif,{name}.csv")
    (folder / "sheet.csv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def without_page(monkeypatch):
    """Leave the figures out: they take longer than everything else, and other tests look at them."""
    monkeypatch.setattr("histoscribe.run.cohort.evaluation.write_evaluation_page", lambda folder, contents: [])


@pytest.fixture(scope="module")
def evaluated(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("evaluated") / "r"
    return evaluate(cohort / "sheet.csv", out=out, options=OPTIONS)


@pytest.fixture(scope="module")
def model(cohort, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "m"
    fit(cohort / "sheet.csv", out=out, head="ridge", options=OPTIONS)
    return out


def sheet(cohort, tmp_path, change=lambda table: table):
    """The cohort's sheet, changed, in another folder."""
    table = pd.read_csv(cohort / "sheet.csv", dtype=str)
    for column in ("path", "image", "abundance"):
        table[column] = [str(cohort / path) for path in table[column]]
    change(table).to_csv(tmp_path / "sheet.csv", index=False)
    return tmp_path / "sheet.csv"


def test_baselines_stand_beside_every_head(evaluated):
    assert set(evaluated.scores["heads"]) == {"mean", "depth", "ridge"}
    assert evaluated.scores["heads"]["ridge"]["average"]["n_sections"] == 3


def test_the_result_is_whole_and_holds_every_promised_file(evaluated):
    assert verify_result(evaluated.folder).ok
    for name in ("report.html", "scores.json", "audit.json", "predictions/P0S0.h5ad", "figures/ladder.png"):
        assert (evaluated.folder / name).is_file()


def test_sections_lie_less_apart_once_they_are_standardised(evaluated):
    apart = evaluated.scores["apart"]
    encoded, standardised = apart["ways"].values()
    assert (apart["features"], apart["without_depth"]) == ("morphology@112", True)
    assert standardised["share"] < 1e-6 < 0.02 < encoded["share"]
    assert set(encoded["mixing"]) == {"P0S0", "P1S0", "P2S0"}
    assert np.mean(list(standardised["mixing"].values())) > np.mean(list(encoded["mixing"].values()))
    assert "How far the sections lie apart" in (evaluated.folder / "report.html").read_text()
    assert (evaluated.folder / "figures" / "apart.png").is_file()


def test_the_page_says_whether_a_stack_is_worth_it(cohort, tmp_path):
    options = OPTIONS.updated(heads=("ridge", "knn"), stacks=("ridge", "mlp"))
    found = evaluate(cohort / "sheet.csv", out=tmp_path / "r", options=options)
    page, (fold, *_) = (found.folder / "report.html").read_text(), found.scores["folds"]
    for name in ("stack_ridge", "stack_mlp"):
        assert f"{name} is {fold['stack'][name]['note']} beside the plain mean of the heads" in page


def test_predictions_of_a_held_out_section_carry_measurement_interval_and_verdicts(evaluated):
    table = ad.read_h5ad(evaluated.folder / "predictions" / "P0S0.h5ad")
    assert {"measured", "lower", "upper", "head_mean", "head_ridge"} <= set(table.layers)
    assert (table.layers["lower"] <= table.layers["upper"]).all()
    assert set(table.var["verdict"]) <= {"use", "caution", "do not use"}


def test_the_audit_has_no_test_patient_on_the_training_side(evaluated):
    audit = json.loads((evaluated.folder / "audit.json").read_text())
    for fold in audit["folds"].values():
        assert not set(fold["train_patients"]) & set(fold["test_patients"])
        for entry in fold["fitted"]:
            assert not {seen["section"] for seen in entry["fitted_on"]} & set(fold["test"])


def test_the_same_seed_gives_the_same_scores_to_the_byte_on_two_threads(evaluated, cohort, tmp_path, without_page):
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=2):
        evaluate(cohort / "sheet.csv", out=tmp_path / "again", options=OPTIONS)
    for name in ("scores.json", "audit.json", "predictions/P0S0.h5ad"):
        assert (tmp_path / "again" / name).read_bytes() == (evaluated.folder / name).read_bytes()


def test_sections_of_one_patient_are_marked_leaky_everywhere(cohort, tmp_path):
    path = sheet(cohort, tmp_path, lambda table: table.assign(patient="P"))
    found = evaluate(path, out=tmp_path / "r", options=OPTIONS.updated(by="section", heads=("mean",)))
    assert found.scores["warning"].startswith("LEAKY")
    for name in ("audit.json", "scores.json", "report.html"):
        assert "LEAKY" in (found.folder / name).read_text()
    assert "LEAKY" in ad.read_h5ad(found.folder / "predictions" / "P0S0.h5ad").uns["histoscribe"]["warning"]


def test_a_fold_that_fails_does_not_lose_the_finished_ones(cohort, tmp_path, monkeypatch, without_page):
    honest = fold_stages.evaluate_fold

    def failing(sections, fold, settings):
        if fold.name == "P1":
            raise InputError("it cannot be", where="a test", fix="try again")
        return honest(sections, fold, settings)

    monkeypatch.setattr(fold_stages, "evaluate_fold", failing)
    with pytest.raises(InputError, match=r"1 of 3 folds failed \(P1\)(.|\n)*kept"):
        evaluate(cohort / "sheet.csv", out=tmp_path / "r", options=OPTIONS)
    monkeypatch.setattr(fold_stages, "evaluate_fold", honest)
    events = []
    evaluate(cohort / "sheet.csv", out=tmp_path / "r", options=OPTIONS, listen=events.append)
    states = {event["section"]: event["state"] for event in events if "fold" in event.get("stage", "")}
    assert states == {"P0": "reused", "P1": "done", "P2": "reused"}


def test_no_fold_takes_its_colours_from_a_section_that_it_tests(cohort, tmp_path, without_page):
    found = evaluate(
        cohort / "sheet.csv", out=tmp_path / "r", options=OPTIONS.updated(stain="reinhard", heads=("mean",))
    )
    folds = json.loads((found.folder / "audit.json").read_text())["folds"]
    references = {}
    for name, fold in folds.items():
        (entry,) = [entry for entry in fold["fitted"] if entry["part"] == "stain reference"]
        (references[name],) = [seen["section"] for seen in entry["fitted_on"]]
        assert references[name] in fold["train"]
    assert references == {"P0": "P1S0", "P1": "P0S0", "P2": "P0S0"}


def test_a_model_gives_a_new_slide_the_colours_of_its_training(cohort, tmp_path, monkeypatch):
    from histoscribe.encoders.stain import StainReference

    asked = []
    honest = StainReference.on
    monkeypatch.setattr(StainReference, "on", lambda self, section: asked.append(self) or honest(self, section))
    fit(cohort / "sheet.csv", out=tmp_path / "m", head="ridge", options=OPTIONS.updated(stain="reinhard"))
    fitted = asked[-1]
    predict(tmp_path / "m", cohort / "P1S0", out=tmp_path / "p")
    assert asked[-1].section == fitted.section == "P0S0"
    assert np.array_equal(asked[-1].normaliser.reference, fitted.normaliser.reference)


def test_the_blocks_of_one_section_have_one_stain():
    with pytest.raises(ConfigError, match="one stain"):
        OPTIONS.updated(by="blocks", stain="macenko")


def test_one_section_is_divided_into_blocks_and_marked_leaky(cohort, tmp_path, without_page):
    path = sheet(cohort, tmp_path, lambda table: table.head(1))
    found = evaluate(path, out=tmp_path / "r", options=OPTIONS.updated(by="blocks", heads=("mean",)))
    assert found.scores["leaky"]
    assert len(found.scores["folds"]) == 4


def test_cell_types_come_from_the_sheets_tables(cohort, evaluated, tmp_path):
    shutil.copytree(evaluated.folder, tmp_path / "r")  # with its embeddings
    found = evaluate(
        cohort / "sheet.csv", out=tmp_path / "r", target="abundance", options=TYPES.updated(heads=("mean",))
    )
    assert found.scores["main"] == "mean_spot_spearman"
    assert set(found.scores["folds"][0]["targets"]) == {"a", "b", "c", "d"}


def test_a_model_predicts_a_picture_alone(model, cohort, tmp_path):
    found = predict(model, cohort / "P1S0" / "P1S0.tif", out=tmp_path / "p")["P1S0"]
    written = ad.read_h5ad(tmp_path / "p" / "predictions" / "predictions.h5ad")
    assert {"lower", "upper", "share", "share_lower", "share_upper"} <= set(written.layers)
    assert {"verdict", "reason", "skill"} <= set(written.var)
    # nothing was counted on a picture alone
    assert written.obs["molecules"].unique().tolist() == [
        json.loads((model / "model.json").read_text())["evidence"]["molecules"]
    ]
    assert written.obsm["spatial"].shape == (found.table.n_obs, 2)
    assert (written.obs["distance"] > 0).all()
    assert "features are standardised within this slide" in found.remarks[0]
    assert found.advice.startswith(("Use ", "Do not use "))
    assert html.escape(found.advice, quote=False) in (tmp_path / "p" / "report.html").read_text().replace("&#34;", '"')
    assert "features are standardised within this slide" in (tmp_path / "p" / "report.html").read_text().lower()
    assert verify_result(tmp_path / "p").ok


def test_the_predictions_open_as_spatialdata(model, cohort, tmp_path):
    import spatialdata

    from histoscribe.io import read_section

    predict(model, cohort / "P1S0", out=tmp_path / "p")
    table = spatialdata.read_zarr(tmp_path / "p" / "predictions" / "predictions.zarr").tables["table"]
    assert {"lower", "upper"} <= set(table.layers)
    assert "distance" in table.obs
    counted = read_section(cohort / "P1S0", image=cohort / "P1S0" / "P1S0.tif").spots.X.sum(axis=1)
    np.testing.assert_allclose(table.obs["molecules"], np.asarray(counted).ravel())


def test_a_model_is_plain_numbers_and_text(model):
    assert {path.name for path in model.iterdir()} == {
        "model.json",
        "weights.safetensors",
        "cards.json",
        "MODEL_CARD.md",
        "run.json",
        "manifest.json",
    }
    card = (model / "MODEL_CARD.md").read_text()
    assert all(word in card for word in ("Intended use", "P2S0", "BSD-3-Clause", "mean_pearson"))
    assert "standardised within each slide" in card


def test_another_encoder_is_refused(model, cohort, tmp_path):
    card = tmp_path / "other.toml"
    card.write_text('like = "morphology"\nname = "other"\n')
    with pytest.raises(ConfigError, match=r"another encoder(.|\n)*morphology"):
        predict(model, cohort / "P1S0", out=tmp_path / "p", encoders=[str(card)])


def card(folder, **differs):
    """The card of one more encoder, which needs no weights either."""
    lines = {"like": "morphology", "name": "second"} | differs
    (folder / "second.toml").write_text("\n".join(f"{key} = {json.dumps(value)}" for key, value in lines.items()))
    return str(folder / "second.toml")


@pytest.fixture(scope="module")
def of_two(cohort, tmp_path_factory):
    """A model of two encoders."""
    folder = tmp_path_factory.mktemp("of_two")
    together = OPTIONS.updated(encoders=("morphology", card(folder)))
    fit(cohort / "sheet.csv", out=folder / "m", head="ridge", options=together)
    return folder / "m"


def test_a_model_of_two_encoders_keeps_both_and_predicts_with_both(of_two, cohort, tmp_path):
    fitted = read_model(of_two)
    assert [card["name"] for card in fitted.facts["encoders"]] == ["morphology", "second"]
    assert {"morphology@112", "second@112"} <= set(fitted.head.front_.widths)
    found = predict(of_two, cohort / "P1S0", out=tmp_path / "p", encoders=[card(tmp_path)])
    assert np.isfinite(found["P1S0"].table.X).all()


def test_a_model_asks_for_the_card_that_is_not_built_in(of_two, cohort, tmp_path):
    with pytest.raises(ConfigError, match="no encoder called 'second'"):
        predict(of_two, cohort / "P1S0", out=tmp_path / "p")


def test_an_encoder_whose_card_differs_is_refused_among_several(of_two, cohort, tmp_path):
    other = card(tmp_path, input_px=96)
    with pytest.raises(ConfigError, match=r"another encoder(.|\n)*input_px 128(.|\n)*input_px 96"):
        predict(of_two, cohort / "P1S0", out=tmp_path / "p", encoders=[other])


def test_one_more_encoder_leaves_the_work_of_the_others_as_it_is(cohort, evaluated, tmp_path, without_page):
    shutil.copytree(evaluated.folder, tmp_path / "r")
    events = []
    together = OPTIONS.updated(encoders=("morphology", card(tmp_path)), heads=("mean",))
    evaluate(cohort / "sheet.csv", out=tmp_path / "r", options=together, listen=events.append)
    embedded = {event["stage"] for event in events if event.get("state") == "done" and "embed" in event["stage"]}
    assert embedded == {"embed 112 um (second)", *(f"embed P{k}S0@second" for k in range(3))}
    assert set(json.loads((tmp_path / "r" / "run.json").read_text())["encoder"]) == {"morphology", "second"}


def test_two_encoders_of_one_name_are_refused(cohort, tmp_path):
    (tmp_path / "same.toml").write_text('like = "morphology"\nname = "morphology"\n')
    with pytest.raises(ConfigError, match="two encoders bear one name"):
        evaluate(cohort / "sheet.csv", out=tmp_path / "r", encoders=["morphology", tmp_path / "same.toml"])


def test_a_slide_at_another_scale_is_refused(model, cohort, tmp_path):
    with pytest.raises(InputError, match=r"another scale(.|\n)*um/px"):
        predict(model, cohort / "P1S0" / "P1S0.tif", out=tmp_path / "p", mpp=4.0)


def test_a_damaged_model_is_refused(model, cohort, tmp_path):
    shutil.copytree(model, tmp_path / "m")
    weights = tmp_path / "m" / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(ResultError, match=r"damaged"):
        predict(tmp_path / "m", cohort / "P1S0", out=tmp_path / "p")


def test_a_result_is_not_taken_for_a_model(evaluated, cohort, tmp_path):
    with pytest.raises(ResultError, match="no model"):
        predict(evaluated.folder, cohort / "P1S0", out=tmp_path / "p")


def test_a_single_patient_is_refused(cohort, tmp_path):
    path = sheet(cohort, tmp_path, lambda table: table.assign(patient="P"))
    with pytest.raises(InputError, match=r"one patient(.|\n)*LEAKY"):
        evaluate(path, out=tmp_path / "r", options=OPTIONS)
    assert not (tmp_path / "r").exists()


def test_a_plan_with_a_patient_on_both_sides_is_not_carried_out(cohort, tmp_path, monkeypatch):
    from histoscribe.predict.splits import Fold

    leak = [Fold("P0", ("P0S0", "P1S0"), ("P2S0",), "patient", leaky=False)]
    monkeypatch.setattr(planning, "outer_folds", lambda sections, by: leak)
    path = sheet(cohort, tmp_path, lambda table: table.assign(patient=["P0", "P1", "P0"]))
    with pytest.raises(InputError, match=r"a patient is on both sides(.|\n)*P0"):
        evaluate(path, out=tmp_path / "r", options=OPTIONS)
    assert not (tmp_path / "r").exists()


def test_unknown_patients_are_refused_until_sections_are_asked_for(cohort, tmp_path):
    path = sheet(cohort, tmp_path, lambda table: table.drop(columns="patient"))
    with pytest.raises(InputError, match="patient of 3 of 3 sections is not known"):
        evaluate(path, out=tmp_path / "r", options=OPTIONS)


def test_an_unknown_head_is_refused_with_what_is_near(cohort, tmp_path):
    with pytest.raises(ConfigError, match=r"no head called 'rigde'(.|\n)*ridge"):
        evaluate(cohort / "sheet.csv", out=tmp_path / "r", heads=("rigde",), options=OPTIONS)


def test_abundances_of_other_spots_are_refused(cohort, tmp_path):
    def swapped(table):
        table["abundance"] = table["abundance"].to_numpy()[[1, 2, 0]]
        return table

    with pytest.raises(InputError, match=r"spots of section 'P0S0' have no abundances"):
        evaluate(sheet(cohort, tmp_path, swapped), out=tmp_path / "r", target="abundance", options=TYPES)


def test_a_sheet_without_abundances_is_refused_for_cell_types(cohort, tmp_path):
    path = sheet(cohort, tmp_path, lambda table: table.drop(columns="abundance"))
    with pytest.raises(InputError, match="no table of cell types"):
        evaluate(path, out=tmp_path / "r", target="abundance", options=TYPES)


def test_a_section_without_an_image_is_refused(tmp_path):
    rng = np.random.default_rng(0)
    rows = ["section,patient,path"]
    for name in ("A", "B"):
        spots = ad.AnnData(rng.poisson(3.0, (40, 3)).astype(np.float32))
        spots.obsm["spatial"] = rng.uniform(0, 1000, (40, 2))
        spots.write_h5ad(tmp_path / f"{name}.h5ad")
        rows.append(f"{name},P{name},{name}.h5ad")
    (tmp_path / "sheet.csv").write_text("\n".join(rows))
    with pytest.raises(InputError, match="no image"):
        evaluate(tmp_path / "sheet.csv", out=tmp_path / "r", options=OPTIONS)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (np.log1p, "not whole numbers"),
        (lambda counts: counts * 0 + 3.0, "one value in all spots"),
    ],
)
def test_counts_that_teach_nothing_are_refused(cohort, tmp_path, change, words):
    from histoscribe.io import read_section

    def changed(table):
        for row, name in enumerate(table["section"]):
            section = read_section(cohort / name, image=cohort / name / f"{name}.tif")
            counts = change(section.spots.X.toarray().astype(np.float64))
            frame = pd.DataFrame(counts, index=section.spots.obs_names, columns=section.spots.var_names)
            frame.to_csv(tmp_path / f"{name}_counts.csv")
            table.loc[row, "counts"] = str(tmp_path / f"{name}_counts.csv")
            table.loc[row, "spots"] = str(tmp_path / f"{name}_spots.csv")
            table.loc[row, "mpp"] = str(section.mpp)
            places = pd.DataFrame(section.xy_px, columns=["x", "y"], index=section.spots.obs_names)
            places.to_csv(tmp_path / f"{name}_spots.csv", index_label="barcode")
        return table.drop(columns=["path"])

    with pytest.raises(InputError, match=words):
        evaluate(sheet(cohort, tmp_path, changed), out=tmp_path / "r", options=OPTIONS)


def test_sections_scanned_at_different_scales_are_refused_with_the_way_out(cohort, tmp_path, monkeypatch):
    honest = sections.read_files

    def coarse(request, options, **given):
        from dataclasses import replace

        files = honest(request, options, **given)
        return replace(files, mpp=8.0) if files.name == "P1S0" else files

    monkeypatch.setattr(sections, "read_files", coarse)
    with pytest.raises(InputError, match=r"different scales(.|\n)*--mpp 8"):
        evaluate(cohort / "sheet.csv", out=tmp_path / "r", options=OPTIONS)


def test_options_are_read_from_toml_and_wrong_ones_named(tmp_path):
    (tmp_path / "o.toml").write_text('heads = ["knn"]\ntile_um = [80, 160]\n[head_options.knn]\ncomponents = 8\n')
    options = read_options(tmp_path / "o.toml")
    assert (options.heads, options.tile_um, options.head_options) == (("knn",), (80, 160), {"knn": {"components": 8}})
    (tmp_path / "o.toml").write_text("hedas = 3\nseed = 'x'\n")
    with pytest.raises(ConfigError, match=r"'hedas' is not a setting(.|\n)*not of the right kind"):
        read_options(tmp_path / "o.toml")


def test_genes_of_a_file_are_predicted_in_its_order(cohort, tmp_path):
    names = sorted(pd.read_csv(cohort / "P0S0" / "truth.csv").columns)  # no genes: the file is refused by name
    (tmp_path / "genes.txt").write_text("\n".join(names))
    with pytest.raises(InputError, match="genes of the list"):
        evaluate(cohort / "sheet.csv", out=tmp_path / "r", options=OPTIONS.updated(genes=str(tmp_path / "genes.txt")))


@pytest.fixture(scope="module")
def challenge(tmp_path_factory):
    """A file of the challenge's layout: two training slides, one to predict."""
    from histoscribe.phantom import cohort, make_phantom, write_challenge_h5

    like = make_phantom(0, size_um=900.0, mpp=2.0, n_domains=3, n_genes=40)
    return write_challenge_h5(list(cohort(3, like=like)), tmp_path_factory.mktemp("challenge") / "c.h5", n_test=1)


def test_the_challenge_does_not_say_its_patients(challenge, tmp_path):
    with pytest.raises(InputError, match="patient of 2 of 2"):
        evaluate(challenge, out=tmp_path / "r", options=TYPES.updated(target="abundance"))


SMALL = {"multiscale_pixels": {"tile_px": 30, "width": 4, "epochs": 1}}
SUBMITTED = {
    "plain": {"heads": ("ridge",)},
    "ensemble": {"heads": ("ridge",), "ensemble": "folds", "by": "section"},
    "stack": {
        "heads": ("stack",),
        "head_options": {"stack": {"heads": ["ridge", "multiscale_pixels"], "options": SMALL}},
        "pixel_px": 30,
    },
}


@pytest.mark.parametrize("kind", SUBMITTED)
def test_the_challenges_path_ends_in_a_file_to_submit(kind, challenge, tmp_path):
    fit(challenge, out=tmp_path / "m", options=TYPES.updated(target="abundance", **SUBMITTED[kind]))
    found = predict(tmp_path / "m", challenge, out=tmp_path / "p")
    table = pd.read_csv(tmp_path / "p" / "predictions" / "predictions.csv")
    assert list(table) == ["ID", *(f"C{k}" for k in range(1, 36))]
    assert table["ID"].tolist() == list(range(len(table)))
    (slide,) = found.values()
    np.testing.assert_allclose(table.drop(columns="ID"), slide.table.X, rtol=1e-5)
    # better than one constant ranking of all types, on a slide that is not in the training
    truth = pd.read_csv(challenge.with_name("c_truth.csv"))[list(table)[1:]]
    assert table.drop(columns="ID").corrwith(truth, axis=1, method="spearman").mean() > 0.3


def test_an_ensemble_says_which_folds_it_has_and_is_read_back(cohort, tmp_path):
    fitted = fit(cohort / "sheet.csv", out=tmp_path / "m", options=OPTIONS.updated(ensemble="folds"))
    assert fitted.facts["ensemble"]["P1"] == {"train": ["P0S0", "P2S0"], "held_out": ["P1S0"]}
    assert (fitted.facts["inner"]["groups"], fitted.facts["inner"]["warning"]) == ("patient", None)
    parts = {entry["part"] for entry in fitted.facts["audit"]}
    assert parts >= {"ridge without P0", "ridge without P1", "ridge without P2"}
    card = (tmp_path / "m" / "MODEL_CARD.md").read_text()
    assert card.startswith("# ridge, the mean of 3 members for 8 genes")
    assert "without one of the following: P0, P1, P2" in card
    slide = predict(tmp_path / "m", cohort / "P1S0", out=tmp_path / "p")["P1S0"].table
    assert len(fitted.head.members_) == 3
    assert np.isfinite(slide.X).all()
    assert slide.uns["histoscribe_prediction"]["head"] == "ridge, the mean of 3 members"


def test_an_ensemble_by_section_of_one_patient_is_marked_leaky(cohort, tmp_path):
    path = sheet(cohort, tmp_path, lambda table: table.assign(patient="P"))
    fitted = fit(path, out=tmp_path / "m", options=OPTIONS.updated(ensemble="folds", by="section", heads=("mean",)))
    assert fitted.facts["inner"]["warning"].startswith("LEAKY")
    assert "ONE PATIENT" in (tmp_path / "m" / "MODEL_CARD.md").read_text()
    assert "eight breast-cancer patients" in fitted.facts["evidence"]["prior"]
    assert {card["verdict"] for card in fitted.cards} <= {"caution", "do not use"}


def test_a_model_whose_intervals_did_not_know_of_depth_is_refused_with_what_to_do(model, tmp_path):
    from histoscribe.store.manifest import describe, read_manifest, write_manifest

    old = shutil.copytree(model, tmp_path / "m")
    facts = json.loads((old / "model.json").read_text()) | {"format": 3}
    (old / "model.json").write_text(json.dumps(facts))
    write_manifest(old, {name: describe(old, name) for name in read_manifest(old)["files"]})
    with pytest.raises(ResultError, match=r"another version(.|\n)*format 4(.|\n)*format 3(.|\n)*histoscribe fit"):
        read_model(old)


@pytest.mark.parametrize("molecules", [0, -5, float("nan")])
def test_a_spot_with_no_molecules_cannot_be_asked_for(molecules, model, cohort, tmp_path):
    with pytest.raises(ConfigError, match="at least one molecule"):
        predict(model, cohort / "P1S0", out=tmp_path / "p", molecules=molecules)


@pytest.mark.parametrize(
    ("work", "given", "words"),
    [
        (fit, {"by": "section"}, "no use for by"),
        (evaluate, {"ensemble": "folds"}, "no use for ensemble"),
    ],
)
def test_folds_are_of_an_ensemble_alone(work, given, words, cohort, tmp_path):
    with pytest.raises(ConfigError, match=words):
        work(cohort / "sheet.csv", out=tmp_path / "r", options=OPTIONS.updated(**given))
