"""The picture at one physical resolution, whole number of pixels to a cell, and windows of it that may reach beyond."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError
from histoscribe.maps.grid import Grid
from histoscribe.slide.image import RGB, SlideImage
from histoscribe.slide.tiles import read_tiles

_BLOCK_CELLS = 64


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """Pixels on a grid's cells.

    Parameters
    ----------
    pixels
        (rows * fold, columns * fold, 3) uint8.
    fold
        Pixels on a side of a cell.
    grid
        The cells.
    """

    pixels: RGB
    fold: int
    grid: Grid

    @property
    def um_per_px(self) -> float:
        """Microns per pixel."""
        return self.grid.um / self.fold

    def window(self, row: int, column: int, *, side: int, halo_px: int) -> NDArray[np.uint8]:
        """Square of `side` cells from a cell on, and a halo about it; the outermost pixels go on beyond the border.

        Returns
        -------
        (side * fold + 2 * halo_px, same, 3) uint8.
        """
        height, width = self.pixels.shape[:2]
        reach = np.arange(-halo_px, side * self.fold + halo_px)
        rows = np.clip(reach + row * self.fold, 0, height - 1)
        columns = np.clip(reach + column * self.fold, 0, width - 1)
        return self.pixels[rows[:, None], columns]


def read_picture(image: SlideImage | None, grid: Grid, cells: NDArray[np.intp], *, um_per_px: float) -> Picture:
    """Read a picture at about `um_per_px`, no finer than it is; blocks without any of the cells stay white.

    Raises
    ------
    InputError
        Where there is no picture.
    """
    if image is None:
        raise InputError("this mapper learns from pixels, and there is no picture", where="autoencoder")
    fold = max(1, min(round(grid.um / um_per_px), int(grid.cell_px + 1e-6)))
    side_px = _BLOCK_CELLS * fold
    blocks = [-(-count // _BLOCK_CELLS) for count in grid.shape]
    pixels = np.full((blocks[0] * side_px, blocks[1] * side_px, 3), 255, np.uint8)
    row, column = np.divmod(cells, grid.columns)
    places = np.unique(np.column_stack([row, column]) // _BLOCK_CELLS, axis=0)
    for top, left in places:
        centre = (np.array([[left, top]]) + 0.5) * _BLOCK_CELLS * grid.cell_px
        tile = read_tiles(image, centre, tile_um=_BLOCK_CELLS * grid.um, out_px=side_px)[0]
        pixels[top * side_px : (top + 1) * side_px, left * side_px : (left + 1) * side_px] = tile
    return Picture(pixels[: grid.rows * fold, : grid.columns * fold], fold, grid)
