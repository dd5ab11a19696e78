"""Figures that show the tissue: the picture, the domains, their confidence, the embedding."""

from typing import Any

import numpy as np

from histoscribe.report import palette
from histoscribe.report.canvas import (
    outline_tissue,
    png_of,
    scale_bar,
    show_picture,
    tissue_figure,
)
from histoscribe.report.plate import Plate
from histoscribe.report.sheet import Floats, Sheet, faded
from histoscribe.report.tiles import domain_rgba, draw_tiles, number_places

_LEGEND_COLUMNS, _LEGEND_ROW, _FOOT = 8, 0.19, 0.42  # entries, inches, inches
_NUMBERED_UP_TO = 60  # more numbers than this would hide the map


def draw_picture(sheet: Sheet) -> Plate | None:
    """H&E of the part of the section that holds spots; None without a picture."""
    if sheet.picture is None:
        return None
    title = f"{sheet.name}: H&E"
    figure, axes = tissue_figure(sheet, sheet.close, title=title, foot=_foot(sheet))
    show_picture(axes, sheet.picture, sheet, sheet.close)
    scale_bar(axes, sheet, sheet.close)
    return Plate(
        "he",
        title,
        "The picture as it was read, cut to the part that holds spots.",
        f"Haematoxylin and eosin picture of section {sheet.name}.",
        png_of(figure),
    )


def draw_domains(sheet: Sheet) -> Plate:
    """Domains as spot-sized tiles at their true size, over the picture in pale grey."""
    count = len(sheet.domains)
    title = f"{sheet.name}: {count} tissue domain{'' if count == 1 else 's'}"
    figure, axes = tissue_figure(sheet, sheet.close, title=title, foot=_foot(sheet))
    show_picture(axes, faded(sheet), sheet, sheet.close)
    if not sheet.touching:
        draw_tiles(axes, sheet.xy, outline=0.95 * sheet.cell, rgba=domain_rgba(sheet.domain, alpha=0.35))
    draw_tiles(
        axes,
        sheet.xy,
        outline=sheet.spot,
        rgba=domain_rgba(sheet.domain, alpha=0.9 if sheet.picture is not None else 1.0),
        edged=sheet.domain > len(palette.DOMAIN_HEX),
    )
    _write_numbers(axes, sheet)
    scale_bar(axes, sheet, sheet.close)
    _domain_legend(figure, sheet)
    ground = " over the picture in grey" if sheet.picture is not None else ""
    shape, cell = ("bin", "") if sheet.touching else ("disc", ", on its share of the lattice in a paler tone")
    return Plate(
        "domains",
        title,
        f"Each {shape} is one spot at its true size{ground}{cell}; a number stands amid each domain.",
        f"Map of section {sheet.name}: {len(sheet.xy):,} spots coloured by {count} domains.",
        png_of(figure),
    )


def draw_confidence(sheet: Sheet) -> Plate:
    """Confidence of each spot's domain."""
    title = f"{sheet.name}: confidence of the domain of each spot"
    figure, axes = tissue_figure(sheet, sheet.close, title=title, foot=_FOOT)
    outline_tissue(axes, sheet, colour="#9AA3AE")
    known = np.isfinite(sheet.confidence)
    colours, bar = _quantity_colours(sheet.confidence)
    draw_tiles(axes, sheet.xy, outline=sheet.cell, rgba=colours)
    scale_bar(axes, sheet, sheet.close)
    if bar is not None:
        _colour_bar(figure, axes, bar, "confidence (higher is surer)")
    missing = f" {(~known).sum():,} spots without one are grey." if not known.all() else ""
    mean = f"mean {sheet.confidence[known].mean():.2f}" if known.any() else "not known"
    return Plate(
        "confidence",
        title,
        f"How firmly the method places each spot in its domain, not how likely the domain is to be right.{missing}",
        f"Map of section {sheet.name}: confidence per spot, {mean}.",
        png_of(figure),
    )


def draw_components(sheet: Sheet, scores: Floats, share: Floats) -> Plate:
    """First three principal components of the embedding, (n, 3), as colours on the tissue."""
    title = f"{sheet.name}: what the encoder sees"
    figure, axes = tissue_figure(sheet, sheet.close, title=title, foot=_FOOT)
    outline_tissue(axes, sheet, colour="#9AA3AE")
    low, high = np.percentile(scores, [2, 98], axis=0)
    flat = high - low <= 0
    unit = np.clip((scores - low) / np.where(flat, 1.0, high - low), 0, 1)
    unit[:, flat] = 0.5
    rgb = palette.component_rgb(unit)
    draw_tiles(axes, sheet.xy, outline=sheet.cell, rgba=np.column_stack([rgb, np.ones(len(rgb))]))
    scale_bar(axes, sheet, sheet.close)
    percent = ", ".join(f"{100 * part:.0f} %" for part in share)
    figure.text(
        axes.get_position().x0,
        0.1 / figure.get_size_inches()[1],
        f"Lightness: component 1. Hues: components 2 and 3.\nShare of the variance: {percent}.",
        fontsize=8,
        color="#3A424C",
        va="bottom",
    )
    return Plate(
        "components",
        title,
        "The embedding's first three principal components as one colour per spot: spots of like colour look alike "
        "to the encoder. No domain went into this picture.",
        f"Map of section {sheet.name}: principal components of the embedding as colours.",
        png_of(figure),
    )


def _foot(sheet: Sheet) -> float:
    entries = len(sheet.domains) + bool((sheet.domain == 0).any())
    rows = -(-entries // _LEGEND_COLUMNS)
    return _LEGEND_ROW * rows + 0.12


def _domain_legend(figure: Any, sheet: Sheet) -> None:
    from matplotlib.patches import Patch

    handles = [
        Patch(
            facecolor=palette.domain_hex(k),
            edgecolor=palette.OUTLINE_HEX if palette.is_outlined(k) else "none",
            label=f"{k}" if k else "none",
        )
        for k in [*sheet.domains, *([0] if (sheet.domain == 0).any() else [])]
    ]
    # a legend fills its columns one after the other; readers count along the rows
    columns = min(len(handles), _LEGEND_COLUMNS)
    in_rows = [handle for start in range(columns) for handle in handles[start::columns]]
    figure.legend(handles=in_rows, loc="lower center", ncols=columns, borderaxespad=0.4, columnspacing=1.4)


def _write_numbers(axes: Any, sheet: Sheet) -> None:
    from matplotlib.patheffects import withStroke

    if not 1 < len(sheet.domains) <= _NUMBERED_UP_TO:
        return
    cell = float(np.ptp(sheet.cell[:, 0]))
    shift = 0.0 if sheet.touching else cell / 2  # amid four discs a number hides none of them
    for k, (x, y) in number_places(sheet.xy, sheet.domain, reach=3 * cell).items():
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
