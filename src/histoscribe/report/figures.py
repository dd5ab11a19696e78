"""Figures that show the tissue: the picture, the domains, their confidence, the embedding."""

from typing import Any

import numpy as np

from histoscribe.report import palette
from histoscribe.report.layout import (
    outline_tissue,
    png_of,
    scale_bar,
    show_picture,
    tissue_figure,
)
from histoscribe.report.report_figure import ReportFigure
from histoscribe.report.tiles import domain_rgba, draw_tiles, number_places
from histoscribe.report.tissue_canvas import Canvas, Floats, faded

_LEGEND_COLUMNS, _LEGEND_ROW, _FOOT = 8, 0.19, 0.42  # entries, inches, inches
_NUMBERED_UP_TO = 60  # more numbers than this would hide the map


def draw_picture(canvas: Canvas) -> ReportFigure | None:
    """H&E of the part of the section that holds spots; None without a picture."""
    if canvas.picture is None:
        return None
    title = f"{canvas.name}: H&E"
    figure, axes = tissue_figure(canvas, canvas.close, title=title, foot=_foot(canvas))
    show_picture(axes, canvas.picture, canvas, canvas.close)
    scale_bar(axes, canvas, canvas.close)
    return ReportFigure(
        "he",
        title,
        "The picture as it was read, cropped to the part that holds spots.",
        f"Haematoxylin and eosin picture of section {canvas.name}.",
        png_of(figure),
    )


def draw_domains(canvas: Canvas) -> ReportFigure:
    """Domains as spot-sized tiles at their true size, over the picture in pale grey."""
    count = len(canvas.domains)
    title = f"{canvas.name}: {count} tissue domain{'' if count == 1 else 's'}"
    figure, axes = tissue_figure(canvas, canvas.close, title=title, foot=_foot(canvas))
    show_picture(axes, faded(canvas), canvas, canvas.close)
    if not canvas.touching:
        draw_tiles(axes, canvas.xy, outline=0.95 * canvas.cell, rgba=domain_rgba(canvas.domain, alpha=0.35))
    draw_tiles(
        axes,
        canvas.xy,
        outline=canvas.spot,
        rgba=domain_rgba(canvas.domain, alpha=0.9 if canvas.picture is not None else 1.0),
        edged=canvas.domain > len(palette.DOMAIN_HEX),
    )
    _write_numbers(axes, canvas)
    scale_bar(axes, canvas, canvas.close)
    _domain_legend(figure, canvas)
    ground = " over the picture in grey" if canvas.picture is not None else ""
    shape, cell = ("bin", "") if canvas.touching else ("disc", ", on its lattice cell in a paler tone")
    return ReportFigure(
        "domains",
        title,
        f"Each {shape} is one spot at its true size{ground}{cell}; a number marks each domain.",
        f"Map of section {canvas.name}: {len(canvas.xy):,} spots coloured by {count} domains.",
        png_of(figure),
    )


def draw_confidence(canvas: Canvas) -> ReportFigure:
    """Confidence of each spot's domain."""
    title = f"{canvas.name}: confidence of the domain of each spot"
    figure, axes = tissue_figure(canvas, canvas.close, title=title, foot=_FOOT)
    outline_tissue(axes, canvas, colour="#9AA3AE")
    known = np.isfinite(canvas.confidence)
    colours, bar = _quantity_colours(canvas.confidence)
    draw_tiles(axes, canvas.xy, outline=canvas.cell, rgba=colours)
    scale_bar(axes, canvas, canvas.close)
    if bar is not None:
        _colour_bar(figure, axes, bar, "confidence (higher is surer)")
    missing = f" {(~known).sum():,} spots without one are grey." if not known.all() else ""
    mean = f"mean {canvas.confidence[known].mean():.2f}" if known.any() else "not known"
    return ReportFigure(
        "confidence",
        title,
        f"How firmly the method places each spot in its domain, not how likely the domain is to be right.{missing}",
        f"Map of section {canvas.name}: confidence per spot, {mean}.",
        png_of(figure),
    )


