"""The verbs domains and score, end to end on small phantoms."""

import json

import pandas as pd
import pytest

from histoscribe.cli import main
from histoscribe.errors import ConfigError, InputError
from histoscribe.phantom import make_phantom, write_spaceranger
from histoscribe.run.domains import domains
from histoscribe.run.section.score import score
from histoscribe.run.section.settings import RunConfig
from histoscribe.store.result import verify_result


@pytest.fixture(scope="module")
def phantom():
    return make_phantom(3, size_um=1300.0, mpp=2.0, n_domains=3, n_genes=60)


@pytest.fixture(scope="module")
def spots(phantom):
    return phantom.spots()


@pytest.fixture(scope="module")
def h5ad(spots, tmp_path_factory):
    """Counts and coordinates, no picture."""
    path = tmp_path_factory.mktemp("section") / "spots.h5ad"
    bare = spots.copy()
    del bare.uns["phantom"]
    bare.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def labels(spots, tmp_path_factory):
    path = tmp_path_factory.mktemp("labels") / "labels.csv"
    pd.DataFrame({"barcode": spots.obs_names, "label": spots.obs["domain"]}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def result(h5ad, tmp_path_factory):
    out = tmp_path_factory.mktemp("result") / "result"
    return out, domains(h5ad, out=out, n_domains=3)[0]


def test_an_h5ad_without_a_picture_gives_a_whole_result(result, spots):
    out, outcome = result
    assert (outcome.status, outcome.n_spots, outcome.n_domains) == ("done", spots.n_obs, 3)
    assert verify_result(out).ok
    table = pd.read_csv(out / "domains.csv")
    assert list(table) == ["barcode", "domain", "confidence"]
    assert table["barcode"].tolist() == spots.obs_names.tolist()
    assert {"markers.csv", "neighbours.csv", "report.html", "section.zarr"} <= {path.name for path in out.iterdir()}


def test_scanpy_goes_on_from_the_features_that_were_divided(result):
    import scanpy
    import spatialdata

    table = spatialdata.read_zarr(result[0] / "section.zarr").tables["table"]
    assert table.obsm["X_niche"].shape[0] == table.n_obs
    scanpy.pp.neighbors(table, use_rep="X_niche")
    assert table.obsp["connectivities"].nnz > table.n_obs


def test_counts_are_read_by_niche_unless_stated_otherwise(result):
    assert json.loads((result[0] / "domains.json").read_text())["method"] == "niche"


def test_the_report_names_each_domain_its_genes_and_nothing_outside(result):
    page = (result[0] / "report.html").read_text()
    strongest = pd.read_csv(result[0] / "markers.csv").groupby("domain").head(1)["gene"]
    assert all(gene in page for gene in strongest)
    assert "http://" not in page
    assert "https://" not in page


def test_a_score_stands_beside_its_floors(result, labels, tmp_path):
    scores = score(result[0], labels=labels, out=tmp_path / "score.json")
    assert json.loads((tmp_path / "score.json").read_text()) == scores
    assert scores["ari"]["score"] > max(scores["ari"]["coordinates"], scores["ari"]["depth"])
    assert scores["ari"]["colour"] is None
    assert scores["dropped"] == 0


def test_labels_of_other_spots_are_refused(result, tmp_path):
    (tmp_path / "labels.csv").write_text("barcode,label\nX-1,a\nY-1,b\n")
    with pytest.raises(InputError, match="not one of the labels belongs"):
        score(result[0], labels=tmp_path / "labels.csv")


def test_the_same_command_again_does_nothing_anew(h5ad, result):
    states = []
    domains(h5ad, out=result[0], n_domains=3, listen=lambda event: states.append(event.get("state")))
    assert "done" not in states


def test_more_domains_than_spots_are_refused(h5ad, tmp_path):
    with pytest.raises(ConfigError, match="domains cannot be made of"):
        domains(h5ad, out=tmp_path / "out", n_domains=10_000)
    assert not (tmp_path / "out").exists()


def test_histology_without_a_picture_says_so(h5ad, tmp_path):
    with pytest.raises(InputError, match="no image"):
        domains(h5ad, out=tmp_path / "out", method="histology")


def test_the_command_line_prints_scores_with_floors(result, labels, capsys):
    with pytest.raises(SystemExit) as end:
        main(["score", str(result[0]), "--labels", str(labels)])
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert "coordinates only" in printed
    assert "depth only" in printed


def test_what_divides_the_features_can_be_chosen(h5ad, tmp_path):
    chosen = ["--n-domains", "3", "--clustering", "louvain", "--edge-weight", "cosine", "--components", "8"]
    with pytest.raises(SystemExit) as end:
        main(["domains", str(h5ad), "--out", str(tmp_path / "out"), *chosen, "--neighbours", "9"])
    assert end.value.code == 0
    evidence = json.loads((tmp_path / "out" / "domains.json").read_text())
    assert (evidence["clustering"], evidence["edge_weight"]) == ("louvain", "cosine")
    assert evidence["blocks"]["counts"]["components"] == 8
    domains(h5ad, out=tmp_path / "usual", config=RunConfig(encoder="morphology", n_domains=3))
    one, other = ((tmp_path / folder / "domains.csv").read_bytes() for folder in ("out", "usual"))
    assert one != other


def test_options_of_efnst_reach_it_from_the_command_line_and_from_a_file(h5ad, tmp_path):
    (tmp_path / "run.toml").write_text("[efnst]\npre_epochs = 4\nlinear_encoder_hidden = [16, 8]\n")
    chosen = ["--n-domains", "3", "--method", "efnst", "--config", str(tmp_path / "run.toml"), "--efnst.epochs", "2"]
    with pytest.raises(SystemExit) as end:
        main(["domains", str(h5ad), "--out", str(tmp_path / "out"), *chosen])
    assert end.value.code == 0
    used = json.loads((tmp_path / "out" / "domains.json").read_text())["settings"]
    assert (used["pre_epochs"], used["epochs"], used["linear_encoder_hidden"]) == (4, 2, [16, 8])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"method": "efnst", "components": 5}, "efnst has no setting components"),
        ({"efnst": {"epochs": 3}}, "niche has no setting efnst"),
        ({"method": "efnst", "efnst": {"epoch": 3}}, "did you mean epochs"),
        ({"method": "efnst", "efnst": {"mask_rate": 1.5}}, "mask_rate"),
        ({"edge_weight": "cosine"}, "no edges to weigh"),
        ({"clustering": "kmeans"}, "no clustering 'kmeans'"),
        ({"neighbours": 0}, "neighbours must be at least 1"),
    ],
)
def test_what_a_method_cannot_use_is_refused_before_any_work(h5ad, tmp_path, given, message):
    with pytest.raises(ConfigError, match=message):
        domains(h5ad, out=tmp_path / "out", config=RunConfig(encoder="morphology", **given))
    assert not (tmp_path / "out").exists()


def test_two_sections_with_pictures_are_matched(tmp_path):
    rows = ["section,path"]
    for patient in (0, 1):
        section = make_phantom(3, size_um=1000.0, mpp=2.0, n_domains=3, n_genes=60, patient=patient)
        write_spaceranger(section, tmp_path / f"s{patient}")
        rows.append(f"s{patient},s{patient}")
    (tmp_path / "samplesheet.csv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "out"
    done = domains(tmp_path / "samplesheet.csv", out=out, n_domains=3, config=RunConfig(encoder="morphology"))
    assert [one.status for one in done] == ["done", "done"]
    matched = pd.read_csv(out / "matched_domains.csv")
    assert matched.groupby("section").size().to_dict() == {"s0": 3, "s1": 3}
    assert (out / "s0" / "morphology.csv").is_file()
    assert (out / "summary.html").is_file()
