"""The figure that shows whether spots and picture fit: both, whole, with the border of the tissue."""

from typing import Any

import numpy as np

from histoscribe.report import palette
from histoscribe.report.canvas import outline_tissue, png_of, scale_bar, show_picture, tissue_figure
from histoscribe.report.plate import Plate
from histoscribe.report.sheet import Sheet
from histoscribe.report.tiles import draw_tiles

_ON_HEX, _OFF_HEX, _HALO_HEX = "#0072B2", "#D55E00", "#F0E442"
_FOOT = 0.35  # inches
_MANY = 2_000


def draw_preflight(sheet: Sheet) -> Plate:
    """Spots and the border of the tissue on the whole picture."""
    inside = sheet.on_tissue()
    title = f"{sheet.name}: spots on the picture" if sheet.picture is not None else f"{sheet.name}: the spots"
    if sheet.tissue is not None:
        title = f"{sheet.name}: {100 * inside.mean():.1f} % of the spots lie on tissue"
    figure, axes = tissue_figure(sheet, sheet.whole, title=title, foot=_FOOT)
    show_picture(axes, sheet.picture, sheet, sheet.whole)
    # dark on a light halo: seen on white and on black ground
    outline_tissue(axes, sheet, colour=_HALO_HEX, width=2.2)
    outline_tissue(axes, sheet, colour=palette.OUTLINE_HEX, width=0.9)
    _draw_on_tissue(axes, sheet, inside)
    _draw_off_tissue(axes, sheet, ~inside)
    axes.set(xlim=(sheet.whole.left, sheet.whole.right), ylim=(sheet.whole.bottom, sheet.whole.top))
    scale_bar(axes, sheet, sheet.whole)
    _legend(figure, sheet, int(inside.sum()))
    off = len(inside) - int(inside.sum())
    return Plate(
        "preflight",
        title,
        "The whole picture with every spot, and the border of the tissue as it was found. A shifted, mirrored or "
        "wrongly scaled section shows here as spots beside the tissue.",
        f"Whole picture of section {sheet.name} with {inside.sum():,} spots on tissue and {off:,} off it.",
        png_of(figure),
    )


def _draw_on_tissue(axes: Any, sheet: Sheet, chosen: Any) -> None:
    from matplotlib.colors import to_rgba

    # bins that touch would hide the tissue that they are to be compared with
    colour = np.tile(to_rgba(_ON_HEX, 0.35 if sheet.touching else 0.85), (int(chosen.sum()), 1))
    draw_tiles(axes, sheet.xy[chosen], outline=sheet.spot, rgba=colour)


def _draw_off_tissue(axes: Any, sheet: Sheet, chosen: Any) -> None:
    inches = axes.get_position().width * axes.figure.get_figwidth()
    diameter_pt = 72 * inches * float(np.ptp(sheet.spot[:, 0])) / sheet.whole.width
    smallest = 5.0 if chosen.sum() <= _MANY else 1.0  # points; few must not be overlooked, many speak for themselves
    axes.scatter(
        *sheet.xy[chosen].T,
        s=max(diameter_pt, smallest) ** 2,
        marker="X",
        color=_OFF_HEX,
        edgecolors="white",
        linewidths=0.4 if chosen.sum() <= _MANY else 0,
        zorder=4,
    )


def _legend(figure: Any, sheet: Sheet, on_tissue: int) -> None:
    from matplotlib.lines import Line2D

    told = sheet.tissue is not None
    handles = [_mark("o", _ON_HEX, f"spot on tissue ({on_tissue:,})" if told else f"spot ({on_tissue:,})")]
    if on_tissue < len(sheet.xy):
        handles.append(_mark("X", _OFF_HEX, f"spot off tissue ({len(sheet.xy) - on_tissue:,})"))
    if told:
        handles.append(Line2D([], [], color=palette.OUTLINE_HEX, label="border of the tissue"))
    figure.legend(handles=handles, loc="lower center", ncols=3, columnspacing=1.4)


def _mark(marker: str, colour: str, label: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], linestyle="none", marker=marker, markersize=6, color=colour, label=label)
