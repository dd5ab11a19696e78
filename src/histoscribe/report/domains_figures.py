"""Figures on what domains are made of: their marker genes, and where in the tissue the strongest of them are."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.report import palette
from histoscribe.report.layout import DPI, png_of
from histoscribe.report.on_spots import draw_on_spots
from histoscribe.report.report_figure import ReportFigure
from histoscribe.report.tissue_canvas import Canvas, Floats

_GENES_EACH, _MOST_GENES = 3, 36
# inches; narrower, the title and the key would leave no room for a single gene
_LEAST_WIDTH = 4.0
_MAPS = 8
_INK = "#3A424C"


def draw_markers(canvas: Canvas, spots: Any, markers: pd.DataFrame) -> ReportFigure:
    """Draw dots of the domains' strongest markers: area is the share of spots with the gene, colour its mean.

    Parameters
    ----------
    spots
        AnnData with raw counts, rows as in the canvas.
    markers
        From `domains.markers.marker_genes`.
    """
    from matplotlib.figure import Figure

    strongest = markers.groupby("domain", sort=True).head(_GENES_EACH)["gene"].astype(str)
    genes = list(dict.fromkeys(strongest))[:_MOST_GENES]
    found, mean = _by_domain(canvas, spots, genes)
    scaled = (mean - mean.min(axis=0)) / np.maximum(np.ptp(mean, axis=0), 1e-12)  # (K, genes)
    figure = Figure(
        figsize=(max(_LEAST_WIDTH, 1.6 + 0.27 * len(genes)), 1.7 + 0.26 * len(canvas.domains)),
        dpi=DPI,
        layout="constrained",
    )
    axes = figure.subplots()
    column, row = np.meshgrid(np.arange(len(genes)), np.arange(len(canvas.domains)))
    drawn = axes.scatter(
        column.ravel(),
        row.ravel(),
        s=6 + 110 * found.ravel(),
        c=scaled.ravel(),
        cmap=palette.QUANTITY_MAP,
        vmin=0,
        vmax=1,
        linewidths=0,
    )
    axes.set_xticks(np.arange(len(genes)), genes, rotation=90)
    axes.set_yticks(np.arange(len(canvas.domains)), [f"{k}" for k in canvas.domains])
    axes.set(ylabel="domain", xlim=(-0.7, len(genes) - 0.3), ylim=(len(canvas.domains) - 0.4, -0.6))
    for tick, k in zip(axes.get_yticklabels(), canvas.domains, strict=True):
        tick.set(fontweight="bold", bbox={"facecolor": palette.domain_hex(k), "alpha": 0.35, "pad": 1.5, "lw": 0})
    title = f"{canvas.name}: strongest genes of each domain"
    axes.set_title(title)
    figure.colorbar(drawn, ax=axes, shrink=0.8, label="mean, scaled")
    return ReportFigure(
        "markers",
        title,
        "A dot's area is the share of the domain's spots in which the gene was found; its colour is the gene's mean "
        "ln(1 + counts per 10,000), from the lowest domain to the highest.",
        "Dot plot of marker genes by domain: " + ", ".join(genes) + ".",
        png_of(figure),
    )


def draw_gene_maps(canvas: Canvas, spots: Any, markers: pd.DataFrame) -> ReportFigure:
    """Draw the strongest marker of each domain on the tissue, for the largest domains."""
    best = markers.groupby("domain", sort=True).head(1).head(_MAPS)
    genes = list(zip(best["domain"].to_list(), best["gene"].astype(str), strict=True))
    values = log_counts(spots, [gene for _, gene in genes])
    title = f"{canvas.name}: where the strongest genes are"
    return ReportFigure(
        "genes",
        title,
        "ln(1 + counts per 10,000) of the strongest gene of each domain, dark for none, bright for the highest "
        "hundredth of the spots. A good marker shows the domain's outline.",
        "Maps of marker genes: " + ", ".join(gene for _, gene in genes) + ".",
        draw_on_spots(canvas, [f"{gene} (domain {domain})" for domain, gene in genes], values),
    )


def log_counts(spots: Any, genes: list[str]) -> Floats:
    """ln(1 + counts per 10,000) of some genes, (n, genes)."""
    counts = sparse.csr_matrix(spots.X)
    total = np.asarray(counts.sum(axis=1), np.float64).ravel()
    columns = [int(spots.var_names.get_loc(gene)) for gene in genes]
    part: NDArray[np.float64] = counts[:, columns].toarray().astype(np.float64)
    return np.log1p(part * np.divide(1e4, total, out=np.zeros(len(total)), where=total > 0)[:, None])


def _by_domain(canvas: Canvas, spots: Any, genes: list[str]) -> tuple[Floats, Floats]:
    """Share of each domain's spots with the gene, and the gene's mean, (K, genes) each."""
    values = log_counts(spots, genes)
    found = [(values[canvas.domain == k] > 0).mean(axis=0) for k in canvas.domains]
    mean = [values[canvas.domain == k].mean(axis=0) for k in canvas.domains]
    return np.array(found), np.array(mean)
