"""Spots as shapes: the outline of a spot at its true size, and fast drawing of thousands of them."""

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from histoscribe.graph.spacing import pitch_of
from histoscribe.report import palette
from histoscribe.section import Section

Floats = NDArray[np.float64]

# above this many spots shapes are stamped into a picture; drawing them one by one would take seconds
MAX_SHAPES = 20_000
# a spot without lattice or neighbour has no size of its own
_LONE_SPOT = 100.0


def spot_outline(section: Section, *, kind: Literal["spot", "cell"]) -> Floats:
    """Outline of one spot about its centre, (m, 2), in microns.

    "spot" is the measured area at its true size: a disc of the assay's diameter, or the bin itself where bins touch.
    "cell" is the spot's share of the lattice, a hexagon or a square, so that neighbours touch. Spots without a lattice
    are discs, half as wide as the distance to the nearest neighbour ("spot") or just as wide ("cell").
    """
    lattice = section.lattice
    if lattice is None:
        pitch = pitch_of(section.xy_px) * section.mpp if section.spots.n_obs > 1 else _LONE_SPOT
        return _polygon(24, pitch / 4 if kind == "spot" else pitch / 2, angle=0.0)
    if kind == "spot" and lattice.spot_diameter_um < 0.95 * lattice.pitch_um:
        return _polygon(24, lattice.spot_diameter_um / 2, angle=0.0)
    corners = 6 if lattice.kind == "hex" else 4
    # flat sides face the neighbours, so a corner lies half a step beside the direction to one
    angle = lattice_angle(section.xy_um, fold=corners) + np.pi / corners
    return _polygon(corners, lattice.pitch_um / 2 / np.cos(np.pi / corners), angle=angle)


def spot_area_um2(section: Section) -> float:
    """Area that one spot stands for: its cell of the lattice in square microns; NaN without a lattice."""
    if section.lattice is None:
        return float("nan")
    pitch = section.lattice.pitch_um
    return pitch**2 if section.lattice.kind == "square" else pitch**2 * float(np.sqrt(3) / 2)


def lattice_angle(xy: Floats, *, fold: int) -> float:
    """Direction in which the nearest neighbours of lattice points lie, (n, 2) to radians modulo 2 pi / `fold`."""
    if len(xy) < 2:
        return 0.0
    some = xy[:: max(1, len(xy) // 2000)]
    _, index = cKDTree(xy).query(some, k=2)
    step = xy[index[:, 1]] - some
    # circular mean of angles with period 2 pi / fold: multiply by fold, average on the circle, divide
    turned = np.exp(1j * fold * np.arctan2(step[:, 1], step[:, 0])).mean()
    return float(np.angle(turned)) / fold


def draw_tiles(axes: Any, xy: Floats, *, outline: Floats, rgba: Floats, edged: NDArray[np.bool_] | None = None) -> None:
    """Draw one shape per spot.

    Parameters
    ----------
    axes
        matplotlib axes; their limits must be set already.
    xy
        Centres, (n, 2), in the unit of the axes.
    outline
        The shape about its centre, (m, 2).
    rgba
        One colour per spot, (n, 4), 0..1.
    edged
        Which spots carry a dark outline, (n,); none where not given.
    """
    if len(xy) > MAX_SHAPES:
        _draw_stamps(axes, xy, outline=outline, rgba=rgba)
        return
    from matplotlib.collections import PolyCollection

    edge = rgba.copy()
    width = np.where(rgba[:, 3] < 1, 0.0, 0.25)  # hides the seams between opaque neighbours
    if edged is not None:
        edge[edged], width[edged] = [0.1, 0.12, 0.14, 1.0], 0.9
    corners: Any = xy[:, None, :] + outline[None]  # (n, m, 2)
    axes.add_collection(PolyCollection(corners, facecolors=rgba, edgecolors=edge, linewidths=width), autolim=False)


def _draw_stamps(axes: Any, xy: Floats, *, outline: Floats, rgba: Floats) -> None:
    from matplotlib.path import Path as Shape

    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    box = axes.get_window_extent()
    width, height = max(1, round(box.width)), max(1, round(box.height))
    per_pixel = (right - left) / width
    column = np.floor((xy[:, 0] - left) / per_pixel).astype(np.int64)
    row = np.floor((xy[:, 1] - top) / (bottom - top) * height).astype(np.int64)
    # grown by the most that rounding a centre to a pixel can move it: no gaps between touching shapes
    radius = np.hypot(*outline.T).max()
    inner = radius * np.cos(np.pi / len(outline))
    shape = Shape(outline / per_pixel * (1 + 0.71 * per_pixel / inner))
    reach = int(np.ceil(radius / per_pixel)) + 1
    offsets = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2), -1).reshape(-1, 2)
    inside = shape.contains_points(offsets) | ~offsets.any(axis=1)
    picture = np.zeros((height, width, 4))
    for dx, dy in offsets[inside]:
        x, y = column + dx, row + dy
        held = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        picture[y[held], x[held]] = rgba[held]
    axes.imshow(picture, extent=(left, right, bottom, top), interpolation="nearest", aspect="auto", zorder=2)


def domain_rgba(domain: NDArray[np.int64], *, alpha: float) -> Floats:
    """Colours of domains, (n, 4); spots without a domain are grey."""
    return np.column_stack([palette.domain_rgb(domain), np.full(len(domain), alpha)])


def number_places(xy: Floats, domain: NDArray[np.int64], *, reach: float) -> dict[int, Floats]:
    """Where to write each domain's number: among its own spots, away from others.

    The place is the spot of the domain with the most spots of its own domain and the fewest of others within `reach`;
    ties go to the spot nearest to the domain's median.

    Parameters
    ----------
    xy
        Centres, (n, 2).
    domain
        1..K, or 0 for none, (n,).
    reach
        In the unit of `xy`.

    Returns
    -------
    Place by domain, (2,).
    """
    places = {}
    everyone = cKDTree(xy)
    for k in np.unique(domain[domain > 0]):
        own = xy[domain == k]
        some = own[:: max(1, len(own) // 500)]
        mine = cKDTree(own).query_ball_point(some, reach, return_length=True)
        total = everyone.query_ball_point(some, reach, return_length=True)
        distance = np.hypot(*(some - np.median(own, axis=0)).T)
        best = np.lexsort((distance, -(2 * mine - total)))[0]
        places[int(k)] = some[best]
    return places


def _polygon(corners: int, radius: float, *, angle: float) -> Floats:
    turn = angle + 2 * np.pi * np.arange(corners) / corners
    return radius * np.column_stack([np.cos(turn), np.sin(turn)])
