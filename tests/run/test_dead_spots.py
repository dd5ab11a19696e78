"""Spots whose measurement failed change nothing for the others, and are said."""

import json

import numpy as np
import pandas as pd
import pytest
from anndata.io import read_h5ad
from PIL import Image
from scipy import sparse

import histoscribe as hs
from histoscribe.domains.metrics import adjusted_rand_index
from histoscribe.phantom import make_phantom
from histoscribe.run.maps.section import map_sections
from histoscribe.run.section.score import section_of

N_DEAD = 9


@pytest.fixture(scope="module")
def spots():
    table = make_phantom(3, size_um=1500.0, mpp=2.0, n_domains=3, n_genes=80).spots()
    del table.uns["phantom"]
    return table


def killed(table, rows, kept=0.0):
    """The same spots, of some of which hardly a count is left."""
    table = table.copy()
    share = np.ones(table.n_obs)
    share[rows] = kept
    table.X = sparse.csr_matrix(np.floor((sparse.diags(share) @ table.X).toarray()).astype(np.float32))
    return table


def domains_of(table, folder, **settings):
    table.write_h5ad(folder / "spots.h5ad")
    config = hs.RunConfig(encoder="morphology", n_domains=3, **settings)
    (outcome,) = hs.find_domains(folder / "spots.h5ad", out=folder / "out", config=config)
    return outcome, pd.read_csv(folder / "out" / "domains.csv")


@pytest.fixture(scope="module")
def rows(spots):
    return np.random.default_rng(4).choice(spots.n_obs, N_DEAD, replace=False)


@pytest.fixture(scope="module")
def whole(spots, tmp_path_factory):
    return domains_of(spots, tmp_path_factory.mktemp("whole"))[1]


def swamped(table, rows):
    """The same spots, in some of which one gene has a million counts."""
    table = table.copy()
    counts = table.X.tolil()
    counts[rows, 7] = 1e6
    table.X = counts.tocsr()
    return table


HARM = {
    "no counts": (lambda table, rows: killed(table, rows), "dead spots", "hardly any counts"),
    "hardly any counts": (lambda table, rows: killed(table, rows, 0.005), "dead spots", "hardly any counts"),
    "one wild count": (swamped, "swamped spots", "one gene has nearly all counts"),
}


@pytest.fixture(scope="module", params=HARM)
def harmed(request, spots, rows, tmp_path_factory):
    folder = tmp_path_factory.mktemp("harmed")
    harm, name, words = HARM[request.param]
    return *domains_of(harm(spots, rows), folder), folder / "out", name, words


def test_the_other_spots_keep_their_domains(whole, harmed, rows):
    others = np.delete(np.arange(len(whole)), rows)
    assert adjusted_rand_index(harmed[1]["domain"][others], whole["domain"][others]) > 0.95


def test_dead_spots_have_their_surroundings_domain_and_no_confidence(whole, harmed, rows):
    assert (harmed[1]["confidence"][rows] == 0).all()
    assert (np.delete(harmed[1]["confidence"].to_numpy(), rows) > 0).mean() > 0.99
    assert np.mean(harmed[1]["domain"][rows] == whole["domain"][rows]) > 0.6  # some lie on a border


def test_how_many_are_dead_is_said_in_one_line_and_recorded(harmed, spots, rows):
    outcome, _, out, name, words = harmed
    (note,) = [note for note in outcome.notes if words in note]
    assert f"{N_DEAD} of {spots.n_obs} spots" in note
    assert json.loads((out / "domains.json").read_text())["dead_spots"] == N_DEAD
    assert np.array_equal(np.flatnonzero(~section_of(out).measured), np.sort(rows))
    findings = json.loads((out / "preflight.json").read_text())["findings"]
    assert [one["level"] for one in findings if one["name"] == name] == ["warning"]


def test_they_are_not_scored(harmed, spots, rows, tmp_path):
    _, found, out, _, _ = harmed
    labels = pd.DataFrame({"barcode": spots.obs_names, "label": spots.obs["domain"].to_numpy()})
    labels.to_csv(tmp_path / "labels.csv", index=False)
    scores = hs.score_domains(out, labels=tmp_path / "labels.csv")
    others = np.delete(np.arange(len(found)), rows)
    expected = adjusted_rand_index(found["domain"][others], labels["label"][others])
    assert scores["ari"]["score"] == pytest.approx(expected, abs=1e-6)
    assert scores["scored"] == len(others)


def test_a_method_that_reads_the_picture_alone_takes_all_spots(vendor, tmp_path):
    (outcome,) = hs.find_domains(vendor, out=tmp_path, method="histology", n_domains=2)
    assert (pd.read_csv(tmp_path / "domains.csv")["confidence"] > 0).all()
    assert not any("hardly any counts" in note for note in outcome.notes)


@pytest.fixture(scope="module")
def with_picture(spots, rows, tmp_path_factory):
    """A folder with the counts' h5ad and its picture beside it, whole and harmed in both ways."""
    folder = tmp_path_factory.mktemp("pictures")
    picture = make_phantom(3, size_um=1500.0, mpp=2.0, n_domains=3, n_genes=80).image
    height, width = picture.shapes[0]
    Image.fromarray(picture.read(0, 0, width, height)).save(folder / "he.png")
    sheet = [("section", "patient", "path", "image", "mpp")]
    harmed = swamped(killed(spots, rows[:5]), rows[5:])
    for name, table in (("whole", spots), ("harmed", harmed)):
        table.write_h5ad(folder / f"{name}.h5ad")
        sheet.append((name, name, f"{name}.h5ad", "he.png", "2.0"))
    (folder / "sheet.csv").write_text("\n".join(",".join(row) for row in sheet) + "\n")
    return folder


def test_a_map_hardly_differs_from_that_of_the_section_without_them(with_picture, tmp_path):
    settings = hs.MapSettings(genes="top:8", um=32.0, encoder="none")
    outcomes = map_sections(with_picture / "sheet.csv", out=tmp_path, settings=settings)
    assert [one.status for one in outcomes] == ["done", "done"]
    whole, harmed = (hs.read_maps(tmp_path / name) for name in ("whole", "harmed"))
    for gene in harmed.genes[:4]:
        one, other = (np.asarray(maps.gene(gene)).ravel() for maps in (whole, harmed))
        known = np.isfinite(one) & np.isfinite(other)
        assert np.corrcoef(one[known], other[known])[0, 1] > 0.95
    assert harmed.stored.counts.shape[0] == whole.stored.counts.shape[0] - N_DEAD


def test_they_are_neither_learnt_from_nor_scored(with_picture, spots, rows, tmp_path):
    options = hs.PredictOptions(encoders=("morphology",), tile_um=(112.0,), heads=("ridge",), by="section", n_genes=10)
    hs.evaluate(with_picture / "sheet.csv", out=tmp_path / "scores", options=options)
    predicted = read_h5ad(tmp_path / "scores" / "predictions" / "harmed.h5ad")
    assert list(predicted.obs_names) == [str(row) for row in np.delete(np.arange(spots.n_obs), rows)]
