"""What can be laid on the picture of a section, each drawn tile by tile in colours."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, InputError, nearest
from histoscribe.report.palette import domain_rgb
from histoscribe.view.colours import Scale, colour_values
from histoscribe.view.opened import Opened
from histoscribe.view.pyramid import ChunkedSource
from histoscribe.view.tiles import Window

RGBA = NDArray[np.uint8]
_NUCLEUS, _TISSUE = (0, 245, 255), (255, 176, 0)  # red, green, blue: seen on pink and on violet
_LEAST_NUCLEUS_PX = 6.0  # of a tile: below it, outlines would fill what they surround
_NUCLEUS_UM = 6.0


@dataclass(frozen=True, slots=True)
class Asked:
    """What a layer shows.

    Parameters
    ----------
    gene
        Of the layers "gene" and "map".
    unit
        "counts" or "log".
    balanced
        Whether a map is brought to the spots' counts.
    scale
        Colours of quantities.
    hidden
        Domains that are not shown.
    """

    scale: Scale
    gene: str = ""
    unit: str = "log"
    balanced: bool = True
    hidden: frozenset[int] = frozenset()


def draw(opened: Opened, layer: str, asked: Asked, window: Window) -> RGBA | None:
    """Draw a tile of a layer.

    Returns
    -------
    (height, width, 4) uint8; None where the layer has nothing there.

    Raises
    ------
    InputError
        Where the section has no such layer or gene.
    ResultError
        Where what is to be drawn is damaged.
    """
    if layer not in LAYERS:
        raise InputError(f"there is no layer {layer!r}", where="layer", fix=nearest(layer, LAYERS))
    return LAYERS[layer](opened, asked, window)


def spot_values(opened: Opened, layer: str, asked: Asked) -> NDArray[np.floating]:
    """Quantity of each spot that a layer shows, (n,)."""
    spots = opened.require_spots()
    if layer == "gene":
        return opened.gene(asked.gene, asked.unit)
    if layer == "counts":
        return np.log10(np.maximum(spots.totals, 1))
    if layer == "confidence" and "confidence" in spots.obs:
        return spots.obs["confidence"].to_numpy(np.float64)
    raise ConfigError("this section has no such quantity", where="layer", found=layer)


def map_values(opened: Opened, asked: Asked) -> NDArray[np.floating]:
    """Raster of a mapped gene, (rows, columns), NaN off the tissue."""
    unit: Literal["log"] | None = "log" if asked.unit == "log" else None  # None is what the map itself holds
    return np.asarray(opened.require_maps().gene(asked.gene, unit=unit, balanced=asked.balanced).values)


def _draw_domain(opened: Opened, asked: Asked, window: Window) -> RGBA | None:
    domains = opened.require_spots().domains
    if domains is None:
        raise InputError("no domains were found in this section", where="layer", fix="run `histoscribe domains`")

    def colours() -> RGBA:
        made = np.empty((len(domains), 4), np.uint8)
        made[:, :3] = domain_rgb(domains) * 255 + 0.5
        made[:, 3] = np.where(np.isin(domains, list(asked.hidden)), 0, 255)
        return made

    return _on_spots(opened, ("domain", asked.hidden), colours, window)


def _quantity(layer: str) -> Callable[[Opened, Asked, Window], RGBA | None]:
    def drawn(opened: Opened, asked: Asked, window: Window) -> RGBA | None:
        def colours() -> RGBA:
            return colour_values(spot_values(opened, layer, asked), asked.scale)

        return _on_spots(opened, (layer, asked), colours, window)

    return drawn


def _on_spots(opened: Opened, key: Hashable, make: Callable[[], RGBA], window: Window) -> RGBA | None:
    """Draw colours of spots, (n, 4), kept under `key`."""
    under = opened.spots_under(window)
    if under is None:
        return None
    colours = opened.caches.values.made((opened.version, key), make)
    out: RGBA = colours[under["row"]]  # (height, width, 4)
    out[..., 3] = out[..., 3] * under["cover"].astype(np.uint16) // 255
    return out


def _draw_map(opened: Opened, asked: Asked, window: Window) -> RGBA | None:
    maps, raster = opened.require_maps(), map_values(opened, asked)
    row, column = _places(window, maps.grid.cell_px)
    rows, columns = raster.shape
    seen = np.ix_(np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1))
    return colour_values(raster[seen], asked.scale)


def _draw_tissue(opened: Opened, asked: Asked, window: Window) -> RGBA | None:
    return _outlined(opened.require_labels("tissue"), window, _TISSUE, wide=2)


def _draw_nuclei(opened: Opened, asked: Asked, window: Window) -> RGBA | None:
    labels = opened.require_labels("nuclei")
    if opened.mpp and _NUCLEUS_UM / (opened.mpp * window.scale) < _LEAST_NUCLEUS_PX:
        inside = _labels_under(labels, window)[1:-1, 1:-1] > 0
        return _painted(inside, _NUCLEUS, opacity=150)
    return _outlined(labels, window, _NUCLEUS, wide=1)


def _outlined(labels: ChunkedSource, window: Window, colour: tuple[int, int, int], *, wide: int) -> RGBA | None:
    """Draw the inner borders of labels, `wide` pixels across."""
    seen = _labels_under(labels, window)
    here, edge = seen[1:-1, 1:-1], np.zeros((window.height, window.width), bool)
    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
        edge |= here != seen[down : down + window.height, right : right + window.width]
    edge &= here > 0
    if wide > 1:
        grown = edge.copy()
        grown[1:] |= edge[:-1]
        grown[:, 1:] |= edge[:, :-1]
        edge = grown
    return _painted(edge, colour, opacity=255)


def _painted(where: NDArray[np.bool_], colour: tuple[int, int, int], *, opacity: int) -> RGBA | None:
    if not where.any():
        return None
    out = np.zeros((*where.shape, 4), np.uint8)
    out[where] = (*colour, opacity)
    return out


def _labels_under(labels: ChunkedSource, window: Window) -> NDArray[np.integer]:
    """Label under each pixel of a tile and of a border of one pixel around it: (height + 2, width + 2)."""
    level = labels.level_for(window.scale)
    row, column = _places(window, labels.scales[level], border=1)
    rows, columns = labels.shapes[level]
    row, column = np.clip(row, 0, rows - 1), np.clip(column, 0, columns - 1)
    part = labels.read(column[0], row[0], column[-1] - column[0] + 1, row[-1] - row[0] + 1, level)
    return np.asarray(part[np.ix_(row - row[0], column - column[0])])


def _places(window: Window, cell_px: float, *, border: int = 0) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Row and column of the cells of `cell_px` level-0 pixels that lie under the pixels of a tile."""
    y, x = (
        start + (np.arange(-border, side + border) + 0.5) * window.scale
        for start, side in ((window.y, window.height), (window.x, window.width))
    )
    return np.floor(y / cell_px).astype(np.intp), np.floor(x / cell_px).astype(np.intp)


LAYERS: dict[str, Callable[[Opened, Asked, Window], RGBA | None]] = {
    "domain": _draw_domain,
    "confidence": _quantity("confidence"),
    "counts": _quantity("counts"),
    "gene": _quantity("gene"),
    "map": _draw_map,
    "tissue": _draw_tissue,
    "nuclei": _draw_nuclei,
}
