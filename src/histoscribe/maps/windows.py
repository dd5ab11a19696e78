"""An encoder's grid of features over a whole picture, window by window; and small tiles where it has no grid.

Windows lie side by side on the map's cells and overlap by a margin that is discarded: there the network saw the
window's border, and neighbouring windows would not agree. One pass is enough, because a cell of a window is as small
as a cell of the map.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histoscribe.encoders import Encoder
from histoscribe.errors import ConfigError
from histoscribe.maps.grid import Grid
from histoscribe.slide.image import SlideImage
from histoscribe.slide.tiles import read_tiles

Matrix = NDArray[np.float32]

# Share of a window's side that is discarded at each border. Of 14 cells, 1, 2, 3 leave jumps across the borders of
# windows that are 1.19, 1.09, 1.01 times those elsewhere (a ResNet's third stage on a breast section).
_MARGIN = 0.2
_FINE_MPP = 0.5  # microns per pixel; finer pictures show a network nothing new
_TILE_UM, _STEP_UM = 96.0, 48.0  # of an encoder without a grid: what a tile shows, and how far apart they are


@dataclass(frozen=True, slots=True)
class GridReader:
    """Reads an encoder's features on the cells of a map.

    Parameters
    ----------
    encoder
        Any encoder.
    side
        Cells of the encoder's own grid on a side of its window; 0 where it has no grid.
    fold
        How many of them make a side of a cell of the map.
    """

    encoder: Encoder
    side: int
    fold: int

    @property
    def margin(self) -> int:
        """Cells of the encoder's own grid that are discarded at each border of a window."""
        return _margin(self.side)

    @property
    def step(self) -> int:
        """Cells of the map from one window to the next."""
        return 1 if self.side == 0 else (self.side - 2 * self.margin) // self.fold

    def block(self, image: SlideImage, grid: Grid, *, column: int, row: int, windows: int) -> Matrix:
        """Features of a square block of `windows * step` cells, (s, s, d) float32."""
        if self.side == 0:
            return self._tiles(image, grid, column, row, windows)
        step, used, margin = self.step, self.step * self.fold, self.margin
        first = np.array([column, row]) * grid.cell_px
        fine_px = grid.cell_px / self.fold
        k = np.arange(windows)
        x, y = np.meshgrid(k, k)  # window columns, rows
        corner = np.stack([x, y], axis=-1).reshape(-1, 2) * (step * grid.cell_px) + first - margin * fine_px
        side_px = self.side * fine_px
        tiles = _read_inside(image, corner + side_px / 2, side_px, self.encoder.card.input_px)
        maps = self.encoder.encode_grid(tiles)[:, margin : margin + used, margin : margin + used]  # (w * w, u, u, d)
        d = maps.shape[-1]
        folded = maps.reshape(windows, windows, step, self.fold, step, self.fold, d).mean(axis=(3, 5))
        return np.ascontiguousarray(folded.transpose(0, 2, 1, 3, 4)).reshape(windows * step, windows * step, d)

    def _tiles(self, image: SlideImage, grid: Grid, column: int, row: int, windows: int) -> Matrix:
        """Tiles on a coarse lattice over the block and one step beyond, then linear between them."""
        from scipy.ndimage import map_coordinates

        apart = max(1, round(_STEP_UM / grid.um))
        # one lattice for the whole picture, so that neighbouring blocks agree on their border
        low = np.array([column, row]) // apart
        high = -(-(np.array([column, row]) + windows) // apart)
        nx, ny = high - low + 1
        x, y = np.meshgrid(np.arange(nx) + low[0], np.arange(ny) + low[1])
        centre = np.stack([x, y], axis=-1).reshape(-1, 2) * (apart * grid.cell_px)
        limit = np.array([image.width, image.height], np.float64)
        side_px = _TILE_UM * grid.cell_px / grid.um
        tiles = _read_inside(image, np.minimum(centre, limit), side_px, self.encoder.card.input_px)
        features = self.encoder.encode(tiles).reshape(ny, nx, -1)
        place = [
            (np.arange(windows) + 0.5 + start) / apart - first for start, first in ((row, low[1]), (column, low[0]))
        ]
        rows, columns = np.meshgrid(*place, indexing="ij")
        planes = [
            map_coordinates(features[..., k], [rows, columns], order=1, mode="nearest")
            for k in range(features.shape[-1])
        ]
        return np.stack(planes, axis=-1)


def least_cell_um(encoder: Encoder | None) -> float:
    """Smallest cell in microns that an encoder's own grid fills with real pixels; 0 where it has no grid."""
    side = 0 if encoder is None else _own_side(encoder)
    if encoder is None or side == 0:
        return 0.0
    return encoder.card.input_px / side * (encoder.card.mpp or _FINE_MPP)


def grid_reader(encoder: Encoder, grid: Grid) -> GridReader:
    """Find out how an encoder's own grid fits the cells of a map."""
    card, side = encoder.card, _own_side(encoder)
    if side == 0:
        return GridReader(encoder, 0, 1)
    own_um = card.input_px / side * card.mpp if card.mpp else grid.um
    fold = int(np.clip(round(grid.um / own_um), 1, side - 2 * _margin(side)))
    return GridReader(encoder, side, fold)


def _own_side(encoder: Encoder) -> int:
    """Cells of the encoder's own grid on a side, 0 where it has none or one too small to have a border."""
    side_px = encoder.card.input_px
    try:
        side = encoder.encode_grid(np.zeros((1, side_px, side_px, 3), np.uint8)).shape[1]
    except ConfigError:  # the contract of an encoder that has no grid
        return 0
    return side if side >= 4 else 0


def _margin(side: int) -> int:
    return max(1, round(_MARGIN * side))


def _read_inside(image: SlideImage, centre: NDArray[np.float64], side_px: float, out_px: int) -> NDArray[np.uint8]:
    """Tiles of `side_px` level-0 pixels; those wholly beyond the picture are plain white."""
    limit = np.array([image.width, image.height])
    outside = ((centre <= -side_px / 2) | (centre >= limit + side_px / 2)).any(axis=1)
    tiles = np.full((len(centre), out_px, out_px, 3), 255, np.uint8)
    if not outside.all():
        tile_um = side_px * (image.mpp or 1.0)
        tiles[~outside] = read_tiles(image, centre[~outside], tile_um=tile_um, out_px=out_px)
    return tiles
