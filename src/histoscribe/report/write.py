"""Write a section's report: the figures as PNG files and the page."""

from pathlib import Path

from histoscribe.report.canvas import house_style
from histoscribe.report.charts import draw_embedding, draw_sizes, draw_stability, leading_components
from histoscribe.report.contents import ReportContents
from histoscribe.report.figures import (
    draw_components,
    draw_confidence,
    draw_domains,
    draw_picture,
)
from histoscribe.report.fit import draw_preflight
from histoscribe.report.page import report_page
from histoscribe.report.plate import Plate, write_page
from histoscribe.report.sheet import prepare
from histoscribe.report.tiles import spot_area_um2


def write_report(folder: Path, contents: ReportContents) -> list[Path]:
    """Write `figures/*.png` and `report.html` into `folder`.

    The same contents give the same bytes. The page is self-contained: it can be mailed and opened offline.

    Parameters
    ----------
    folder
        An existing folder; the caller moves it into place.
    contents
        What was found.

    Returns
    -------
    The files written, the page last.

    Raises
    ------
    InputError
        Where the image cannot be read.
    """
    plates = draw_all(contents)
    return write_page(folder, report_page(contents, plates), plates)


def draw_all(contents: ReportContents) -> list[Plate]:
    """Draw every figure that these contents allow, in the order of the page."""
    sheet = prepare(contents)
    with house_style():
        plates = [draw_picture(sheet), draw_domains(sheet), draw_confidence(sheet)]
        if contents.embedding is not None and len(sheet.xy) > 1:
            scores, share = leading_components(contents.embedding)
            plates += [draw_components(sheet, scores, share), draw_embedding(sheet, scores, share)]
        plates += [
            draw_preflight(sheet),
            draw_stability(sheet, contents.evidence),
            draw_sizes(sheet, spot_area_um2(contents.section)),
        ]
    return [plate for plate in (*plates, *contents.figures) if plate is not None]
