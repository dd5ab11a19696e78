"""The summary of a sample sheet: every section, why one is missing, and links that work."""

import csv
import io

from histoscribe.report import SUMMARY, SUMMARY_PAGE, summary_files

ROWS = [
    {
        "section": "C2",
        "status": "done",
        "reason": "",
        "page": "C2/report.html",
        "facts": {"spots": 187, "domains": 6},
    },
    {
        "section": "C3",
        "status": "refused",
        "reason": "<script>x</script>: x and y, are swapped\n  to fix it: swap",
        "page": None,
        "facts": {},
    },
    {"section": "C4", "status": "done", "reason": "", "page": None, "facts": {"spots": 12, "domains": 2}},
]


def test_the_page_shows_the_outcome_of_each_section():
    text = summary_files(ROWS)[SUMMARY_PAGE].decode()
    assert "2 done, 1 refused" in text
    for row in ROWS:
        assert row["section"] in text


def test_only_sections_that_have_a_page_are_linked():
    text = summary_files(ROWS)[SUMMARY_PAGE].decode()
    assert 'href="C2/report.html"' in text
    assert text.count("href=") == 1


def test_reasons_are_escaped():
    text = summary_files(ROWS)[SUMMARY_PAGE].decode()
    assert "<script>" not in text


def test_the_table_reads_back_as_it_was_given():
    rows = list(csv.DictReader(io.StringIO(summary_files(ROWS)[SUMMARY].decode())))
    assert [row["section"] for row in rows] == ["C2", "C3", "C4"]
    assert rows[0]["spots"] == "187"
    assert rows[1]["reason"] == ROWS[1]["reason"]
    assert rows[1]["spots"] == ""


def test_the_same_rows_give_the_same_bytes():
    assert summary_files(ROWS) == summary_files(ROWS)
