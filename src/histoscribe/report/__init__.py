"""Figures and one self-contained HTML page."""

from histoscribe.report.contents import ReportContents
from histoscribe.report.summary import write_summary
from histoscribe.report.write import write_report

__all__ = ["ReportContents", "write_report", "write_summary"]
