"""The summary of a sample sheet: every section, why one is missing, and links that work."""

import csv

from histoscribe.report import write_summary

ROWS = [
    {"section": "C2", "status": "done", "spots": 187, "domains": 6},
    {"section": "C3", "status": "refused", "reason": "<script>x</script>: x and y, are swapped\n  to mend it: swap"},
    {"section": "C4", "status": "failed", "reason": "disk full"},
]


def test_the_page_tells_what_became_of_each_section(tmp_path):
    text = write_summary(tmp_path, ROWS).read_text(encoding="utf-8")
    assert "1 done, 1 refused, 1 failed" in text
    for row in ROWS:
        assert row["section"] in text


def test_only_sections_that_are_done_are_linked(tmp_path):
    text = write_summary(tmp_path, ROWS).read_text(encoding="utf-8")
    assert 'href="C2/report.html"' in text
    assert text.count("href=") == 1


def test_reasons_are_escaped(tmp_path):
    text = write_summary(tmp_path, ROWS).read_text(encoding="utf-8")
    assert "<script>" not in text


def test_the_table_reads_back_as_it_was_given(tmp_path):
    write_summary(tmp_path, ROWS)
    with (tmp_path / "summary.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["section"] for row in rows] == ["C2", "C3", "C4"]
    assert rows[0]["spots"] == "187"
    assert rows[1]["reason"] == ROWS[1]["reason"]
    assert rows[1]["spots"] == ""


def test_the_same_rows_give_the_same_bytes(tmp_path):
    first = write_summary(tmp_path, ROWS).read_bytes()
    assert write_summary(tmp_path, ROWS).read_bytes() == first
