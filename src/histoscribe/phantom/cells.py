"""Where the nuclei are: type, size, shape and direction of each, found for any window without the rest.

Candidates are strewn tile by tile and thinned so that nuclei do not overlap: in each of a few rounds a candidate is
kept if it touches no nucleus kept before and none of its round with a higher rank (Matern's second hard-core process,
repeated). Whether a candidate stays depends on its surroundings only, so a margin makes every window exact.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from histoscribe.phantom.catalogue import CELL_NAMES, CELL_TYPES, GLAND_WALL_UM, WALL, tissues
from histoscribe.phantom.geometry import Geometry
from histoscribe.phantom.glands import GlandField
from histoscribe.phantom.randomness import Float, SmoothField, make_key, place_uniforms, tile_counters

TILE_UM = 64.0
BLOCK_UM = 1024.0
PER_TILE = 144  # candidates per tile: 35,000 per mm2
_DENSITY = PER_TILE / TILE_UM**2 * 1e6
_ROUNDS = 4
LONGEST_UM = 10.0  # no half axis is longer
_MARGIN_UM = 2 * _ROUNDS * 2 * LONGEST_UM  # each round looks twice as far as two nuclei can touch
_GAP = 1.06  # nuclei keep this many times the sum of their half widths apart
_TISSUE_MARGIN_UM = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Nuclei:
    """Some nuclei, ordered by id.

    Parameters
    ----------
    id
        (n,) int64, unique in the section, from 1.
    xy_um
        (n, 2) centres.
    half_um
        (n, 2) long and short half axis.
    angle
        (n,) direction of the long axis, rad, from x towards y.
    kind
        (n,) index of the cell type in `CELL_NAMES`.
    shape
        (n, 4) amplitudes of the third and fourth harmonic of the outline (cosine, sine of each), relative.
    tone
        (n,) haematoxylin relative to the type's.
    """

    id: NDArray[np.int64]
    xy_um: Float
    half_um: Float
    angle: Float
    kind: NDArray[np.int8]
    shape: Float
    tone: Float

    def __len__(self) -> int:
        return len(self.id)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Nuclei":
        """Select some of them."""
        return Nuclei(*(getattr(self, name)[index] for name in self.__slots__))

    @property
    def area_um2(self) -> Float:
        """Area inside the drawn outline: pi a b (1 + half the sum of the squared harmonics)."""
        swell = 1 + (self.shape**2).sum(axis=1) / 2
        area: Float = np.pi * self.half_um[:, 0] * self.half_um[:, 1] * swell
        return area

    def table(self, mpp: float) -> pd.DataFrame:
        """One row per nucleus: id, x_px, y_px, area_um2, major_um, minor_um (axes), angle_rad, cell_type."""
        return pd.DataFrame(
            {
                "id": self.id,
                "x_px": self.xy_um[:, 0] / mpp,
                "y_px": self.xy_um[:, 1] / mpp,
                "area_um2": self.area_um2,
                "major_um": 2 * self.half_um[:, 0],
                "minor_um": 2 * self.half_um[:, 1],
                "angle_rad": self.angle,
                "cell_type": np.asarray(CELL_NAMES)[self.kind],
            }
        )


class CellField:
    """All nuclei of a section, placed block by block when they are asked for.

    Parameters
    ----------
    geometry, glands
        The section's map.
    flow
        Direction of the fibres in rad.
    size
        Size of nuclei relative to the catalogue's: it differs between patients.
    key
        Seeds and names of the section.
    """

    def __init__(self, geometry: Geometry, glands: GlandField, flow: SmoothField, size: float, *key: int | str) -> None:
        self._geometry, self._glands, self._flow, self._size = geometry, glands, flow, size
        self._key = make_key(*key, "cells")
        self._tiles_x = int(np.ceil(geometry.size_um[0] / TILE_UM))
        kinds = tissues(geometry.n_domains)
        wanted = [[tissue.densities.get(name, 0.0) for name in CELL_NAMES] for tissue in (*kinds, WALL)]
        self._thresholds = np.cumsum(np.asarray(wanted), axis=1) / _DENSITY  # (domains + 1, types)
        self._block: Callable[[int, int], Nuclei] = lru_cache(maxsize=64)(self._place_block)

    def window(self, x0: float, y0: float, x1: float, y1: float) -> Nuclei:
        """Nuclei with their centre in [x0, x1) x [y0, y1), in um."""
        width, height = self._geometry.size_um
        x0, y0, x1, y1 = max(x0, 0.0), max(y0, 0.0), min(x1, width), min(y1, height)
        columns = range(int(x0 // BLOCK_UM), int(np.ceil(x1 / BLOCK_UM)))
        rows = range(int(y0 // BLOCK_UM), int(np.ceil(y1 / BLOCK_UM)))
        found = []
        for row in rows:
            for column in columns:
                block = self._block(column, row)
                x, y = block.xy_um.T
                found.append(block.take((x >= x0) & (x < x1) & (y >= y0) & (y < y1)))
        if not found:
            return self._block(0, 0).take(np.empty(0, np.intp))
        merged = Nuclei(*(np.concatenate([getattr(n, name) for n in found]) for name in Nuclei.__slots__))
        return merged.take(np.argsort(merged.id))

    def _place_block(self, column: int, row: int) -> Nuclei:
        x0, y0 = column * BLOCK_UM, row * BLOCK_UM
        x1, y1 = x0 + BLOCK_UM, y0 + BLOCK_UM
        candidates = self._candidates(x0 - _MARGIN_UM, y0 - _MARGIN_UM, x1 + _MARGIN_UM, y1 + _MARGIN_UM)
        kept = candidates.take(_thin(candidates))
        x, y = kept.xy_um.T
        return kept.take((x >= x0) & (x < x1) & (y >= y0) & (y < y1))

    def _candidates(self, x0: float, y0: float, x1: float, y1: float) -> Nuclei:
        width, height = self._geometry.size_um
        tiles_y = int(np.ceil(height / TILE_UM))
        columns = np.arange(max(0, int(x0 // TILE_UM)), min(self._tiles_x, int(np.ceil(x1 / TILE_UM))))
        rows = np.arange(max(0, int(y0 // TILE_UM)), min(tiles_y, int(np.ceil(y1 / TILE_UM))))
        iy, ix, k = (a.ravel() for a in np.meshgrid(rows, columns, np.arange(PER_TILE), indexing="ij"))
        u = place_uniforms(self._key, tile_counters(ix, iy, k), 3)
        x, y = (ix + u[0]) * TILE_UM, (iy + u[1]) * TILE_UM
        kind, across = self._types(x, y, u[2])
        kept = np.flatnonzero((kind >= 0) & (x < width) & (y < height))
        number = (iy * self._tiles_x + ix) * PER_TILE + k + 1
        counters = tile_counters(ix[kept], iy[kept], k[kept])
        return self._shaped(number[kept], np.column_stack([x, y])[kept], kind[kept], across[kept], counters)

    def _types(self, x: Float, y: Float, u: Float) -> tuple[NDArray[np.int8], Float]:
        """Cell type of each candidate, -1 for none, and the direction across a gland's wall (NaN outside walls)."""
        distance = self._geometry.distance(x, y)
        niche = self._geometry.domain_in_tissue(x, y).astype(np.intp)
        lumen, direction = self._glands.near(x.min(), y.min(), x.max(), y.max()).lumen_distance(x, y)
        wall = lumen < GLAND_WALL_UM
        niche[wall] = len(self._thresholds) - 1
        kind = (u[:, None] >= self._thresholds[niche]).sum(axis=1).astype(np.int8)
        row_of_nuclei = np.abs(lumen - 0.56 * GLAND_WALL_UM) < 2.6  # epithelial nuclei stand side by side
        empty = (kind == len(CELL_TYPES)) | (distance < _TISSUE_MARGIN_UM) | (wall & ~row_of_nuclei)
        kind[empty | (~wall & (lumen < GLAND_WALL_UM + 2.5))] = -1
        return kind, np.where(wall, direction, np.nan)

    def _shaped(
        self, number: NDArray[np.int64], xy: Float, kind: NDArray[np.int8], across: Float, counters: NDArray[np.uint64]
    ) -> Nuclei:
        u = place_uniforms(self._key ^ 0x5EED, counters, 8)
        types = {
            name: np.array([getattr(cell, name) for cell in CELL_TYPES])[kind]
            for name in ("radius_um", "spread", "elongation", "wobble", "alignment")
        }
        normal = np.sqrt(-2 * np.log(1 - u[0])) * np.cos(2 * np.pi * u[1])
        radius = self._size * types["radius_um"] * np.exp(types["spread"] * np.clip(normal, -2.5, 2.5))
        stretch = np.sqrt(1 + (types["elongation"] - 1) * (0.6 + 0.8 * u[2]))
        half = np.column_stack([np.minimum(radius * stretch, 0.9 * LONGEST_UM), radius / stretch])
        turn = (1 - types["alignment"]) * (u[3] - 0.5) * np.pi
        turn += types["alignment"] * 0.35 * (u[4] - 0.5)
        along = 1.1 * self._flow(xy[:, 0], xy[:, 1])
        angle = np.where(np.isnan(across), along, across) + turn
        phase3, phase4 = 2 * np.pi * u[5], 2 * np.pi * u[6]
        shape = np.column_stack([np.cos(phase3), np.sin(phase3), 0.5 * np.cos(phase4), 0.5 * np.sin(phase4)])
        return Nuclei(number, xy, half, angle, kind, shape * types["wobble"][:, None], 0.88 + 0.24 * u[7])


