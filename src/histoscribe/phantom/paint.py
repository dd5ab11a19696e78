"""The picture: haematoxylin and eosin per pixel, and from them the light that reaches the camera (Beer-Lambert).

Slow fields (tissue, domains, glands, thickness) are evaluated on a coarse grid that is fixed to the section and are
interpolated; textures and nuclei are exact per pixel. Hence a window does not depend on what is drawn around it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from histoscribe.phantom.catalogue import GLAND_WALL_UM, WALL, tissues
from histoscribe.phantom.cells import LONGEST_UM, CellField
from histoscribe.phantom.geometry import Geometry
from histoscribe.phantom.glands import GlandField
from histoscribe.phantom.randomness import Float, SmoothField
from histoscribe.phantom.raster import draw_haematoxylin
from histoscribe.phantom.textures import N_DIRECTIONS, Textures, crop

Pixels = NDArray[np.float32]
RGB = NDArray[np.uint8]

STEP_PX = 8  # spacing of the coarse grid
BLOCK_PX = 512
_CAMERA_NOISE = 2.2  # grey levels
_KEPT_BLOCKS = 48
_EDGE_UM = 2.5  # over which tissue fades into glass
_FAR_UM = 10.0  # distances from edges are cut at this; more than the grid's spacing


@dataclass(frozen=True, slots=True, eq=False)
class Stain:
    """Colours of one patient's staining.

    Parameters
    ----------
    haematoxylin, eosin
        (3,) absorbances of unit amounts in red, green and blue (natural logarithm).
    white
        (3,) light through glass, grey levels.
    """

    haematoxylin: Float
    eosin: Float
    white: Float


@dataclass(frozen=True, slots=True)
class Matrix:
    """Per domain, and last for the walls of glands: what lies between the nuclei."""

    haematoxylin: Float
    eosin: Float
    fine_fibres: Float
    coarse_fibres: Float
    grain: Float
    clefts: Float

    @classmethod
    def of(cls, n_domains: int) -> "Matrix":
        """Table of the catalogue's figures."""
        kinds = (*tissues(n_domains), WALL)
        return cls(*(np.array([getattr(kind, name) for kind in kinds]) for name in cls.__slots__))


