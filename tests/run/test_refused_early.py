"""What settings, sections and counts decide is refused before the first tile is embedded."""

from dataclasses import replace

import anndata as ad
import numpy as np
import pandas as pd
import pytest

from histoscribe.errors import HistoscribeError
from histoscribe.predict.data import Observed
from histoscribe.run.cohort.evaluate import evaluate
from histoscribe.run.cohort.files import read_files
from histoscribe.run.cohort.fit import fit
from histoscribe.run.cohort.options import PredictOptions
from histoscribe.run.cohort.planning import plan_folds, rehearse, whole
from histoscribe.run.cohort.predict import predict
from histoscribe.run.cohort.sections import read_sections
from histoscribe.run.requests import requests_of

OPTIONS = PredictOptions(heads=("ridge",), encoders=("morphology",), tile_um=(112.0,), n_genes=5)


@pytest.fixture(autouse=True)
def no_tile_is_embedded(monkeypatch):
    """Fail the test where an encoder is called."""

    def called(*_):
        pytest.fail("a tile was embedded")

    monkeypatch.setattr("histoscribe.encoders.morphology.MorphologyEncoder.encode", called)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Three sections of three patients, with abundances, and a sheet of them."""
    from histoscribe.phantom import cohort, make_phantom, write_spaceranger

    folder = tmp_path_factory.mktemp("cohort")
    rows = []
    for phantom in cohort(3, like=make_phantom(0, size_um=700.0, mpp=2.0, n_domains=3, n_genes=40)):
        write_spaceranger(phantom, folder / phantom.name)
        names = phantom.spots().obs_names
        kinds = np.random.default_rng(0).gamma(1.0, size=(len(names), 3))
        pd.DataFrame(kinds, names, ["a", "b", "c"]).to_csv(folder / f"{phantom.name}.csv", index_label="")
        rows.append({"section": phantom.name, "patient": phantom.patient_name, "path": phantom.name})
    table = pd.DataFrame(rows)
    table["image"] = [f"{name}/{name}.tif" for name in table["section"]]
    table["abundance"] = [f"{name}.csv" for name in table["section"]]
    table.to_csv(folder / "sheet.csv", index=False)
    table.head(1).to_csv(folder / "one.csv", index=False)
    return folder


WITHOUT_WORK = {
    "unknown option": ({"head_options": {"ridge": {"componets": 3}}}, "has no option 'componets'(.|\\n)*components"),
    "wrong value": ({"head_options": {"ridge": {"components": 0}}}, "at least one component"),
    "wrong kind": ({"head_options": {"ridge": {"components": "many"}}}, "not of the right kind(.|\\n)*a whole number"),
    "wrong kind in a list": ({"head_options": {"ridge": {"strengths": ["much"]}}}, "list of a number"),
    "number of genes": ({"n_genes": 0}, "at least one gene"),
    "file of genes": ({"genes": "nowhere.txt"}, "file that can be read"),
    "scale of the genes": ({"scale": "log2"}, "no such scale"),
    "common scale": ({"mpp": 1.0}, "coarser than the scale"),
}


@pytest.mark.parametrize("wrong", WITHOUT_WORK)
@pytest.mark.parametrize("work", [evaluate, fit])
def test_wrong_settings_are_refused(wrong, work, cohort, tmp_path):
    changed, words = WITHOUT_WORK[wrong]
    with pytest.raises(HistoscribeError, match=words):
        work(cohort / "sheet.csv", out=tmp_path / "r", options=OPTIONS.updated(**changed))
    assert not (tmp_path / "r").exists()


HEADS = {
    "course of a network": ("multiscale", {"learning_rate": -1.0}, "cannot be trained so"),
    "rate of mlp": ("mlp", {"learning_rate": 0.0}, "positive learning rate"),
    "device": ("finetune", {"device": "abacus"}, "there is no device 'abacus'"),
    "backbone": ("finetune", {"backbone": "nonet_b0"}, "timm cannot make"),
    "card of a backbone": ("finetune", {"backbone": "nowhere.toml"}, "nowhere"),
    "one member": ("stack", {"heads": ["ridge"]}, "cannot be stacked"),
    "unknown member": ("stack", {"heads": ["ridge", "knm"]}, "no head called 'knm'"),
    "option of a member": ("stack", {"heads": ["ridge", "knn"], "options": {"knn": {"q": 1}}}, "no option 'q'"),
    "kind of a member's option": (
        "stack",
        {"heads": ["ridge", "knn"], "options": {"knn": {"k": "few"}}},
        "not of the right kind",
    ),
    "backbone of a member": (
        "stack",
        {"heads": ["ridge", "finetune"], "options": {"finetune": {"backbone": "nonet"}}},
        "timm cannot make",
    ),
    "stack of no kind": ("stack", {"stack": "forest"}, "no stack 'forest'"),
}


@pytest.mark.parametrize("wrong", HEADS)
@pytest.mark.parametrize("work", [evaluate, fit])
def test_heads_that_cannot_be_are_refused(wrong, work, cohort, tmp_path):
    head, given, words = HEADS[wrong]
    with pytest.raises(HistoscribeError, match=words):
        work(
            cohort / "sheet.csv", out=tmp_path / "r", options=OPTIONS.updated(heads=(head,), head_options={head: given})
        )


def test_a_single_head_is_not_stacked(cohort, tmp_path):
    with pytest.raises(HistoscribeError, match=r"no use for stacks(.|\n)*single head"):
        evaluate(cohort / "sheet.csv", out=tmp_path / "r", options=OPTIONS.updated(stacks=("mlp",)))
    replace(OPTIONS, stacks=()).refuse_unused(command="evaluate")  # asks for none


def test_too_few_sections_are_refused(cohort, tmp_path):
    with pytest.raises(HistoscribeError, match="one patient"):
        evaluate(cohort / "one.csv", out=tmp_path / "r", options=OPTIONS)


@pytest.mark.parametrize("work", [evaluate, fit])
def test_genes_that_a_section_lacks_are_refused(work, cohort, tmp_path):
    (tmp_path / "genes.txt").write_text("NOGENE\n")
    with pytest.raises(HistoscribeError, match="1 of 1 genes of the list"):
        work(cohort / "sheet.csv", out=tmp_path / "r", options=OPTIONS.updated(genes=str(tmp_path / "genes.txt")))


def tables(cohort, folder, change):
    """A sheet of AnnData files of the cohort's sections, changed one by one."""
    from histoscribe.io import read_section

    sheet = pd.read_csv(cohort / "sheet.csv", dtype=str)
    for number, name in enumerate(sheet["section"]):
        section = read_section(cohort / name, image=cohort / name / f"{name}.tif")
        change(number, section.spots).write_h5ad(folder / f"{name}.h5ad")
        sheet.loc[number, ["path", "mpp"]] = [f"{name}.h5ad", str(section.mpp)]
        sheet.loc[number, ["image", "abundance"]] = [str(cohort / name / f"{name}.tif"), str(cohort / f"{name}.csv")]
    sheet.to_csv(folder / "sheet.csv", index=False)
    return folder / "sheet.csv"


