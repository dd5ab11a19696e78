"""The page of a section's maps: a composite as an immunofluorescence viewer shows it, each gene beside its spots."""

from pathlib import Path

from histoscribe.report.layout import house_style
from histoscribe.report.maps_contents import MapsContents
from histoscribe.report.maps_figures import draw_composite, draw_gene, draw_redrawn
from histoscribe.report.page import picture_of, render
from histoscribe.report.report_figure import write_page


def write_maps_page(folder: Path, contents: MapsContents) -> list[Path]:
    """Write `figures/*.png` and `report.html` into `folder`; the same contents give the same bytes.

    Returns
    -------
    The files written, the page last.
    """
    with house_style():
        figures = [draw_composite(contents), *(draw_gene(contents, gene) for gene in contents.genes)]
        if contents.redrawn is not None:
            figures.append(draw_redrawn(contents, contents.redrawn))
    page = render(
        "maps.html",
        name=contents.section,
        facts=contents.facts,
        evidence=contents.evidence,
        scores=contents.scores,
        notes=contents.notes,
        figures={figure.name: picture_of(figure) for figure in figures},
    )
    return write_page(folder, page, figures)
