"""Figures of a section on matplotlib axes: domains, genes, what the check looked at, and columns side by side."""

from collections.abc import Sequence
from typing import Any, Unpack

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscribe.api.objects import Opened, open_object
from histoscribe.api.options import ReadingOptions, require_known
from histoscribe.errors import ConfigError, InputError, nearest
from histoscribe.io.preflight import preflight as preflight_of
from histoscribe.report import palette
from histoscribe.report.contents import ReportContents
from histoscribe.report.layout import scale_bar, show_picture
from histoscribe.report.tiles import draw_tiles
from histoscribe.report.tissue_canvas import Canvas, faded, prepare
from histoscribe.slide.tissue import tissue_mask

_LEGEND_ROWS = 14
_WORST = ("refused", "warning", "open", "ok")


def domains(
    data: Any, *, key: str = "domain", ax: Any = None, return_fig: bool = False, **options: Unpack[ReadingOptions]
) -> Any:
    """Draw the domains, or any other groups of spots, at the spots' true size over the picture in grey.

    Parameters
    ----------
    data
        AnnData, SpatialData or Section.
    key
        Column of `obs` with the groups; their colours are those in `uns[key + "_colors"]`, where there are any.
    ax
        Axes to draw on; new ones where not given.
    return_fig
        Return the figure instead of the axes.
    options
        As of `ReadingOptions`.

    Returns
    -------
    The axes, in microns where the size of a pixel is known; or the figure.

    Raises
    ------
    InputError
        Where no section can be read of the object, or there is no such column.
    """
    require_known(options, ReadingOptions)
    opened = open_object(data, options)
    canvas = _canvas(opened)
    ax = _axes(ax)
    _draw(ax, canvas, opened, key)
    return ax.figure if return_fig else ax


def gene(data: Any, name: str, *, ax: Any = None, return_fig: bool = False, **options: Unpack[ReadingOptions]) -> Any:
    """Draw what was measured of a gene on each spot, as ln(1 + counts per 10,000).

    Colours go from the lowest to the highest hundredth of the spots, so that single spots do not flatten them; spots
    whose measurement failed are grey.

    Parameters
    ----------
    data, ax, return_fig, options
        As of `domains`.
    name
        Of the gene.

    Returns
    -------
    The axes, or the figure.

    Raises
    ------
    InputError
        Where there is no such gene; the message names the nearest.
    """
    require_known(options, ReadingOptions)
    opened = open_object(data, options)
    spots = opened.section.spots
    if name not in spots.var_names:
        raise InputError(f"there is no gene {name!r}", where="genes", fix=nearest(name, list(spots.var_names)))
    total = np.asarray(spots.X.sum(axis=1), np.float64).ravel()
    values = np.full(spots.n_obs, np.nan)
    values[total > 0] = np.log1p(1e4 * spots[:, name].X.toarray()[total > 0, 0] / total[total > 0])
    ax = _axes(ax)
    _draw_values(ax, _canvas(opened), values, title=name, label="ln(1 + counts per 10,000)")
    return ax.figure if return_fig else ax


def preflight(data: Any, *, ax: Any = None, return_fig: bool = False, **options: Unpack[ReadingOptions]) -> Any:
    """Draw what the check looks at: the picture, the spots on it, and in words whatever is not as it should be.

    Parameters
    ----------
    data, ax, return_fig, options
        As of `domains`; with a picture.

    Returns
    -------
    The axes, or the figure. Spots on tissue are blue, spots beside it orange.

    Raises
    ------
    InputError
        Where no section can be read of the object, or it has no picture.
    """
    require_known(options, ReadingOptions)
    opened = open_object(data, options)
    mask = tissue_mask(opened.section.require_image())
    found = preflight_of(opened.reading, mask=mask)
    canvas = _canvas(opened)
    ax = _axes(ax)
    _frame(ax, canvas, view=canvas.whole)
    show_picture(ax, canvas.picture, canvas, canvas.whole)
    ax.set_aspect("equal")
    on = mask.at(opened.section.xy_px)
    colours = np.where(on[:, None], _rgba(palette.DOMAIN_HEX[0]), _rgba(palette.DOMAIN_HEX[1]))
    colours[:, 3] = 0.55
    draw_tiles(ax, canvas.xy, outline=canvas.spot, rgba=colours)
    worst = min((finding.level for finding in found.findings), key=_WORST.index)
    said = [finding.message for finding in found.findings if finding.level != "ok"]
    ax.set_title("\n".join([f"{canvas.name}: {worst}", *said]), loc="left", fontsize=8, wrap=True)
    return ax.figure if return_fig else ax