@pytest.mark.parametrize("work", [evaluate, fit])
def test_sections_that_share_no_genes_are_refused(work, cohort, tmp_path):
    def renamed(number, spots):
        spots.var_names = [f"S{number}_{gene}" for gene in spots.var_names]
        return spots

    with pytest.raises(HistoscribeError, match="share no genes"):
        work(tables(cohort, tmp_path, renamed), out=tmp_path / "r", options=OPTIONS)


@pytest.mark.parametrize("work", [evaluate, fit])
def test_one_section_with_genes_written_in_other_capitals_is_refused(work, cohort, tmp_path):
    def lowered(number, spots):
        spots.var_names = [gene.lower() if number == 2 else gene.upper() for gene in spots.var_names]
        return spots

    with pytest.raises(HistoscribeError, match=r"share no genes(.|\n)*capitals"):
        work(tables(cohort, tmp_path, lowered), out=tmp_path / "r", options=OPTIONS)


def test_genes_that_one_section_lacks_are_noted(cohort, tmp_path):
    def cut(number, spots):
        return spots[:, : spots.n_vars - 10 * (number == 1)].copy()

    files, _ = read_sections(tables(cohort, tmp_path, cut), OPTIONS)
    notes = [[note for note in one.notes if "were not measured here" in note] for one in files]
    assert [len(some) for some in notes] == [0, 1, 0]
    assert notes[1][0].startswith("10 of the 40 genes")


@pytest.mark.parametrize("work", [evaluate, fit])
def test_depth_is_not_learnt_where_nothing_was_counted(work, cohort, tmp_path):
    def uncounted(number, spots):
        bare = ad.AnnData(obs=spots.obs[[]])
        bare.obsm["spatial"] = spots.obsm["spatial"]
        return bare

    options = OPTIONS.updated(target="abundance", n_genes=250)
    path = tables(cohort, tmp_path, uncounted)
    for heads in (
        {"heads": ("depth",)},
        {"heads": ("stack",), "head_options": {"stack": {"heads": ["ridge", "depth"]}}},
    ):
        with pytest.raises(HistoscribeError, match="not counted on every section"):
            work(path, out=tmp_path / "r", options=options.updated(**heads))


def of_some_spots(files, rows):
    """A section with some of its spots, as it is where the others lie off the tissue."""
    kept = Observed("kept", None, {}, files.xy_um, files.measured).rows(rows)
    return replace(files, xy_um=kept.xy_um, measured=kept.measured)


def test_too_few_spots_are_refused(cohort):
    files = [read_files(request) for request in requests_of(cohort / "sheet.csv")]
    some = [files[0], of_some_spots(files[1], np.arange(1)), files[2]]
    with pytest.raises(HistoscribeError, match=r"P1S0(.|\n)*too few spots(.|\n)*at least 2"):
        rehearse(some, plan_folds(some, OPTIONS), OPTIONS.fold_settings(("ridge",), with_depth=True))
    few = [of_some_spots(one, np.arange(2)) for one in files[:2]]
    with pytest.raises(HistoscribeError, match=r"too few spots(.|\n)*at least 5"):
        rehearse(few, [whole(few)], OPTIONS.fold_settings(("ridge",), with_depth=True))


def test_a_model_on_a_device_that_is_not_there_is_refused(cohort, tmp_path, monkeypatch):
    import torch

    from histoscribe.run.cohort import predict as predicting
    from histoscribe.run.cohort.model import Model

    if torch.cuda.is_available():
        pytest.skip("there is a graphics card")
    from histoscribe.predict.heads.finetune import FinetuneHead

    head = FinetuneHead(backbone="test_resnet", device="cuda")
    head.network_ = object()
    monkeypatch.setattr(predicting, "read_model", lambda folder: Model(head, None, None, None, [], OPTIONS, {}, {}))
    with pytest.raises(HistoscribeError, match="there is no device 'cuda'"):
        predict(tmp_path / "m", cohort / "P0S0", out=tmp_path / "p")