def draw_components(canvas: Canvas, scores: Floats, share: Floats) -> ReportFigure:
    """First three principal components of the embedding, (n, 3), as colours on the tissue."""
    title = f"{canvas.name}: what the encoder sees"
    figure, axes = tissue_figure(canvas, canvas.close, title=title, foot=_FOOT)
    outline_tissue(axes, canvas, colour="#9AA3AE")
    low, high = np.percentile(scores, [2, 98], axis=0)
    flat = high - low <= 0
    unit = np.clip((scores - low) / np.where(flat, 1.0, high - low), 0, 1)
    unit[:, flat] = 0.5
    rgb = palette.component_rgb(unit)
    draw_tiles(axes, canvas.xy, outline=canvas.cell, rgba=np.column_stack([rgb, np.ones(len(rgb))]))
    scale_bar(axes, canvas, canvas.close)
    percent = ", ".join(f"{100 * part:.0f} %" for part in share)
    figure.text(
        axes.get_position().x0,
        0.1 / figure.get_size_inches()[1],
        f"Lightness: component 1. Hues: components 2 and 3.\nShare of the variance: {percent}.",
        fontsize=8,
        color="#3A424C",
        va="bottom",
    )
    return ReportFigure(
        "components",
        title,
        "The embedding's first three principal components as one colour per spot: spots of similar colour look "
        "similar to the encoder. The domains were not used for this figure.",
        f"Map of section {canvas.name}: principal components of the embedding as colours.",
        png_of(figure),
    )


def _foot(canvas: Canvas) -> float:
    entries = len(canvas.domains) + bool((canvas.domain == 0).any())
    rows = -(-entries // _LEGEND_COLUMNS)
    return _LEGEND_ROW * rows + 0.12


def _domain_legend(figure: Any, canvas: Canvas) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(
            facecolor=palette.domain_hex(k),
            edgecolor=palette.OUTLINE_HEX if palette.is_outlined(k) else "none",
            label=f"{k}" if k else "none",
        )
        for k in [*canvas.domains, *([0] if (canvas.domain == 0).any() else [])]
    ]
    # matplotlib fills a legend column by column; readers count along the rows
    columns = min(len(handles), _LEGEND_COLUMNS)
    in_rows = [handle for start in range(columns) for handle in handles[start::columns]]
    figure.legend(handles=in_rows, loc="lower center", ncols=columns, borderaxespad=0.4, columnspacing=1.4)


def _write_numbers(axes: Any, canvas: Canvas) -> None:
    from matplotlib.patheffects import withStroke

    if not 1 < len(canvas.domains) <= _NUMBERED_UP_TO:
        return
    cell = float(np.ptp(canvas.cell[:, 0]))
    shift = 0.0 if canvas.touching else cell / 2  # in the middle of four discs a number hides none of them
    for k, (x, y) in number_places(canvas.xy, canvas.domain, reach=3 * cell).items():
        axes.text(
            x + shift,
            y + shift,
            f"{k}",
            ha="center",
            va="center",
            fontsize=10,
            fontweight="bold",
            color=palette.OUTLINE_HEX,
            path_effects=[withStroke(linewidth=2.6, foreground="white")],
            clip_on=True,
            zorder=5,
        )


def _quantity_colours(values: Floats) -> tuple[Floats, Any]:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize, to_rgba

    known = np.isfinite(values)
    colours = np.tile(to_rgba(palette.NO_DOMAIN_HEX), (len(values), 1))
    if not known.any():
        return colours, None
    low, high = float(values[known].min()), float(values[known].max())
    # confidence is a share wherever it can be one; then all sections have the same scale
    scale = Normalize(0, 1) if low >= 0 and high <= 1 else Normalize(low, max(high, low + 1e-9))
    mapping = ScalarMappable(scale, colormaps[palette.QUANTITY_MAP])
    colours[known] = mapping.to_rgba(values[known])
    return colours, mapping


def _colour_bar(figure: Any, axes: Any, mapping: Any, label: str) -> None:
    place, height = axes.get_position(), figure.get_size_inches()[1]
    bar = figure.add_axes((place.x0, 0.4 / height, place.width * 0.5, 0.11 / height))
    figure.colorbar(mapping, cax=bar, orientation="horizontal")
    bar.tick_params(length=2, pad=2)
    figure.text(place.x0 + place.width * 0.53, 0.455 / height, label, fontsize=8, va="center", color="#3A424C")
