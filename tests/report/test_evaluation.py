"""The page of an evaluation stands alone, is the same every time and says LEAKY where it must."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from histoscribe.errors import ConfigError
from histoscribe.report.evaluation import write_evaluation_page
from histoscribe.report.evaluation_contents import EvaluationContents, MapPair, Rung
from histoscribe.report.evaluation_words import SCORES, comparison, summary


def make_evaluation(n_targets=12, **changes):
    rng = np.random.default_rng(0)
    y, x = np.divmod(np.arange(120), 12)
    wave = np.sin(x / 2) + rng.normal(0, 0.2, 120)
    parts = {
        "title": "Expression of 12 genes from H&E",
        "target": {"kind": "genes", "scale": "log1p_cp10k", "names": ["G0"]},
        "protocol": "One patient was left out at a time.",
        "leaky": False,
        "main": "mean_pearson",
        "ladder": (
            Rung("training mean", "baseline", {"mean_pearson": 0.0, "mean_error_ratio": 1.0}),
            Rung("ridge", "head", {"mean_pearson": 0.31, "mean_error_ratio": 0.9}, {"S1": 0.35, "S2": 0.27}),
            Rung("depth", "baseline", {"mean_pearson": 0.2}, {"S1": 0.2, "S2": 0.2}),
            Rung("stack", "stack", {"mean_pearson": float("nan")}, note="not worth it"),
        ),
        "best": "ridge",
        "sections": ({"section": "S1", "patient": "P<1>", "n_spots": 120},),
        "targets": tuple(
            {
                "name": f"G{k}",
                "pearson": 0.05 * k,
                "ceiling": 0.07 * k,
                "error_ratio": None,
                "n_sections": 2,
                "verdict": ("do not use", "caution", "use")[k % 3],
            }
            for k in range(n_targets)
        ),
        "ceiling": 0.62,
        "card_auroc": 0.91,
        "comparisons": (
            {
                "first_name": "ridge",
                "second_name": "depth",
                "difference": 0.11,
                "lower": 0.08,
                "upper": 0.14,
                "level": 0.95,
                "differs": True,
            },
        ),
        "coverage": ({"section": "S1", "level": 0.9, "coverage": 0.893},),
        "audit": ({"fold": "P1", "test": ["S1"], "train": ["S2", "S3"], "genes_fitted_on": ["S2", "S3"]},),
        "maps": (MapPair("S1", "G1/x", np.column_stack([x, y]) * 200.0, wave, 0.4 * wave, "ln(1 + CP10K)", 0.71),),
        "notes": ("Section S4 has no image.",),
        "record": {"versions": {"histoscribe": "1"}, "configuration": {"heads": ["ridge"]}, "encoder": {"name": "m"}},
    }
    return EvaluationContents(**(parts | changes))


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluation")
    return write_evaluation_page(folder, make_evaluation())


@pytest.fixture(scope="module")
def text(written):
    return written[-1].read_text(encoding="utf-8")


def test_figures_and_page_are_written(written):
    assert [path.name for path in written] == ["ladder.png", "targets.png", "map_S1_G1-x.png", "report.html"]
    for path in written[:-1]:
        assert Image.open(path).width > 600


def test_the_page_loads_nothing(text):
    assert "<script" not in text
    assert "http" not in text.replace("http-equiv", "")
    assert text.count('src="data:image/') == text.count("<img") == 3


def test_what_comes_from_the_data_is_escaped(text):
    assert "P&lt;1&gt;" in text
    assert "P<1>" not in text


def test_a_page_that_is_not_leaky_does_not_say_so(text):
    assert "LEAKY" not in text


def test_every_part_of_a_leaky_page_says_so(tmp_path):
    files = write_evaluation_page(tmp_path, make_evaluation(leaky=True))
    text = files[-1].read_text(encoding="utf-8")
    headings = [line for line in text.splitlines() if line.startswith("<h2")]
    for name in ("ladder", "targets", "maps", "coverage", "audit"):
        assert any(f'id="h-{name}"' in line and "LEAKY" in line for line in headings)
    assert "<title>LEAKY" in text
    assert "do not quote them" in text


def test_the_same_contents_give_the_same_bytes(tmp_path, written):
    again = write_evaluation_page(tmp_path, make_evaluation())
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in written]


def test_heads_stand_from_the_best_to_the_unknown(text):
    places = [text.index(f'<th scope="row">{name}') for name in ("ridge", "depth", "training mean", "stack")]
    assert places == sorted(places)


def test_the_summary_holds_the_numbers():
    text = " ".join(summary(make_evaluation()))
    for piece in (
        "0.310",
        "0.110 above the best baseline, depth",
        "0.62; 50 %",
        "4 use, 4 caution, 4 do not use",
        "0.91",
    ):
        assert piece in text


def test_a_head_below_its_baseline_is_said_to_be_so():
    ladder = (Rung("ridge", "head", {"mean_pearson": 0.1}), Rung("depth", "baseline", {"mean_pearson": 0.2}))
    assert "0.100 below the best baseline" in " ".join(summary(make_evaluation(ladder=ladder)))


def test_heads_that_do_not_differ_are_said_not_to():
    row = make_evaluation().comparisons[0]
    assert "they differ" in comparison(row)
    assert "do not differ clearly" in comparison(dict(row) | {"differs": False})


def test_the_barest_evaluation_makes_a_page(tmp_path):
    bare = EvaluationContents("T", {}, "P", False, "mean_pearson", (Rung("r", "head", {"mean_pearson": 0.1}),), "r")
    files = write_evaluation_page(tmp_path, bare)
    assert [path.name for path in files] == ["ladder.png", "report.html"]


def test_cell_types_are_shown_beside_the_constant_ranking(tmp_path):
    scores = {"mean_spot_spearman": 0.82, "constant_spot_spearman": 0.77}
    contents = make_evaluation(
        main="mean_spot_spearman", best="r", ladder=(Rung("r", "head", scores),), target={"kind": "abundance"}
    )
    text = write_evaluation_page(tmp_path, contents)[-1].read_text(encoding="utf-8")
    assert "constant ranking" in text
    assert "0.770" in text


def test_every_known_score_has_a_meaning():
    assert all(name.label and name.meaning for name in SCORES.values())


@pytest.mark.parametrize(
    "change",
    [
        {"best": "mlp"},
        {"main": "mean_spearman"},
        {"targets": ({"pearson": 1.0},)},
        {"ladder": (Rung("ridge", "hed", {"mean_pearson": 0.1}),)},
    ],
)
def test_parts_that_do_not_fit_are_refused(change):
    with pytest.raises(ConfigError):
        make_evaluation(**change)


def test_a_map_with_too_few_values_is_refused():
    pair = make_evaluation().maps[0]
    with pytest.raises(ConfigError, match="different numbers"):
        make_evaluation(maps=(replace(pair, predicted=pair.predicted[:-1]),))