def compare(data: Any, keys: Sequence[str], *, return_fig: bool = False, **options: Unpack[ReadingOptions]) -> Any:
    """Draw columns of `obs` side by side: two divisions into domains, a division and known labels, confidences.

    Parameters
    ----------
    data, return_fig, options
        As of `domains`.
    keys
        Columns of `obs`, at least one; groups or numbers.

    Returns
    -------
    Array of axes, one a column; or the figure.

    Raises
    ------
    InputError
        Where no section can be read of the object, or there is no such column.
    """
    require_known(options, ReadingOptions)
    if isinstance(keys, str) or not keys:
        raise ConfigError("columns are given as a list", where="keys", found=keys)
    import matplotlib.pyplot as plt

    opened = open_object(data, options)
    canvas = _canvas(opened)
    figure, axes = plt.subplots(1, len(keys), figsize=(5.2 * len(keys), 4.8), layout="constrained", squeeze=False)
    for ax, key in zip(axes[0], keys, strict=True):
        _draw(ax, canvas, opened, key)
    return figure if return_fig else axes[0]


def _canvas(opened: Opened) -> Canvas:
    return prepare(ReportContents(section=opened.section, domains=None))


def _axes(ax: Any) -> Any:
    if ax is not None:
        return ax
    import matplotlib.pyplot as plt

    return plt.subplots(figsize=(5.6, 4.8), layout="constrained")[1]


def _frame(ax: Any, canvas: Canvas, *, view: Any) -> None:
    ax.set(
        xlim=(view.left, view.right),
        ylim=(view.bottom, view.top),
        xlabel=f"x ({canvas.unit})",
        ylabel=f"y ({canvas.unit})",
    )


def _draw(ax: Any, canvas: Canvas, opened: Opened, key: str) -> None:
    column = opened.column(key)
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        _draw_values(ax, canvas, column.to_numpy(np.float64), title=key, label=key)
    else:
        _draw_groups(ax, canvas, opened, key)


def _draw_groups(ax: Any, canvas: Canvas, opened: Opened, key: str) -> None:
    from matplotlib.patches import Patch

    groups, names = opened.groups(key)
    stored = opened.table.uns.get(f"{key}_colors")
    if stored is None or len(stored) < len(names):
        stored = [palette.domain_hex(k) for k in range(1, len(names) + 1)]
    table = np.array([_rgba(palette.NO_DOMAIN_HEX), *(_rgba(colour) for colour in stored)])
    _frame(ax, canvas, view=canvas.close)
    show_picture(ax, faded(canvas), canvas, canvas.close)
    ax.set_aspect("equal")
    draw_tiles(ax, canvas.xy, outline=canvas.spot, rgba=table[groups])
    scale_bar(ax, canvas, canvas.close)
    shown = [k for k in range(1, len(names) + 1) if (groups == k).any()]
    handles = [Patch(facecolor=table[k], label=names[k - 1]) for k in shown]
    if (groups == 0).any():
        handles.append(Patch(facecolor=table[0], label="none"))
    columns = -(-len(handles) // _LEGEND_ROWS)
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, ncols=columns, title=key)
    ax.set_title(f"{canvas.name}: {key}", loc="left")


def _draw_values(ax: Any, canvas: Canvas, values: NDArray[np.float64], *, title: str, label: str) -> None:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    known = np.isfinite(values)
    low, high = np.percentile(values[known], [1, 99]) if known.any() else (0.0, 1.0)
    mapping = ScalarMappable(Normalize(low, max(high, low + 1e-9)), colormaps[palette.QUANTITY_MAP])
    colours = np.tile(_rgba(palette.NO_DOMAIN_HEX), (len(values), 1))
    colours[known] = mapping.to_rgba(values[known])
    _frame(ax, canvas, view=canvas.close)
    show_picture(ax, faded(canvas), canvas, canvas.close)
    ax.set_aspect("equal")
    draw_tiles(ax, canvas.xy, outline=canvas.spot, rgba=colours)
    scale_bar(ax, canvas, canvas.close)
    bar = ax.figure.colorbar(mapping, ax=ax, shrink=0.7, extend="both", label=label)
    bar.outline.set_visible(False)
    ax.set_title(f"{canvas.name}: {title}", loc="left")


def _rgba(colour: Any) -> NDArray[np.float64]:
    from matplotlib.colors import to_rgba

    return np.array(to_rgba(colour))
