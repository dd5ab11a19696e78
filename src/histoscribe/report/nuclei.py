"""Figure of nuclei: where they are dense, and their outlines over the picture in a few places at full resolution."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

from histoscribe.report.layout import chart_figure, house_style, png_of
from histoscribe.slide.image import SlideImage

_WINDOW_UM = 160.0
_PLACES = 3
_DENSITY_UM = 50.0
_OUTLINE_HEX = "#FFE600"  # seen on violet and on pink, also by the colour-blind


def draw_nuclei(image: SlideImage, table: pd.DataFrame, outlines: Iterable[NDArray[np.float64]]) -> bytes:
    """Draw density over the picture, and outlines in three windows: where nuclei are dense, middling and sparse.

    Parameters
    ----------
    image
        With its microns per pixel.
    table
        Nuclei, `x_px` and `y_px`.
    outlines
        (k, 2) corners each, x before y, in level-0 pixels; only those in the windows are kept.

    Returns
    -------
    The PNG file.
    """
    mpp = float(image.mpp or 1.0)
    xy = table[["x_px", "y_px"]].to_numpy(np.float64)
    places = _places(xy, image.shape, mpp)
    side = min(_WINDOW_UM / mpp, *image.shape)
    corners = [np.clip(place - side / 2, 0, np.array(image.shape[::-1]) - side) for place in places]
    inside: list[list[NDArray[np.float64]]] = [[] for _ in corners]
    for outline in outlines:
        for corner, kept in zip(corners, inside, strict=True):
            if ((outline.min(axis=0) < corner + side) & (outline.max(axis=0) > corner)).all():
                kept.append(outline)
    with house_style():
        figure, _ = chart_figure(4.4 * (1 + len(corners)) / 1.5, 3.4)
        figure.clear()
        axes = figure.subplots(1, 1 + len(corners), squeeze=False)[0]
        _draw_density(axes[0], image, xy, mpp)
        for k, (panel, corner, kept) in enumerate(zip(axes[1:], corners, inside, strict=True)):
            _draw_window(panel, image, corner, int(side), kept)
            panel.set_title(("dense", "middling", "sparse")[k])
        return png_of(figure)


def _places(xy: NDArray[np.float64], shape: tuple[int, int], mpp: float) -> list[NDArray[np.float64]]:
    """Centres of windows about a nucleus in dense, in middling and in sparse surroundings; none without nuclei."""
    if not len(xy):
        return []
    density, cell = _density(xy, shape, mpp)
    column, row = (xy / cell).astype(np.intp).T
    order = np.argsort(density[row, column], kind="stable")
    return [xy[order[int(share * (len(order) - 1))]] for share in (0.97, 0.6, 0.15)][:_PLACES]


def _density(xy: NDArray[np.float64], shape: tuple[int, int], mpp: float) -> tuple[NDArray[np.float64], float]:
    """Nuclei per mm2 on cells of 50 um, smoothed, and a cell's side in pixels."""
    cell = max(_DENSITY_UM / mpp, max(shape) / 1500)
    rows, columns = (int(side / cell) + 1 for side in shape)
    column, row = (xy / cell).astype(np.intp).T if len(xy) else np.zeros((2, 0), np.intp)
    count = np.bincount(row * columns + column, minlength=rows * columns).reshape(rows, columns)
    smooth = ndimage.gaussian_filter(count.astype(np.float64), 1)
    return smooth / (cell * mpp / 1000) ** 2, cell


def _draw_density(axes: Any, image: SlideImage, xy: NDArray[np.float64], mpp: float) -> None:
    picture, _ = image.overview(1024)
    density, cell = _density(xy, image.shape, mpp)
    width, height = image.width * mpp / 1000, image.height * mpp / 1000
    axes.imshow(picture.mean(axis=2), cmap="gray", extent=(0, width, height, 0), vmin=0, vmax=255)
    high = float(np.percentile(density[density > 0], 99)) if (density > 0).any() else 1.0
    alpha = np.clip(density / (0.2 * high), 0, 1) * 0.75
    reach = (0, density.shape[1] * cell * mpp / 1000, density.shape[0] * cell * mpp / 1000, 0)
    shown = axes.imshow(density, cmap="viridis", extent=reach, vmin=0, vmax=high, alpha=alpha)
    axes.set(xlim=(0, width), ylim=(height, 0), xlabel="x (mm)", ylabel="y (mm)", title=f"{len(xy):,} nuclei")
    axes.figure.colorbar(shown, ax=axes, label="nuclei per mm²", shrink=0.7)


def _draw_window(
    axes: Any, image: SlideImage, corner: NDArray[np.float64], side: int, outlines: list[NDArray[np.float64]]
) -> None:
    from matplotlib.collections import PolyCollection

    mpp = float(image.mpp or 1.0)
    x, y = (int(v) for v in corner)
    pixels = image.read(x, y, min(side, image.width - x), min(side, image.height - y))
    extent = (x * mpp, (x + pixels.shape[1]) * mpp, (y + pixels.shape[0]) * mpp, y * mpp)
    axes.imshow(pixels, extent=extent)
    axes.add_collection(
        PolyCollection([one * mpp for one in outlines], facecolors="none", edgecolors=_OUTLINE_HEX, linewidths=0.7)
    )
    axes.set(xlim=extent[:2], ylim=extent[2:], xlabel="x (um)", ylabel="y (um)")
