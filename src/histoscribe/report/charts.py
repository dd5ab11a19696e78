"""Figures with axes of numbers: the embedding, the evidence for the number of domains, the domains' sizes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.numerics.signs import with_fixed_signs
from histoscribe.report import palette
from histoscribe.report.layout import chart_figure, png_of
from histoscribe.report.report_figure import ReportFigure
from histoscribe.report.tissue_canvas import Canvas, Floats
from histoscribe.report.words import stability_curve

_FIT_ROWS = 2_000
_MAX_POINTS = 50_000


def leading_components(embedding: NDArray[Any], count: int = 3) -> tuple[Floats, Floats]:
    """Scores on the first principal components, and the share of the variance that each holds.

    The axes are those of at most 2,000 rows, evenly taken, which are enough for a figure and bound the time. The
    sign of each axis makes its largest loading positive, so that the same data always give the same figure.

    Parameters
    ----------
    embedding
        (n, d).

    Returns
    -------
    (n, count) float64, zero beyond the rank, and (count,).
    """
    from scipy.linalg import eigh

    rows = np.asarray(embedding, np.float64)
    some = rows[:: -(-len(rows) // _FIT_ROWS)]
    mean = some.mean(axis=0)
    some = some - mean  # (m, d)
    # the eigenvectors of the smaller of the two Gram matrices are enough
    wide = some.shape[1] > some.shape[0]
    gram = some @ some.T if wide else some.T @ some
    kept = min(count, len(gram))
    values, vectors = eigh(gram, subset_by_index=(len(gram) - kept, len(gram) - 1))
    values, axes = np.maximum(values[::-1], 0), vectors[:, ::-1]
    if wide:
        axes = some.T @ axes
    total = float(np.trace(gram))
    axes = axes / np.maximum(np.linalg.norm(axes, axis=0), np.finfo(float).tiny)  # (d, kept)
    axes[:, values <= 1e-12 * total] = 0
    axes = with_fixed_signs(axes)
    scores, share = np.zeros((len(rows), count)), np.zeros(count)
    scores[:, :kept] = (rows - mean) @ axes
    share[:kept] = values / total if total > 0 else 0.0
    return scores, share


def draw_embedding(canvas: Canvas, scores: Floats, share: Floats) -> ReportFigure:
    """Spots by the first two principal components of their embedding, (n, 2 or more), coloured by domain."""
    scores = scores[:, :2]
    title = f"{canvas.name}: domains in the embedding"
    figure, axes = chart_figure(6.35, 5.2)
    shown = np.arange(0, len(scores), -(-len(scores) // _MAX_POINTS))
    # spots are drawn in a fixed random order: drawn domain by domain, the last domain would hide the others
    shown = np.random.default_rng(0).permutation(shown)
    axes.scatter(
        *scores[shown].T,
        s=float(np.clip(24_000 / len(shown), 2, 26)),
        c=palette.domain_rgb(canvas.domain[shown]),
        linewidths=0,
        alpha=0.85,
        rasterized=True,
    )
    axes.grid(visible=True)
    axes.set(
        xlabel=f"component 1 ({100 * share[0]:.0f} % of the variance)",
        ylabel=f"component 2 ({100 * share[1]:.0f} % of the variance)",
    )
    axes.set_title(title)
    _mark_centres(axes, scores, canvas)
    few = "" if len(shown) == len(scores) else f" {len(shown):,} of {len(scores):,} spots are drawn."
    return ReportFigure(
        "embedding",
        title,
        "Each point is a spot; each number marks the median of its domain. Domains that overlap here may still differ "
        f"in further components.{few}",
        f"Scatter plot of the embedding of section {canvas.name}: first two principal components, coloured by domain.",
        png_of(figure),
    )


def _mark_centres(axes: Any, scores: Floats, canvas: Canvas) -> None:
    from matplotlib.patheffects import withStroke

    for k in canvas.domains:
        x, y = np.median(scores[canvas.domain == k], axis=0)
        axes.text(
            x,
            y,
            f"{k}",
            ha="center",
            va="center",
            fontsize=10,
            fontweight="bold",
            color=palette.OUTLINE_HEX,
            path_effects=[withStroke(linewidth=2.6, foreground="white")],
        )


def draw_stability(canvas: Canvas, evidence: dict[str, Any]) -> ReportFigure | None:
    """Stability by number of domains; None where the method gave no curve."""
    curve = stability_curve(evidence)
    if len(curve) < 2:
        return None
    title = f"{canvas.name}: how stable each number of domains is"
    figure, axes = chart_figure(6.35, 3.4)
    axes.plot(list(curve), list(curve.values()), color="#0072B2", marker="o", markersize=5, linewidth=1.6)
    chosen = len(canvas.domains)
    if chosen in curve:
        height = curve[chosen]
        axes.plot([chosen], [height], "o", markersize=11, markerfacecolor="none", markeredgecolor="#D55E00", mew=2)
        axes.annotate(
            f"{chosen} domains", (chosen, height), xytext=(0, 11), textcoords="offset points", ha="center", fontsize=9
        )
    axes.set(xlabel="number of domains", ylabel="stability (1 = always the same)")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.margins(x=0.08, y=0.2)
    axes.grid(visible=True, axis="y")
    axes.set_title(title)
    return ReportFigure(
        "stability",
        title,
        "How well repeated runs agree with each other, for each number of domains; the ring marks the number used.",
        "Line chart of stability by number of domains: " + ", ".join(f"{k}: {s:.2f}" for k, s in curve.items()) + ".",
        png_of(figure),
    )


def draw_sizes(canvas: Canvas, area_um2: float) -> ReportFigure:
    """Bars of the domains' sizes, in spots and, on a lattice, in square millimetres."""
    domains = canvas.domains
    counts = [int((canvas.domain == k).sum()) for k in domains]
    title = f"{canvas.name}: size of the domains"
    figure, axes = chart_figure(6.35, 1.25 + 0.25 * len(domains))
    places = np.arange(len(domains))
    axes.barh(
        places,
        counts,
        height=0.72,
        color=[palette.domain_hex(k) for k in domains],
        edgecolor=[palette.OUTLINE_HEX if palette.is_outlined(k) else "none" for k in domains],
    )
    for place, count in zip(places, counts, strict=True):
        text = f" {count:,} ({100 * count / sum(counts):.0f} %)"
        axes.text(count, place, text, va="center", fontsize=8, color="#3A424C")
    axes.set_yticks(places, [f"{k}" for k in domains])
    axes.set(ylabel="domain", xlabel="spots", xlim=(0, 1.2 * max(counts)), ylim=(len(domains) - 0.4, -0.6))
    axes.grid(visible=True, axis="x")
    axes.set_title(title)
    if np.isfinite(area_um2):
        per_spot = area_um2 / 1e6
        second = axes.secondary_xaxis("top", functions=(lambda n: n * per_spot, lambda mm2: mm2 / per_spot))
        second.set_xlabel("area (mm²)")
    return ReportFigure(
        "sizes",
        title,
        "Number of spots of each domain and its share of all. The area of a spot is its whole lattice cell, not only "
        "its disc."
        if np.isfinite(area_um2)
        else "Number of spots of each domain and its share of all.",
        "Bar chart of domain sizes: " + ", ".join(f"{k}: {n:,} spots" for k, n in zip(domains, counts, strict=True)),
        png_of(figure),
    )
