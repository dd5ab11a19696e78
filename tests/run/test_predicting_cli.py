"""The verbs of prediction print the ladder, say LEAKY and end with the status that a script can use."""

import pytest

from histoscribe.cli import main
from histoscribe.cli.predicting import ladder
from histoscribe.run.cohort import evaluate as predicting


def scores(*, leaky=False):
    average = {"mean_pearson": 0.25, "mean_error_ratio": 0.9, "share_of_ceiling": None}
    return {
        "leaky": leaky,
        "warning": "LEAKY: not for a new patient" if leaky else None,
        "main": "mean_pearson",
        "chosen": "ridge",
        "ceiling": 0.6,
        "heads": {
            "mean": {"role": "baseline", "average": {"mean_pearson": 0.0, "mean_error_ratio": 1.0}},
            "ridge": {"role": "head", "average": average},
        },
    }


def run(arguments):
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    return ended.value.code


def test_the_ladder_has_the_best_head_first_and_no_empty_column():
    table = ladder(scores())
    assert list(table.columns[0].cells) == ["ridge", "mean"]
    assert [column.header for column in table.columns] == ["head", "", "Pearson", "error ratio"]


def test_options_of_the_command_line_reach_the_evaluation(tmp_path, monkeypatch, capsys):
    given = {}

    def evaluated(samplesheet, *, out, options, listen):
        given.update(samplesheet=samplesheet, options=options)
        return predicting.Evaluation(out, scores(leaky=True))

    monkeypatch.setattr(predicting, "evaluate", evaluated)
    (tmp_path / "o.toml").write_text("n_genes = 30\nseed = 4\n")
    line = ["evaluate", "sheet.csv", "--target", "genes", "--heads", "ridge,knn", "--by", "section", "--out", tmp_path]
    line += ["--encoder", "uni", "--encoder", "own.toml"]
    assert run([*line, "--config", tmp_path / "o.toml", "--seed", 5]) == 0
    options = given["options"]
    assert (options.heads, options.by, options.n_genes, options.seed) == (("ridge", "knn"), "section", 30, 5)
    assert options.encoders == ("uni", "own.toml")
    printed = capsys.readouterr()
    assert "LEAKY" in printed.out
    assert "LEAKY" in printed.err


def test_a_refusal_ends_with_status_2_and_says_what_to_do(tmp_path, capsys):
    (tmp_path / "sheet.csv").write_text("section,path\nA,nowhere\n")
    assert run(["evaluate", tmp_path / "sheet.csv", "--out", tmp_path / "r", "--heads", "rigde"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_a_model_that_is_none_is_refused(tmp_path, capsys):
    (tmp_path / "m").mkdir()
    assert run(["predict", tmp_path / "m", tmp_path, "--out", tmp_path / "p"]) == 2
    assert "not a complete histoscribe result" in capsys.readouterr().err
