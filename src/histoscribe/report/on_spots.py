"""Small maps side by side: one value per spot, on the tissue."""

from collections.abc import Sequence

import numpy as np

from histoscribe.report import palette
from histoscribe.report.layout import DPI, png_of
from histoscribe.report.tiles import draw_tiles
from histoscribe.report.tissue_canvas import Canvas, Floats

_COLUMNS, _WIDTH = 4, 2.3  # inches


def draw_on_spots(canvas: Canvas, titles: Sequence[str], values: Floats) -> bytes:
    """Draw one map per column of values, (n, k), from dark for the lowest or 0 to bright for the highest hundredth.

    Returns
    -------
    The PNG file.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure

    view = canvas.close
    columns = min(_COLUMNS, len(titles))
    rows = -(-len(titles) // columns)
    tall = _WIDTH * min(2.0, view.height / view.width)
    figure = Figure(figsize=(columns * _WIDTH, rows * (tall + 0.3)), dpi=DPI, layout="constrained")
    grid = np.atleast_1d(figure.subplots(rows, columns)).ravel()
    for axes, title, value in zip(grid, titles, values.T, strict=False):
        axes.set(xlim=(view.left, view.right), ylim=(view.bottom, view.top), xticks=[], yticks=[])
        axes.set_aspect("equal")
        low = min(0.0, float(value.min()))
        top = max(float(np.percentile(value, 99)), low + 1e-9)
        share = np.clip((value - low) / (top - low), 0, 1)
        draw_tiles(axes, canvas.xy, outline=canvas.cell, rgba=colormaps[palette.QUANTITY_MAP](share))
        axes.set_title(title, fontsize=8.5)
        axes.spines[:].set_visible(False)
    for axes in grid[len(titles) :]:
        axes.set_axis_off()
    return png_of(figure)
