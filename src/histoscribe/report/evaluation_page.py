"""The evaluation as one self-contained HTML page."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from histoscribe.report import evaluation_words as words
from histoscribe.report.evaluation_apart import apart_sentence
from histoscribe.report.evaluation_contents import EvaluationContents
from histoscribe.report.page import picture_of, render
from histoscribe.report.report_figure import ReportFigure
from histoscribe.report.words import flat, number

_MOST_ROWS = 1_000  # of the table of targets; all of them stand in scores.json


def evaluation_page(contents: EvaluationContents, figures: Sequence[ReportFigure]) -> str:
    """Return the page; the figures are placed by name."""
    keys = [key for key in words.SCORES if any(key in rung.scores for rung in contents.ladder)]
    columns = [key for key in words.TARGET_SCORES if any(row.get(key) is not None for row in contents.targets)]
    return render(
        "evaluation.html",
        title=contents.title,
        leaky=contents.leaky,
        leaky_sentence=words.LEAKY_SENTENCE,
        protocol=contents.protocol,
        summary=words.summary(contents),
        figures={figure.name: picture_of(figure) for figure in figures},
        maps=[figure.name for figure in figures if figure.name.startswith("map_")],
        score_names=[words.SCORES[key] for key in keys],
        ladder=[
            (rung.name, rung.role, rung.note, [words.score(rung.scores.get(key)) for key in keys])
            for rung in words.ordered(contents)
        ],
        best=contents.best,
        comparisons=[words.comparison(row) for row in contents.comparisons],
        sections=_table(contents.sections),
        target_columns=[words.TARGET_SCORES[key] for key in columns],
        targets=[_target_row(row, columns) for row in _by_score(contents.targets)[:_MOST_ROWS]],
        n_targets=len(contents.targets),
        coverage=_table(contents.coverage),
        intervals=contents.intervals,
        audit=_table(contents.audit),
        notes=contents.notes,
        apart="" if contents.apart is None else apart_sentence(contents.apart),
        target=list(flat({key: value for key, value in contents.target.items() if key != "names"})),
        versions=list(flat(contents.record.get("versions") or {})),
        configuration=list(flat(contents.record.get("configuration") or {})),
        encoder=list(flat(contents.record.get("encoder") or {})),
        limits=words.LIMITS,
    )


def _by_score(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    def height(row: Mapping[str, Any]) -> tuple[float, str]:
        value = row.get("pearson")
        known = value is not None and math.isfinite(value)
        return (2.0 if value is None or not known else -float(value), str(row["name"]))

    return sorted(rows, key=height)


def _target_row(row: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    verdict = row.get("verdict") or ""
    return {
        "name": row["name"],
        "verdict": verdict,
        "reason": row.get("reason") or "",
        "level": {"use": "ok", "caution": "warning", "do not use": "refused"}.get(verdict, ""),
        "texts": [number(row[key]) if key == "n_sections" else words.score(row.get(key)) for key in columns],
    }


def _table(rows: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Heads and texts of rows of plain values; a row that lacks a column shows nothing there."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    return [column.replace("_", " ") for column in columns], [[_text(row.get(key)) for key in columns] for row in rows]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{key}: {text}" for key, text in flat(value))
    if isinstance(value, list | tuple):
        return ", ".join(number(part) for part in value)
    return "" if value is None else number(value)
