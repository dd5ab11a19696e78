"""Style and layout of figures: fixed margins, tissue axes with a scale bar, PNG files that are reproducible."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.report.palette import OUTLINE_HEX
from histoscribe.report.tissue_canvas import Canvas, View, crop

DPI = 200
# inches
_TISSUE_WIDTH, _TISSUE_HEIGHT = 5.4, 6.6
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.78, 0.17, 0.46, 0.55

_STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # comes with matplotlib: the same letters on every machine
    "font.size": 9,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.labelcolor": "#3A424C",
    "axes.edgecolor": "#9AA3AE",
    "axes.linewidth": 0.7,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": "#E4E7EB",
    "grid.linewidth": 0.7,
    "xtick.color": "#6B7580",
    "ytick.color": "#6B7580",
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "xtick.labelcolor": "#3A424C",
    "ytick.labelcolor": "#3A424C",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "text.parse_math": False,
    "figure.facecolor": "white",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the report's own style, whatever the user's matplotlibrc says; restore the user's settings afterwards."""
    import matplotlib

    defaults = {key: value for key, value in matplotlib.rcParamsDefault.items() if not key.startswith("backend")}
    with matplotlib.rc_context(defaults | _STYLE):
        yield


def png_of(figure: Any) -> bytes:
    """Return the figure as PNG, without date or program version, so that the same figure gives the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    canvas, buffer = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[..., :3]  # the ground is opaque
    # at a higher level it takes twice as long and is 3 % smaller
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG", compress_level=4, dpi=(figure.dpi, figure.dpi))
    return buffer.getvalue()


def chart_figure(width: float, height: float) -> tuple[Any, Any]:
    """Figure and axes for a chart, size in inches; the margins fit the labels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    return figure, figure.subplots()


def tissue_figure(canvas: Canvas, view: View, *, title: str, foot: float = 0.0) -> tuple[Any, Any]:
    """Figure and axes for a window on the tissue; equal views give equal layouts.

    Parameters
    ----------
    view
        The window.
    title
        Written above it.
    foot
        Inches left free below, for a legend.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    shrink = min(_TISSUE_WIDTH / view.width, _TISSUE_HEIGHT / view.height)
    wide, tall = max(0.3, view.width * shrink), max(0.3, view.height * shrink)
    full_width = max(wide + _LEFT + _RIGHT, 4.2)
    full_height = tall + _TOP + _BOTTOM + foot
    figure = Figure(figsize=(full_width, full_height), dpi=DPI)
    axes = figure.add_axes(
        (_LEFT / full_width, (_BOTTOM + foot) / full_height, wide / full_width, tall / full_height),
        xlim=(view.left, view.right),
        ylim=(view.bottom, view.top),
        xlabel=f"x ({canvas.unit})",
        ylabel=f"y ({canvas.unit})",
    )
    axes.set_title(title, pad=8)
    for axis, inches in ((axes.xaxis, wide), (axes.yaxis, tall)):
        axis.set_major_locator(MaxNLocator(max(1, min(6, int(inches / 0.7))), steps=[1, 2, 5, 10]))
        axis.set_major_formatter(StrMethodFormatter("{x:,.6g}"))
    axes.spines[:].set_visible(True)
    return figure, axes


def show_picture(axes: Any, picture: NDArray[np.uint8] | None, canvas: Canvas, view: View) -> None:
    """Show the part of a whole-image picture that a view needs; nothing where there is no picture."""
    if picture is None:
        return
    part, extent = crop(picture, canvas, view)
    if part.size:
        limits = axes.get_xlim(), axes.get_ylim()
        axes.imshow(part, extent=extent, interpolation="antialiased", aspect="auto", zorder=0)
        axes.set(xlim=limits[0], ylim=limits[1])


def outline_tissue(axes: Any, canvas: Canvas, *, colour: str, width: float = 1.0) -> None:
    """Draw the border of the tissue mask; nothing where there is none or it has no border."""
    mask = canvas.tissue
    if mask is None or min(mask.shape) < 2 or mask.all() or not mask.any():
        return
    stride = max(1, max(mask.shape) // 700)  # finer than print shows, and contours cost time per pixel
    thin = mask[::stride, ::stride].astype(np.float32)
    thin = np.pad(thin, 1)
    x, y = ((np.arange(side) - 0.5) * stride * canvas.tissue_step for side in thin.shape[::-1])
    axes.contour(x, y, thin, levels=[0.5], colors=[colour], linewidths=[width], zorder=1)


def scale_bar(axes: Any, canvas: Canvas, view: View) -> None:
    """Draw a bar of a round length in a white box, in the corner that hides the fewest spots."""
    from matplotlib.patches import Rectangle

    length = round_length(view.width / 5)
    label = f"{length:,.6g} {canvas.unit}"
    position = axes.get_position()
    unit_per_inch = view.width / (position.width * axes.figure.get_size_inches()[0])
    box_width = max(length, 0.085 * len(label) * unit_per_inch) + 0.16 * unit_per_inch
    box_height, gap = 0.34 * unit_per_inch, 0.09 * unit_per_inch
    lefts = view.left + gap, view.right - gap - box_width
    tops = view.bottom - gap - box_height, view.top + gap
    corners = [(left, top) for top in tops for left in lefts]

    def hidden(corner: tuple[float, float]) -> int:
        offset = canvas.xy - corner
        return int(((offset > 0) & (offset < (box_width, box_height))).all(axis=1).sum())

    left, top = min(corners, key=hidden)
    middle = left + box_width / 2
    axes.add_patch(Rectangle((left, top), box_width, box_height, facecolor="white", alpha=0.94, linewidth=0, zorder=8))
    axes.add_patch(
        Rectangle(
            (middle - length / 2, top + 0.25 * unit_per_inch),
            length,
            0.04 * unit_per_inch,
            facecolor=OUTLINE_HEX,
            linewidth=0,
            zorder=9,
        )
    )
    axes.text(
        middle, top + 0.12 * unit_per_inch, label, ha="center", va="center", fontsize=8, color=OUTLINE_HEX, zorder=9
    )


def bare_scale_bar(axes: Any, left_um: float, y_um: float, wanted_um: float, *, colour: str = OUTLINE_HEX) -> None:
    """Draw a bar of a round length, at most `wanted_um`, from a place to the right, with its length above it."""
    length = round_length(wanted_um)
    axes.plot([left_um, left_um + length], [y_um, y_um], color=colour, linewidth=2.5, solid_capstyle="butt")
    axes.annotate(
        f"{length:,.6g} µm",
        (left_um + length / 2, y_um),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        fontsize=8,
        color=colour,
    )


def round_length(wanted: float) -> float:
    """Return the largest of 1, 2, 5, 10, 20, 50, ... that is not above `wanted`."""
    power = 10.0 ** np.floor(np.log10(wanted))
    return float(power * max(step for step in (1, 2, 5) if step * power <= wanted * (1 + 1e-9)))