@dataclass(frozen=True, slots=True)
class Painter:
    """Draws any window of a section at one scale."""

    geometry: Geometry
    glands: GlandField
    cells: CellField
    flow: SmoothField
    thickness: SmoothField
    mottle: SmoothField
    textures: Textures
    stain: Stain
    mpp: float

    def draw(self, x: int, y: int, width: int, height: int) -> RGB:
        """Window of the picture, (height, width, 3) uint8; it may reach over the picture's edge."""
        left, top = (x - 1) // STEP_PX, (y - 1) // STEP_PX  # one pixel of margin for the blur
        columns, rows = -(-(x + width + 1) // STEP_PX) - left, -(-(y + height + 1) // STEP_PX) - top
        haematoxylin, eosin = self._stains(left, top, columns, rows)
        dx, dy = x - 1 - left * STEP_PX, y - 1 - top * STEP_PX
        part = np.s_[dy : dy + height + 2, dx : dx + width + 2]
        haematoxylin, eosin = _blur(haematoxylin[part]), _blur(eosin[part])
        picture = np.empty((height, width, 3), np.uint8)
        for channel in range(3):
            absorbance = haematoxylin * np.float32(self.stain.haematoxylin[channel])
            absorbance += eosin * np.float32(self.stain.eosin[channel])
            light = np.exp(-absorbance) * np.float32(self.stain.white[channel])
            noise = crop(self.textures.camera, x + 251 * channel, y + 97 * channel, width, height)
            light += noise * np.float32(_CAMERA_NOISE)
            picture[:, :, channel] = np.clip(light + np.float32(0.5), 0, 255)
        return picture

    def _stains(self, left: int, top: int, columns: int, rows: int) -> tuple[Pixels, Pixels]:
        """Amounts of haematoxylin and eosin of whole grid cells, each (rows * step, columns * step)."""
        x, y, width, height = (v * STEP_PX for v in (left, top, columns, rows))
        nodes = self._nodes(left, top, columns, rows)
        if nodes.inside.max() <= -_EDGE_UM:
            glass = np.zeros((height, width), np.float32)
            return glass, glass
        tissue = np.clip(_upsample(nodes.inside) / np.float32(_EDGE_UM) + np.float32(0.5), 0, 1)
        window = (x, y, width, height)
        fibres = self._fibres(nodes, window)
        grain = crop(self.textures.grain, *window) * _upsample(nodes.matrix["grain"])
        clefts = _upsample(nodes.matrix["clefts"])
        if clefts.any():
            tissue = tissue * (1 - clefts * np.clip(-6 * (fibres + np.float32(0.45)), 0, 1))
        nuclear, cover = self._nuclei(window)
        thickness = _upsample(nodes.thickness)
        tissue = tissue * thickness
        eosin = tissue * _upsample(nodes.matrix["eosin"]) * np.maximum(1 + fibres + grain, np.float32(0.1))
        eosin *= _upsample(nodes.mottle) * (1 - np.float32(0.55) * cover)
        haematoxylin = tissue * _upsample(nodes.matrix["haematoxylin"]) * (1 + grain)
        haematoxylin = haematoxylin * (1 - cover) + nuclear * thickness
        return haematoxylin, eosin

    def _nuclei(self, window: tuple[int, int, int, int]) -> tuple[Pixels, Pixels]:
        x, y, width, height = window
        reach = 1.3 * LONGEST_UM + 2 * self.mpp
        mpp = self.mpp
        nuclei = self.cells.window(
            x * mpp - reach, y * mpp - reach, (x + width) * mpp + reach, (y + height) * mpp + reach
        )
        return draw_haematoxylin(nuclei, x, y, mpp=mpp, clumps=crop(self.textures.clumps, *window))

    def _fibres(self, nodes: "_Nodes", window: tuple[int, int, int, int]) -> Pixels:
        """Fibre texture of the matrix: each point blends the two textures with directions next to its own."""
        total = np.zeros((window[3], window[2]), np.float32)
        turn = np.mod(nodes.angle / np.pi * N_DIRECTIONS, N_DIRECTIONS)
        for coarse, strength in ((False, nodes.matrix["fine_fibres"]), (True, nodes.matrix["coarse_fibres"])):
            for direction in range(N_DIRECTIONS):
                away = np.abs(turn - direction)
                weight = strength * np.sqrt(np.clip(1 - np.minimum(away, N_DIRECTIONS - away), 0, 1))
                if weight.any():
                    total += _upsample(weight) * crop(self.textures.fibres(coarse, direction), *window)
        return total

    def _nodes(self, left: int, top: int, columns: int, rows: int) -> "_Nodes":
        step_um = STEP_PX * self.mpp
        x = np.arange(left, left + columns + 1)[None, :] * step_um
        y = np.arange(top, top + rows + 1)[:, None] * step_um
        glands = self.glands.near(x.min(), y.min(), x.max(), y.max())
        lumen, _ = glands.lumen_distance(x, y)
        niche = self.geometry.domain_in_tissue(x, y).astype(np.intp)
        niche[lumen < GLAND_WALL_UM] = -1  # the walls' row of the table
        table = Matrix.of(self.geometry.n_domains)
        return _Nodes(
            inside=np.clip(np.minimum(self.geometry.distance(x, y), lumen), -_FAR_UM, _FAR_UM),
            thickness=1 + 0.10 * self.thickness(x, y),
            mottle=1 + 0.10 * self.mottle(x, y),
            angle=1.1 * self.flow(x, y),
            matrix={name: getattr(table, name)[niche] for name in Matrix.__slots__},
        )


@dataclass(frozen=True, slots=True)
class _Nodes:
    """Slow fields on the coarse grid, each (rows + 1, columns + 1)."""

    inside: Float  # um from the nearest edge of tissue or lumen, cut at 10
    thickness: Float
    angle: Float
    mottle: Float
    matrix: dict[str, Float]


class PhantomImage:
    """The picture as a source of pixels: one level, drawn when read.

    Parameters
    ----------
    painter
        Draws windows.
    width, height
        Size in pixels.
    """

    def __init__(self, painter: Painter, width: int, height: int) -> None:
        self.painter, self._width, self._height = painter, width, height
        self._block: Callable[[int, int], RGB] = lru_cache(maxsize=_KEPT_BLOCKS)(self._draw_block)

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the only level."""
        return ((self._height, self._width),)

    def read(self, x: int, y: int, width: int, height: int, level: int = 0) -> RGB:
        """Window of level 0 with its upper left corner at (x, y), (height, width, 3) uint8."""
        if level != 0 or x < 0 or y < 0 or x + width > self._width or y + height > self._height:
            raise IndexError(f"level {level}, window x={x}, y={y}, {width} x {height} of {self.shapes}")
        picture = np.empty((height, width, 3), np.uint8)
        for row in range(y // BLOCK_PX, -(-(y + height) // BLOCK_PX)):
            for column in range(x // BLOCK_PX, -(-(x + width) // BLOCK_PX)):
                block_x, block_y = column * BLOCK_PX, row * BLOCK_PX
                x0, x1 = max(x, block_x), min(x + width, block_x + BLOCK_PX)
                y0, y1 = max(y, block_y), min(y + height, block_y + BLOCK_PX)
                pixels = self._block(column, row)[y0 - block_y : y1 - block_y, x0 - block_x : x1 - block_x]
                picture[y0 - y : y1 - y, x0 - x : x1 - x] = pixels
        return picture

    def _draw_block(self, column: int, row: int) -> RGB:
        return self.painter.draw(column * BLOCK_PX, row * BLOCK_PX, BLOCK_PX, BLOCK_PX)


def _upsample(nodes: Float) -> Pixels:
    """Bilinear interpolation from nodes (r + 1, c + 1) to pixels (r * step, c * step).

    A field that is the same everywhere comes back as one value, which is what interpolation would give.
    """
    values = nodes.astype(np.float32)
    if values.min() == values.max():
        return values[:1, :1]
    t = ((np.arange(STEP_PX) + 0.5) / STEP_PX).astype(np.float32)
    wide = values[:, :-1, None] + t * (values[:, 1:] - values[:, :-1])[:, :, None]  # (r + 1, c, step)
    wide = wide.reshape(len(values), -1)
    pixels = t[None, :, None] * (wide[1:] - wide[:-1])[:, None, :]  # (r, step, c * step)
    pixels += wide[:-1, None, :]
    upsampled: Pixels = pixels.reshape(-1, wide.shape[1])
    return upsampled


def _blur(values: Pixels) -> Pixels:
    """Binomial blur (1, 2, 1) / 4 both ways; the result is smaller by one pixel on every side."""
    across = values[:, :-2] + values[:, 2:] + 2 * values[:, 1:-1]
    blurred: Pixels = (across[:-2] + across[2:] + 2 * across[1:-1]) * np.float32(1 / 16)
    return blurred
