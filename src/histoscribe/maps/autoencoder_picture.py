"""The picture at one physical resolution, a whole number of pixels per cell, and windows that may reach beyond it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError
from histoscribe.maps.grid import Grid
from histoscribe.slide.image import RGB, SlideImage
from histoscribe.slide.tiles import read_tiles

_BLOCK_CELLS = 64
_SSIM_WINDOW = 7


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
        """Square of `side` cells from a cell on, with a halo; beyond the border the outermost pixels are repeated.

        Returns
        -------
        (side * fold + 2 * halo_px, same, 3) uint8.
        """
        height, width = self.pixels.shape[:2]
        reach = np.arange(-halo_px, side * self.fold + halo_px)
        rows = np.clip(reach + row * self.fold, 0, height - 1)
        columns = np.clip(reach + column * self.fold, 0, width - 1)
        return self.pixels[rows[:, None], columns]


def likeness(truth: RGB, made: RGB, tissue: NDArray[np.bool_]) -> float | None:
    """Structural similarity (SSIM) of two pictures (h, w, 3), mean over the pixels of `tissue`, (h, w), and colours.

    None where the pictures are smaller than its window of 7 pixels.
    """
    from skimage.metrics import structural_similarity

    if min(truth.shape[:2]) < _SSIM_WINDOW:
        return None
    found = [
        structural_similarity(
            truth[..., k].astype(np.float32),
            made[..., k].astype(np.float32),
            win_size=_SSIM_WINDOW,
            data_range=255,
            full=True,
        )[1][tissue].mean()
        for k in range(3)  # one colour at a time needs a third of the memory
    ]
    return float(np.mean(found))


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
