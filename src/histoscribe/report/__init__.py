"""Figures and one self-contained HTML page."""

from histoscribe.report.contents import DomainFacts, ReportContents
from histoscribe.report.summary import SUMMARY, SUMMARY_PAGE, summary_files
from histoscribe.report.write import write_report

__all__ = ["SUMMARY", "SUMMARY_PAGE", "DomainFacts", "ReportContents", "summary_files", "write_report"]
