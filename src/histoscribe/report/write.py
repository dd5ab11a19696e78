"""Write a section's report: the figures as PNG files and the page."""

from pathlib import Path

from histoscribe.report.charts import draw_embedding, draw_sizes, draw_stability, leading_components
from histoscribe.report.contents import ReportContents
from histoscribe.report.domains_figures import draw_gene_maps, draw_markers
from histoscribe.report.figures import (
    draw_components,
    draw_confidence,
    draw_domains,
    draw_picture,
)
from histoscribe.report.fit import draw_preflight
from histoscribe.report.layout import house_style
from histoscribe.report.page import report_page
from histoscribe.report.report_figure import ReportFigure, write_page
from histoscribe.report.tiles import spot_area_um2
from histoscribe.report.tissue_canvas import prepare
from histoscribe.report.umap import draw_umap


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
    figures = draw_all(contents)
    return write_page(folder, report_page(contents, figures), figures)


def draw_all(contents: ReportContents) -> list[ReportFigure]:
    """Draw every figure that these contents allow, in the order of the page."""
    canvas = prepare(contents)
    with house_style():
        figures = [draw_picture(canvas)]
        if contents.domains is not None:
            figures += [draw_domains(canvas), draw_confidence(canvas)]
        if contents.embedding is not None and len(canvas.xy) > 1:
            scores, share = leading_components(contents.embedding)
            figures += [draw_components(canvas, scores, share), draw_embedding(canvas, scores, share)]
        figures.append(draw_preflight(canvas))
        if contents.domains is not None:
            area_um2 = spot_area_um2(contents.section)
            figures += [draw_stability(canvas, contents.evidence)]
            figures += [draw_sizes(canvas, area_um2)] if canvas.domains else []  # a transfer may know none
        markers = contents.facts.markers
        if contents.umap is not None:
            figures.append(draw_umap(canvas, contents.umap, contents.section.spots, markers))
        if markers is not None and len(markers):
            spots = contents.section.spots
            figures += [draw_markers(canvas, spots, markers), draw_gene_maps(canvas, spots, markers)]
    return [figure for figure in (*figures, *contents.figures) if figure is not None]
