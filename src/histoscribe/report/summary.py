"""Write the summary of a sample sheet's run: what became of each section, as a page and as a table."""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from histoscribe.report.page import render

COLUMNS = ("section", "status", "reason", "spots", "domains")
STATES = ("done", "refused", "failed")


def write_summary(folder: Path, rows: Sequence[Mapping[str, Any]]) -> Path:
    """Write `summary.html` and `summary.csv` into `folder`.

    Parameters
    ----------
    folder
        An existing folder, which holds `<section>/report.html` of the sections that are done.
    rows
        One per section, in the order of the sheet: `section`, `status` ("done", "refused" or "failed"), and where
        known `reason`, `spots`, `domains`.

    Returns
    -------
    The page.
    """
    table = [{column: row.get(column) for column in COLUMNS} for row in rows]
    with (folder / "summary.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    page = folder / "summary.html"
    text = render(
        "summary.html",
        rows=[row | {"link": _link(row) if row["status"] == "done" else None} for row in table],
        counts=[(state, sum(row["status"] == state for row in table)) for state in STATES],
    )
    page.write_text(text, encoding="utf-8", newline="\n")
    return page


def _link(row: Mapping[str, Any]) -> str:
    return quote(f"{row['section']}/report.html")
