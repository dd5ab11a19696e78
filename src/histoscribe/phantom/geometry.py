"""Where a phantom's tissue is and which domain a point belongs to: an outline, bent layers and nests, as functions."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histoscribe.phantom.randomness import Float, SmoothField, generator, smooth_field

GLASS = -1
_N_NESTS = 3
_GRID = 96  # points per side of the survey that fixes the layers' borders


@dataclass(frozen=True, slots=True)
class Outline:
    """A rounded, wavy piece of tissue with one hole and one tear.

    Distances are positive inside and only roughly Euclidean: enough to know on which side of the edge a point lies.
    """

    centre_um: tuple[float, float]
    half_um: tuple[float, float]
    waves: tuple[tuple[float, float], ...]  # amplitude and phase of the harmonics 2, 3, ... of the radius
    rough: SmoothField
    frayed: SmoothField
    hole: tuple[float, float, float]  # x, y, radius in um
    tear: tuple[float, float, float, float, float]  # from (x, y) at the edge to (x, y) inside, half width there, um

    def distance(self, x_um: Float, y_um: Float) -> Float:
        """Distance to the nearest edge in um, positive in tissue."""
        small = min(self.half_um)
        px, py = (x_um - self.centre_um[0]) / self.half_um[0], (y_um - self.centre_um[1]) / self.half_um[1]
        angle = np.arctan2(py, px)
        radius = 0.88 + sum(a * np.cos(n * angle + p) for n, (a, p) in enumerate(self.waves, 2))
        edge = 0.012 * small * self.rough(x_um, y_um) + 2.0 * self.frayed(x_um, y_um)
        outside = (radius - (np.abs(px) ** 3 + np.abs(py) ** 3) ** (1 / 3)) * small + edge
        x, y, r = self.hole
        hole = np.hypot(x_um - x, 1.5 * (y_um - y)) - r + edge
        distance: Float = np.minimum(np.minimum(outside, hole), self._tear_distance(x_um, y_um) + 0.5 * edge)
        return distance

    def _tear_distance(self, x_um: Float, y_um: Float) -> Float:
        x0, y0, x1, y1, half_width = self.tear
        dx, dy = x1 - x0, y1 - y0
        length = np.hypot(dx, dy)
        along = np.clip(((x_um - x0) * dx + (y_um - y0) * dy) / length**2, 0, 1)
        bend = 0.06 * length * np.sin(3 * np.pi * along)
        off_x, off_y = x_um - x0 - along * dx + bend * dy / length, y_um - y0 - along * dy - bend * dx / length
        distance: Float = np.hypot(off_x, off_y) - half_width * (1 - along)
        return distance


@dataclass(frozen=True, slots=True)
class Geometry:
    """The section's map: `distance` to the tissue's edge and `domain` of any point.

    Parameters
    ----------
    size_um
        (width, height) of the picture.
    """

    size_um: tuple[float, float]
    n_domains: int
    outline: Outline
    direction: tuple[float, float]
    bend: SmoothField
    ripple: SmoothField
    borders: tuple[float, ...]
    bands: tuple[int, ...]  # domain of each band between the borders
    nests: tuple[tuple[float, float, float], ...]  # x, y, radius in um

    def distance(self, x_um: Float, y_um: Float) -> Float:
        """Distance to the tissue's edge in um, positive in tissue, roughly Euclidean."""
        return self.outline.distance(x_um, y_um)

    def domain(self, x_um: Float, y_um: Float) -> NDArray[np.int8]:
        """Say which domain each point belongs to, by number; -1 on glass."""
        return np.where(self.distance(x_um, y_um) > 0, self.domain_in_tissue(x_um, y_um), np.int8(GLASS))

    def domain_in_tissue(self, x_um: Float, y_um: Float) -> NDArray[np.int8]:
        """Return `domain` without regard to the tissue's edge."""
        ripple = self.ripple(x_um, y_um)
        band = np.searchsorted(np.asarray(self.borders), self._depth(x_um, y_um, ripple))
        label = np.asarray(self.bands, np.int8)[band]
        wobble = 1 + 0.16 * ripple
        for x, y, radius in self.nests:
            label[np.hypot(x_um - x, y_um - y) < radius * wobble] = self.n_domains - 1
        return label

    def _depth(self, x_um: Float, y_um: Float, ripple: Float) -> Float:
        """Coordinate across the layers, about -1 to 1."""
        half = min(self.size_um) / 2
        px, py = (x_um - self.size_um[0] / 2) / half, (y_um - self.size_um[1] / 2) / half
        along, across = self.direction[0] * px + self.direction[1] * py, self.direction[0] * py - self.direction[1] * px
        depth: Float = across + 0.45 * along**2 + 0.16 * self.bend(x_um, y_um) + 0.035 * ripple
        return depth


