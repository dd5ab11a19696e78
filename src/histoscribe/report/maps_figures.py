"""Figures of maps: several genes in colours over a dimmed picture, and one gene on spots and on tissue."""

import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.report.layout import DPI, bare_scale_bar, png_of
from histoscribe.report.maps_contents import GeneMap, MapsContents, Redrawn
from histoscribe.report.report_figure import ReportFigure

Floats = NDArray[np.float64]

# bright on dark and apart for the colour-blind: lightness differs where hue may not be seen
CHANNEL_HEX = ("#FF5FC8", "#3DDC84", "#4DA3FF", "#FFD84D")
_DIM = 0.26  # of the picture's own light
_LOW, _HIGH = 40.0, 99.5  # percentiles of a gene on tissue that become dark and full colour
_PANEL_IN = 4.2
_MAP = "magma"
_UNIT = "ln(1 + counts per 10,000)"


def composite_rgb(contents: MapsContents) -> NDArray[np.uint8]:
    """Blend the first four genes, one colour each, over the dimmed picture: (h, w, 3) uint8.

    Light is added as on a screen, so that places with several genes show the mixture; a gene's own brightness runs from
    its 40th to its 99.5th percentile on tissue.
    """
    light = contents.picture.astype(np.float64) / 255 * _DIM
    dark = 1 - light
    for gene, code in zip(contents.genes, CHANNEL_HEX, strict=False):
        strength = _resized(_brightness(gene.raster), contents)
        dark *= 1 - strength[..., None] * _rgb(code)
    return np.asarray(255 * (1 - dark)).round().astype(np.uint8)


