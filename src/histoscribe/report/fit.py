"""The figure that shows whether spots and picture fit: all spots on the whole picture, with the tissue border."""

from typing import Any

import numpy as np

from histoscribe.report import palette
from histoscribe.report.layout import outline_tissue, png_of, scale_bar, show_picture, tissue_figure
from histoscribe.report.report_figure import ReportFigure
from histoscribe.report.tiles import draw_tiles
from histoscribe.report.tissue_canvas import Canvas

_ON_HEX, _OFF_HEX, _HALO_HEX = "#0072B2", "#D55E00", "#F0E442"
_FOOT = 0.35  # inches
_MANY = 2_000


def draw_preflight(canvas: Canvas) -> ReportFigure:
    """Spots and the border of the tissue on the whole picture."""
    inside = canvas.on_tissue()
    title = f"{canvas.name}: spots on the picture" if canvas.picture is not None else f"{canvas.name}: the spots"
    if not len(inside):
        title = f"{canvas.name}: the tissue"
    elif canvas.tissue is not None:
        title = f"{canvas.name}: {100 * inside.mean():.1f} % of the spots lie on tissue"
    figure, axes = tissue_figure(canvas, canvas.whole, title=title, foot=_FOOT)
    show_picture(axes, canvas.picture, canvas, canvas.whole)
    # dark on a light halo: seen on white and on black ground
    outline_tissue(axes, canvas, colour=_HALO_HEX, width=2.2)
    outline_tissue(axes, canvas, colour=palette.OUTLINE_HEX, width=0.9)
    _draw_on_tissue(axes, canvas, inside)
    _draw_off_tissue(axes, canvas, ~inside)
    axes.set(xlim=(canvas.whole.left, canvas.whole.right), ylim=(canvas.whole.bottom, canvas.whole.top))
    scale_bar(axes, canvas, canvas.whole)
    _legend(figure, canvas, int(inside.sum()))
    off = len(inside) - int(inside.sum())
    return ReportFigure(
        "preflight",
        title,
        "The whole picture with every spot, and the border of the tissue as it was found. A shifted, mirrored or "
        "wrongly scaled section shows here as spots beside the tissue."
        if len(inside)
        else "The whole picture, with the border of the tissue as it was found.",
        f"Whole picture of section {canvas.name} with {inside.sum():,} spots on tissue and {off:,} off it.",
        png_of(figure),
    )


def _draw_on_tissue(axes: Any, canvas: Canvas, chosen: Any) -> None:
    from matplotlib.colors import to_rgba

    # bins that touch would hide the tissue that they are to be compared with
    colour = np.tile(to_rgba(_ON_HEX, 0.35 if canvas.touching else 0.85), (int(chosen.sum()), 1))
    draw_tiles(axes, canvas.xy[chosen], outline=canvas.spot, rgba=colour)


def _draw_off_tissue(axes: Any, canvas: Canvas, chosen: Any) -> None:
    inches = axes.get_position().width * axes.figure.get_figwidth()
    diameter_pt = 72 * inches * float(np.ptp(canvas.spot[:, 0])) / canvas.whole.width
    smallest = 5.0 if chosen.sum() <= _MANY else 1.0  # points; few must not be overlooked, many speak for themselves
    axes.scatter(
        *canvas.xy[chosen].T,
        s=max(diameter_pt, smallest) ** 2,
        marker="X",
        color=_OFF_HEX,
        edgecolors="white",
        linewidths=0.4 if chosen.sum() <= _MANY else 0,
        zorder=4,
    )


def _legend(figure: Any, canvas: Canvas, on_tissue: int) -> None:
    from matplotlib.lines import Line2D

    has_tissue = canvas.tissue is not None
    handles = []
    if len(canvas.xy):
        label = "spot on tissue" if has_tissue else "spot"
        handles.append(_mark("o", _ON_HEX, f"{label} ({on_tissue:,})"))
    if on_tissue < len(canvas.xy):
        handles.append(_mark("X", _OFF_HEX, f"spot off tissue ({len(canvas.xy) - on_tissue:,})"))
    if has_tissue:
        handles.append(Line2D([], [], color=palette.OUTLINE_HEX, label="border of the tissue"))
    figure.legend(handles=handles, loc="lower center", ncols=3, columnspacing=1.4)


def _mark(marker: str, colour: str, label: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="none", marker=marker, markersize=6, color=colour, label=label)