def _thin(nuclei: Nuclei) -> NDArray[np.bool_]:
    """Say which candidates stay, (n,)."""
    n = len(nuclei)
    kept = np.zeros(n, bool)
    if n < 2:
        return ~kept
    first, second = _touching(nuclei)
    rank = _rank(nuclei.id)
    turn = rank % np.uint64(_ROUNDS)
    for round_ in range(_ROUNDS):
        blocked = np.zeros(n, bool)
        blocked[first[kept[second]]] = True
        blocked[second[kept[first]]] = True
        open_ = (turn == round_) & ~blocked
        both = open_[first] & open_[second]
        a, b = first[both], second[both]
        loses = np.zeros(n, bool)
        loses[np.where(rank[a] < rank[b], a, b)] = True
        kept |= open_ & ~loses
    return kept


def _touching(nuclei: Nuclei) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of candidates that would touch: nearer than their half widths in each other's direction."""
    pairs = cKDTree(nuclei.xy_um).query_pairs(2 * LONGEST_UM, output_type="ndarray")
    first, second = pairs[:, 0], pairs[:, 1]
    delta = nuclei.xy_um[second] - nuclei.xy_um[first]
    length, direction = np.hypot(delta[:, 0], delta[:, 1]), np.arctan2(delta[:, 1], delta[:, 0])
    need = _GAP * (_half_width(nuclei, first, direction) + _half_width(nuclei, second, direction))
    touch = length < need
    return first[touch], second[touch]


def _half_width(nuclei: Nuclei, index: NDArray[np.intp], direction: Float) -> Float:
    """Half the width of the ellipse's shadow on a line in `direction`: an upper bound of its radius there."""
    a, b = nuclei.half_um[index].T
    turn = direction - nuclei.angle[index]
    shadow = np.sqrt((a * np.cos(turn)) ** 2 + (b * np.sin(turn)) ** 2)
    radius = a * b / np.sqrt((b * np.cos(turn)) ** 2 + (a * np.sin(turn)) ** 2)
    half: Float = 0.5 * (shadow + radius)
    return half


def _rank(number: NDArray[np.int64]) -> NDArray[np.uint64]:
    rank: NDArray[np.uint64] = (place_uniforms(0xA11CE, number.astype(np.uint64), 1)[0] * 2.0**52).astype(np.uint64)
    return rank