def draw_composite(contents: MapsContents) -> ReportFigure:
    """Several genes over the picture, with a legend and a scale bar."""
    shown = contents.genes[: len(CHANNEL_HEX)]
    title = f"{contents.section}: {len(shown)} gene{'' if len(shown) == 1 else 's'} on the tissue"
    picture, view = _cropped(composite_rgb(contents), contents)
    wide = 7.4
    tall = wide * picture.shape[0] / picture.shape[1]
    from matplotlib.figure import Figure

    figure = Figure(figsize=(wide, tall + 0.75), dpi=DPI)
    axes = figure.add_axes((0.01, 0.01, 0.98, tall / (tall + 0.75) - 0.01))
    axes.imshow(picture, extent=(view[0], view[2], view[3], view[1]), interpolation="antialiased")
    axes.set_axis_off()
    figure.text(0.012, 1 - 0.1 / (tall + 0.75), title, fontsize=10.5, fontweight="bold", va="top")
    for k, (gene, code) in enumerate(zip(shown, CHANNEL_HEX, strict=False)):
        x = 0.012 + 0.49 * (k % 2)
        y = 1 - (0.42 + 0.2 * (k // 2)) / (tall + 0.75)
        figure.text(x, y, "■", color=code, fontsize=13, va="center")
        figure.text(x + 0.03, y, gene.name, fontsize=9, va="center")
    _corner_bar(axes, view, colour="white")
    return ReportFigure(
        "composite",
        title,
        "Each gene in its own colour over the dimmed H&E, as an immunofluorescence viewer shows channels. "
        "The maps show the expected expression, not balanced to the spots. "
        "Brightness cannot be compared between genes.",
        f"Composite map of {', '.join(gene.name for gene in shown)} on section {contents.section}.",
        png_of(figure),
    )


def draw_gene(contents: MapsContents, gene: GeneMap) -> ReportFigure:
    """One gene: what the spots measured, the expected map, and the map balanced to the spots, on one colour scale."""
    from matplotlib.figure import Figure

    picture, view = _cropped(_greyed(contents.picture), contents)
    rasters = {"expected": gene.raster} | ({} if gene.balanced is None else {"balanced": gene.balanced})
    spots = int(len(gene.measured) > 0)
    panels = spots + len(rasters)
    tall = _PANEL_IN * (view[3] - view[1]) / (view[2] - view[0])
    figure = Figure(figsize=(panels * _PANEL_IN + 1.0, tall + 0.5), dpi=DPI, layout="constrained")
    columns = figure.subplots(1, panels, squeeze=False)[0]
    known = gene.raster[np.isfinite(gene.raster)]
    high = max(float(np.percentile(np.concatenate([gene.measured, known]), 99.5)), 1e-6)
    for axes in columns:
        axes.imshow(picture, extent=(view[0], view[2], view[3], view[1]))
    if spots:
        _draw_spots(columns[0], contents, gene, high)
    for axes, (title, raster) in zip(columns[spots:], rasters.items(), strict=True):
        part, extent = _cropped_raster(raster, contents, view)
        mapped = axes.imshow(part, extent=extent, cmap=_MAP, vmin=0, vmax=high, interpolation="nearest")
        axes.set_title(f"map, {title}")
    for axes in columns:
        axes.set(xlim=(view[0], view[2]), ylim=(view[3], view[1]), xticks=[], yticks=[])
    _corner_bar(columns[-1], view, colour="black")
    figure.colorbar(mapped, ax=list(columns), fraction=0.03)
    # above the bar: along that of a flat section it would be longer than the figure is high, and be cut off
    figure.text(0.99, 0.98, _UNIT, fontsize=8, ha="right", va="top")
    figure.suptitle(f"{contents.section}: {gene.name}", fontweight="bold", x=0.01, ha="left", fontsize=10.5)
    return ReportFigure(
        "map_" + re.sub(r"[^A-Za-z0-9._-]", "_", gene.name),
        f"{contents.section}: {gene.name}",
        "The spots as they were measured, at their true size; the expected map, without the spots' sampling noise; and "
        "the balanced map, which sums to the measured count under each spot. All have the same colour scale."
        if spots
        else "The map that the picture alone gives; no spots were measured here.",
        f"Map of {gene.name} on section {contents.section} beside the measured spots.",
        png_of(figure),
    )


def draw_redrawn(contents: MapsContents, redrawn: Redrawn) -> ReportFigure:
    """Draw the true picture and the one that a mapper's networks draw, on the same raster."""
    from matplotlib.figure import Figure

    view = _view(contents)
    tall = _PANEL_IN * (view[3] - view[1]) / (view[2] - view[0])
    figure = Figure(figsize=(2 * _PANEL_IN + 0.3, tall + 0.7), dpi=DPI, layout="constrained")
    like = "" if redrawn.ssim is None else f", SSIM {redrawn.ssim:.2f}"
    columns = figure.subplots(1, 2)
    for axes, title, picture in zip(
        columns, ("H&E", f"reconstructed{like}"), (redrawn.truth, redrawn.made), strict=True
    ):
        height, width = (side * redrawn.um_per_px for side in picture.shape[:2])
        axes.imshow(picture, extent=(0, width, height, 0), interpolation="antialiased")
        axes.set(xlim=(view[0], view[2]), ylim=(view[3], view[1]), xticks=[], yticks=[])
        axes.set_title(title)
    _corner_bar(columns[1], view, colour="black")
    title = f"{contents.section}: the picture that the networks reconstruct"
    figure.suptitle(title, fontweight="bold", x=0.01, ha="left", fontsize=10.5)
    return ReportFigure(
        "reconstruction",
        title,
        f"Both at {redrawn.um_per_px:.3g} µm per pixel. The networks draw the picture from the same latent grid as "
        "the genes. SSIM, 1 for equal pictures, is the mean over tissue. They were trained on this very picture, and "
        "their likeness says nothing of how well genes are mapped.",
        f"H&E picture of section {contents.section} beside the one that the networks reconstruct{like}.",
        png_of(figure),
    )


def _draw_spots(axes: Any, contents: MapsContents, gene: GeneMap, high: float) -> None:
    from matplotlib.collections import EllipseCollection

    size = np.full(len(contents.xy_um), contents.diameter_um)
    discs = EllipseCollection(
        size,
        size,
        np.zeros(len(size)),
        units="xy",
        offsets=contents.xy_um,
        offset_transform=axes.transData,
        cmap=_MAP,
        linewidths=0,
    )
    discs.set_array(np.asarray(gene.measured))
    discs.set_clim(0, high)
    axes.add_collection(discs)
    axes.set_title("spots")


def _brightness(raster: NDArray[np.float32]) -> Floats:
    known = raster[np.isfinite(raster)]
    low, high = np.percentile(known, [_LOW, _HIGH]) if known.size else (0.0, 1.0)
    return np.asarray(np.clip((np.nan_to_num(raster, nan=low) - low) / max(high - low, 1e-9), 0, 1))


def _resized(raster: Floats, contents: MapsContents) -> Floats:
    """Interpolate linearly on the pixels of the picture."""
    from scipy.ndimage import map_coordinates

    height, width = contents.picture.shape[:2]
    ratio = contents.picture_um / contents.raster_um
    rows, columns = ((np.arange(side) + 0.5) * ratio - 0.5 for side in (height, width))
    grid = np.meshgrid(rows, columns, indexing="ij")
    return np.asarray(map_coordinates(raster, grid, order=1, mode="nearest"))


def _greyed(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    grey = 255 - 0.35 * (255 - picture @ np.array([0.299, 0.587, 0.114]))
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def _view(contents: MapsContents) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of what was mapped, with a margin, in microns."""
    known = np.isfinite(contents.genes[0].raster)
    um = contents.raster_um
    rows, columns = np.flatnonzero(known.any(axis=1)), np.flatnonzero(known.any(axis=0))
    low = np.array([columns[0], rows[0]]) * um - 100
    high = np.array([columns[-1] + 1, rows[-1] + 1]) * um + 100
    limit = np.array(contents.picture.shape[1::-1]) * contents.picture_um
    low, high = np.maximum(low, 0), np.minimum(high, limit)
    return float(low[0]), float(low[1]), float(high[0]), float(high[1])


def _cropped(picture: NDArray[np.uint8], contents: MapsContents) -> tuple[NDArray[np.uint8], tuple[float, ...]]:
    left, top, right, bottom = _view(contents)
    step = contents.picture_um
    x0, x1, y0, y1 = int(left / step), int(np.ceil(right / step)), int(top / step), int(np.ceil(bottom / step))
    part = picture[y0:y1, x0:x1]
    return part, (x0 * step, y0 * step, (x0 + part.shape[1]) * step, (y0 + part.shape[0]) * step)


def _cropped_raster(raster: Any, contents: MapsContents, view: tuple[float, ...]) -> tuple[Any, tuple[float, ...]]:
    um = contents.raster_um
    x0, y0 = int(view[0] / um), int(view[1] / um)
    part = raster[y0 : int(np.ceil(view[3] / um)), x0 : int(np.ceil(view[2] / um))]
    return part, (x0 * um, (x0 + part.shape[1]) * um, (y0 + part.shape[0]) * um, y0 * um)


def _corner_bar(axes: Any, view: tuple[float, ...], *, colour: str) -> None:
    width, height = view[2] - view[0], view[3] - view[1]
    bare_scale_bar(axes, view[0] + 0.04 * width, view[3] - 0.05 * height, width / 5, colour=colour)


def _rgb(code: str) -> Floats:
    return np.array([int(code[k : k + 2], 16) / 255 for k in (1, 3, 5)])
