"""Spots laid out by UMAP, coloured by domain and by a gene, beside the same gene on the tissue."""

from typing import Any

import numpy as np
import pandas as pd

from histoscribe.report import palette
from histoscribe.report.domains_figures import log_counts
from histoscribe.report.layout import DPI, png_of
from histoscribe.report.report_figure import ReportFigure
from histoscribe.report.tiles import draw_tiles
from histoscribe.report.tissue_canvas import Canvas, Floats

_WIDTH, _HEIGHT = 3.0, 3.1  # inches of a panel
_MAX_POINTS = 50_000


def draw_umap(canvas: Canvas, places: Floats, spots: Any, markers: pd.DataFrame | None) -> ReportFigure:
    """Draw the spots' places, (n, 2), NaN for spots without one, by domain and by the strongest marker of all domains.

    Parameters
    ----------
    spots
        The section's, with counts where `markers` is given.
    markers
        As in markers.csv, or None or empty where there are none: then the tissue is coloured by domain.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    gene, value = None, np.zeros(len(places))
    if markers is not None and len(markers):
        gene = str(markers.sort_values("effect", ascending=False)["gene"].iloc[0])
        value = log_counts(spots, [gene])[:, 0]
    by_domain = palette.domain_rgb(canvas.domain)
    top = max(float(np.percentile(value, 99)), 1e-9)
    by_gene = colormaps[palette.QUANTITY_MAP](np.clip(value / top, 0, 1))
    panels = [("by domain", by_domain), *([(f"by {gene}", by_gene)] if gene else [])]
    figure = Figure(figsize=((len(panels) + 1) * _WIDTH, _HEIGHT), dpi=DPI, layout="constrained")
    *scatters, tissue = figure.subplots(1, len(panels) + 1)
    known = np.flatnonzero(np.isfinite(places).all(axis=1))
    # drawn in a fixed random order: drawn domain by domain, the last domain would hide the others
    shown = np.random.default_rng(0).permutation(known[:: -(-len(known) // _MAX_POINTS)])
    size = float(np.clip(12_000 / max(len(shown), 1), 1, 14))
    for axes, (title, colours) in zip(scatters, panels, strict=True):
        axes.scatter(*places[shown].T, s=size, c=colours[shown], linewidths=0, rasterized=True)
        axes.set(title=f"UMAP, {title}", xlabel="UMAP 1", ylabel="UMAP 2", xticks=[], yticks=[])
    view = canvas.close
    tissue.set(xlim=(view.left, view.right), ylim=(view.bottom, view.top), xticks=[], yticks=[])
    tissue.set_aspect("equal")
    draw_tiles(tissue, canvas.xy, outline=canvas.cell, rgba=by_gene if gene else by_domain)
    tissue.set_title(f"{gene or 'domains'} on the tissue")
    tissue.spines[:].set_visible(False)
    said = f", and by ln(1 + counts per 10,000) of {gene}, the strongest marker" if gene else ""
    return ReportFigure(
        "umap",
        f"{canvas.name}: spots by UMAP",
        f"Each point is a spot, coloured by domain{said}. Near points are alike; distances between groups of points, "
        "their sizes and their shapes mean nothing in UMAP.",
        f"Scatter plots of the spots of section {canvas.name} by UMAP, and the tissue in the same colours.",
        png_of(figure),
    )
