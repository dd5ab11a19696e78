"""Local features of a cell of the map: its colours, how much they vary, and how much of it is nucleus.

An encoder's features are rich but coarse; these are simple but fine. Together they let a map follow borders that an
encoder blurs. Everything is measured on pixels of one size in microns, block by block.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from histoscribe.errors import InputError
from histoscribe.maps.grid import Grid
from histoscribe.slide.image import RGB, SlideImage
from histoscribe.slide.tiles import read_tiles

Matrix = NDArray[np.float32]

NAMES = ("haematoxylin", "eosin", "rest", "unrest_h", "unrest_e", "nuclear", "fine_h", "middle_h", "coarse_h")
PX_PER_CELL = 8
_MARGIN_CELLS = 2
# standard deviations in microns of the bands; their energy separates small nuclei from large ones and from clumps
_BANDS_UM = ((0.8, 1.6), (1.6, 3.2), (3.2, 6.4))
# optical densities of red, green, blue of haematoxylin and eosin (Ruifrok and Johnston 2001)
_STAINS = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105]])
_SAMPLE_BLOCKS = 12


def local_block(image: SlideImage, grid: Grid, *, column: int, row: int, side: int, nuclear_od: float) -> Matrix:
    """Measure a square block of cells.

    Parameters
    ----------
    column, row
        Its upper left cell.
    side
        Cells on a side; what lies beyond the picture is mirrored.
    nuclear_od
        Optical density of haematoxylin from which a pixel is nucleus; see `nuclear_threshold`.

    Returns
    -------
    (side, side, len(NAMES)) float32.
    """
    m = _MARGIN_CELLS
    haematoxylin, eosin, rest = _stains(_pixels(image, grid, column - m, row - m, side + 2 * m))
    px_um = grid.um / PX_PER_CELL
    smooth = {
        sigma: ndimage.gaussian_filter(haematoxylin, max(sigma / px_um, 0.3))
        for sigma in sorted({s for band in _BANDS_UM for s in band})
    }
    bands = [np.abs(smooth[fine] - smooth[coarse]) for fine, coarse in _BANDS_UM]
    nuclear = (smooth[_BANDS_UM[0][0]] > nuclear_od).astype(np.float32)
    means = [_cell_means(values) for values in (haematoxylin, eosin, rest, nuclear, *bands)]
    spreads = [
        np.sqrt(np.maximum(_cell_means(values**2) - mean**2, 0))
        for values, mean in zip((haematoxylin, eosin), means[:2], strict=True)
    ]
    return np.stack([*means[:3], *spreads, *means[3:]], axis=-1)[m : m + side, m : m + side]


def nuclear_threshold(image: SlideImage, grid: Grid, cells: NDArray[np.intp]) -> float:
    """Optical density of haematoxylin that separates nuclei from the rest, by Otsu's method on blocks of tissue."""
    from skimage.filters import threshold_otsu

    chosen = cells[np.linspace(0, len(cells) - 1, _SAMPLE_BLOCKS).astype(np.intp)]
    side = 12
    values = []
    for cell in np.unique(chosen):
        row, column = divmod(int(cell), grid.columns)
        pixels = _pixels(image, grid, max(column - side // 2, 0), max(row - side // 2, 0), side)
        values.append(ndimage.gaussian_filter(_stains(pixels)[0], _BANDS_UM[0][0] * PX_PER_CELL / grid.um).ravel())
    sample = np.concatenate(values)
    return float(threshold_otsu(sample)) if np.ptp(sample) > 0 else float(sample[0])


def _pixels(image: SlideImage, grid: Grid, column: int, row: int, side: int) -> RGB:
    """Pixels of a block of cells, `PX_PER_CELL` a side of each: (h, w, 3) uint8."""
    centre = (np.array([[column, row]]) + side / 2) * grid.cell_px
    if image.mpp is None:
        raise InputError("the image has no microns per pixel", where=image.path, fix="give `mpp`")
    tiles = read_tiles(image, centre, tile_um=side * grid.cell_px * image.mpp, out_px=side * PX_PER_CELL)
    return np.asarray(tiles[0])


def _stains(pixels: RGB) -> Matrix:
    """Optical densities of haematoxylin, eosin and what is neither, (3, h, w) float32."""
    h, e = _STAINS / np.linalg.norm(_STAINS, axis=1, keepdims=True)
    rest = np.cross(h, e)
    inverse = np.linalg.inv(np.array([h, e, rest / np.linalg.norm(rest)])).astype(np.float32)
    table = -np.log((np.arange(256, dtype=np.float32) + 1) / 256)
    return np.moveaxis(table[pixels] @ inverse, -1, 0)


def _cell_means(values: Matrix) -> Matrix:
    rows, columns = (side // PX_PER_CELL for side in values.shape)
    blocks = values.reshape(rows, PX_PER_CELL, columns, PX_PER_CELL)
    return np.asarray(blocks.mean(axis=(1, 3)), np.float32)
