"""The summary of a sample sheet's run: the outcome of each section, as a page and as a table."""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

from histoscribe.report.page import render

SUMMARY, SUMMARY_PAGE = "summary.csv", "summary.html"
STATES = ("done", "refused")


def summary_files(rows: Sequence[Mapping[str, Any]]) -> dict[str, bytes]:
    """Make the files `summary.html` and `summary.csv` of a cohort's folder.

    Parameters
    ----------
    rows
        One per section, in the order of the sheet: `section`, `status` ("done" or "refused"), `reason`, `page` (path of
        its report from here, or None) and `facts` (name to number).

    Returns
    -------
    The bytes of each file, by its name.
    """
    facts = list(dict.fromkeys(name for row in rows for name in row["facts"]))
    columns = ("section", "status", "reason", *facts)
    lines = io.StringIO(newline="")
    writer = csv.DictWriter(lines, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(
        {"section": row["section"], "status": row["status"], "reason": row["reason"], **row["facts"]} for row in rows
    )
    page = render(
        "summary.html",
        rows=[{**row, "link": quote(row["page"]) if row["page"] else None} for row in rows],
        columns=facts,
        counts=[(state, sum(row["status"] == state for row in rows)) for state in STATES],
    )
    return {SUMMARY: lines.getvalue().encode(), SUMMARY_PAGE: page.encode()}
