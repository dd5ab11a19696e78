"""The page of an evaluation: what was predicted how well, against what floor and ceiling, and which genes to trust."""

from pathlib import Path

from histoscribe.report.evaluation_contents import EvaluationContents
from histoscribe.report.evaluation_figures import draw_evaluation
from histoscribe.report.evaluation_page import evaluation_page
from histoscribe.report.layout import house_style
from histoscribe.report.report_figure import write_page


def write_evaluation_page(folder: Path, contents: EvaluationContents) -> list[Path]:
    """Write `figures/*.png` and `report.html` into `folder`; the same contents give the same bytes.

    Parameters
    ----------
    folder
        An existing folder; the caller moves it into place.
    contents
        What was found.

    Returns
    -------
    The files written, the page last.
    """
    with house_style():
        figures = draw_evaluation(contents)
    return write_page(folder, evaluation_page(contents, figures), figures)