def make_geometry(size_um: tuple[float, float], n_domains: int, *key: int | str) -> Geometry:
    """Draw the map of one section; the same key gives the same map."""
    rng = generator(*key, "geometry")
    small = min(size_um)
    centre, half = (size_um[0] / 2, size_um[1] / 2), (size_um[0] / 2, size_um[1] / 2)
    outline = _make_outline(centre, half, key, rng)
    angle = rng.uniform(0, 2 * np.pi)
    unplaced = Geometry(
        size_um=size_um,
        n_domains=n_domains,
        outline=outline,
        direction=(float(np.cos(angle)), float(np.sin(angle))),
        bend=smooth_field(0.8 * small, *key, "bend"),
        ripple=smooth_field(0.16 * small, *key, "ripple"),
        borders=(),
        bands=(0,),
        nests=(),
    )
    bands = _bands(n_domains - 1, rng)
    borders, nests = _survey(unplaced, len(bands), rng)
    names = ("size_um", "n_domains", "outline", "direction", "bend", "ripple")
    return Geometry(**{name: getattr(unplaced, name) for name in names}, borders=borders, bands=bands, nests=nests)


def _make_outline(
    centre: tuple[float, float], half: tuple[float, float], key: tuple[int | str, ...], rng: np.random.Generator
) -> Outline:
    small = min(half)
    hole_angle = rng.uniform(0, 2 * np.pi)
    tear_angle = hole_angle + rng.uniform(0.6, 1.4) * np.pi
    cos, sin = np.cos(tear_angle), np.sin(tear_angle)
    return Outline(
        centre_um=centre,
        half_um=half,
        waves=tuple((0.05 / n * rng.normal(), rng.uniform(0, 2 * np.pi)) for n in range(2, 7)),
        rough=smooth_field(0.12 * small, *key, "rough"),
        frayed=smooth_field(25.0, *key, "frayed"),
        hole=(
            centre[0] + 0.45 * half[0] * np.cos(hole_angle),
            centre[1] + 0.45 * half[1] * np.sin(hole_angle),
            0.075 * small,
        ),
        tear=(
            centre[0] + 1.05 * half[0] * cos,
            centre[1] + 1.05 * half[1] * sin,
            centre[0] + 0.5 * half[0] * np.cos(tear_angle + 0.2),
            centre[1] + 0.5 * half[1] * np.sin(tear_angle + 0.2),
            0.05 * small,
        ),
    )


def _bands(n_layers: int, rng: np.random.Generator) -> tuple[int, ...]:
    """Order of the layers; with three or more, the second comes twice, so that position alone does not determine it."""
    order = [int(k) for k in rng.permutation(n_layers)]
    return tuple(order if n_layers < 3 else [*order, order[1]])


def _survey(
    geometry: Geometry, n_bands: int, rng: np.random.Generator
) -> tuple[tuple[float, ...], tuple[tuple[float, float, float], ...]]:
    """Borders that give the bands like areas, and nests well inside the tissue and apart from each other."""
    x, y = (side * (np.arange(_GRID) + 0.5) / _GRID for side in geometry.size_um)
    gx, gy = (a.ravel() for a in np.meshgrid(x, y))
    distance = geometry.distance(gx, gy)
    inside = distance > 0
    shares = np.cumsum(rng.uniform(0.7, 1.3, n_bands))
    borders = np.quantile(
        geometry._depth(gx[inside], gy[inside], geometry.ripple(gx[inside], gy[inside])), shares[:-1] / shares[-1]
    )
    radius = 0.1 * min(geometry.size_um)
    deep = np.flatnonzero(distance > 0.8 * radius)
    nests: list[tuple[float, float, float]] = []
    for i in rng.permutation(deep):
        point = (float(gx[i]), float(gy[i]))
        if all(np.hypot(point[0] - a, point[1] - b) > 3.2 * radius for a, b, _ in nests):
            nests.append((*point, radius * rng.uniform(0.85, 1.25)))
        if len(nests) == _N_NESTS:
            break
    return tuple(float(b) for b in borders), tuple(nests)
