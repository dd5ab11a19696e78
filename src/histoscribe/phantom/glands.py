"""Glands: round lumina with a wall of epithelium, on a jittered lattice inside the glandular domain."""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from histoscribe.phantom.catalogue import GLAND_LUMEN_UM, GLAND_WALL_UM, tissues
from histoscribe.phantom.geometry import Geometry
from histoscribe.phantom.randomness import Float, make_key, place_uniforms, tile_counters

FAR_UM = 1e3
_REACH_UM = 1.35 * GLAND_LUMEN_UM[1] + GLAND_WALL_UM + 12.0  # from a gland's centre to the last point it changes


@dataclass(frozen=True, slots=True, eq=False)
class Glands:
    """The glands near some window: centres (n, 2) um, radii of their lumina and how these depart from circles."""

    xy_um: Float
    radius_um: Float
    stretch: Float  # (n, 2) cosine and sine parts of the second harmonic of the lumen's outline

    def lumen_distance(self, x_um: Float, y_um: Float) -> tuple[Float, Float]:
        """Distance to the lumen of the nearest gland in um, negative in the lumen, and the direction from its centre.

        Points out of every gland's reach get 1000 um and direction 0.
        """
        x_um, y_um = np.broadcast_arrays(x_um, y_um)
        distance, direction = np.full(x_um.shape, FAR_UM), np.zeros(x_um.shape)
        if len(self.xy_um) == 0:
            return distance, direction
        points = np.column_stack([x_um.ravel(), y_um.ravel()])
        _, nearest = cKDTree(self.xy_um).query(points, distance_upper_bound=_REACH_UM)
        hit = np.flatnonzero(nearest < len(self.xy_um))
        gland = nearest[hit]
        dx, dy = (points[hit] - self.xy_um[gland]).T
        length = np.maximum(np.hypot(dx, dy), 1e-9)
        cos2, sin2 = (dx**2 - dy**2) / length**2, 2 * dx * dy / length**2
        bulge = 1 + self.stretch[gland, 0] * cos2 + self.stretch[gland, 1] * sin2
        distance.ravel()[hit] = length - self.radius_um[gland] * bulge
        direction.ravel()[hit] = np.arctan2(dy, dx)
        return distance, direction


@dataclass(frozen=True, slots=True)
class GlandField:
    """All glands of a section; those near a window are found without the rest."""

    geometry: Geometry
    key: int
    pitch_um: float
    domain: int  # the glandular one, -1 where the section has none

    def near(self, x0: float, y0: float, x1: float, y1: float) -> Glands:
        """Glands that reach into the window [x0, x1) x [y0, y1), all in um."""
        if self.domain < 0:
            return Glands(np.empty((0, 2)), np.empty(0), np.empty((0, 2)))
        pitch = self.pitch_um
        low_x, high_x = (int(np.floor(v / pitch)) for v in (x0 - _REACH_UM, x1 + _REACH_UM))
        low_y, high_y = (int(np.floor(v / pitch)) for v in (y0 - _REACH_UM, y1 + _REACH_UM))
        ix, iy = (g.ravel() for g in np.meshgrid(np.arange(low_x, high_x + 1), np.arange(low_y, high_y + 1)))
        u = place_uniforms(self.key, tile_counters(ix, iy, np.zeros_like(ix)), 5)
        x = (ix + 0.5 * (iy % 2) + 0.5 + 0.22 * (2 * u[0] - 1)) * pitch
        y = (iy + 0.5 + 0.22 * (2 * u[1] - 1)) * pitch
        radius = GLAND_LUMEN_UM[0] + (GLAND_LUMEN_UM[1] - GLAND_LUMEN_UM[0]) * u[2]
        room = self.geometry.distance(x, y) > radius + GLAND_WALL_UM
        kept = room & (self.geometry.domain_in_tissue(x, y) == self.domain)
        size, turn = 0.3 * u[3], 2 * np.pi * u[4]
        stretch = np.column_stack([size * np.cos(turn), size * np.sin(turn)])
        return Glands(np.column_stack([x, y])[kept], radius[kept], stretch[kept])


def make_glands(geometry: Geometry, *key: int | str) -> GlandField:
    """Lattice of glands for the glandular domain of a section, if it has one."""
    kinds = tissues(geometry.n_domains)
    domain = next((k for k, kind in enumerate(kinds) if kind.gland_pitch_um), -1)
    pitch = kinds[domain].gland_pitch_um if domain >= 0 else 1.0
    return GlandField(geometry, make_key(*key, "glands"), pitch, domain)
