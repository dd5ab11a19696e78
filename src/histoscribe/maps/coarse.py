"""A coarser lattice under the cells: for what changes slowly, the surroundings of a cell and the field over space."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from histoscribe.maps.grid import Grid
from histoscribe.numerics.bilinear import corners_around

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Coarse:
    """Square blocks of `factor` x `factor` cells.

    Parameters
    ----------
    grid
        The blocks as a grid of their own.
    factor
        Cells on a side of a block.
    weight
        (rows, columns) float64: how many of a block's cells are used.
    block
        (c,) flat number of the block of each cell.
    """

    grid: Grid
    factor: int
    weight: NDArray[np.float64]
    block: NDArray[np.intp]

    def means(self, values: Matrix) -> Matrix:
        """Mean over the cells of each block: (c, k) to (rows, columns, k) float32; 0 in empty blocks."""
        size, k = self.grid.size, values.shape[1]
        total = np.empty((size, k), np.float32)
        share = 1 / np.maximum(self.weight.ravel(), 1)
        for column in range(k):
            total[:, column] = np.bincount(self.block, values[:, column], minlength=size) * share
        return total.reshape(*self.grid.shape, k)

    def smoothed(self, blocks: Matrix, sigma_um: float) -> Matrix:
        """Gaussian mean over tissue about each block, (rows, columns, k) float32; glass is excluded."""
        sigma = sigma_um / self.grid.um
        near = np.maximum(ndimage.gaussian_filter(self.weight, sigma, mode="constant"), 1e-6 * self.factor**2)
        smooth = np.empty_like(blocks)
        for k in range(blocks.shape[-1]):
            smooth[..., k] = ndimage.gaussian_filter(blocks[..., k] * self.weight, sigma, mode="constant") / near
        return smooth

    def between(self, cells: Grid, chosen: NDArray[np.intp]) -> sparse.csr_matrix:
        """Linear interpolation from blocks to cells of another grid: (c, blocks) CSR float32, rows sum to 1."""
        rows, columns = self.grid.shape
        points, share = corners_around(cells.centres_um(chosen) / self.grid.um - 0.5)
        x, y = np.clip(points[..., 0], 0, columns - 1), np.clip(points[..., 1], 0, rows - 1)  # (4, c)
        # a block of glass has no features: its share goes to its neighbours
        weight, column = (share * np.maximum(self.weight[y, x] > 0, 1e-6)).T, (y * columns + x).T  # (c, 4)
        weight = weight / weight.sum(axis=1, keepdims=True)
        start = np.arange(0, 4 * len(chosen) + 1, 4)
        return sparse.csr_matrix(
            (weight.astype(np.float32).ravel(), column.ravel(), start), shape=(len(chosen), self.grid.size)
        )


def coarsen(grid: Grid, cells: NDArray[np.intp], *, um: float) -> Coarse:
    """Blocks of about `um` microns over the chosen cells of a grid."""
    factor = max(1, round(um / grid.um))
    rows, columns = (-(-side // factor) for side in grid.shape)
    coarse = Grid(rows, columns, grid.um * factor, grid.mpp)
    row, column = np.divmod(cells, grid.columns)
    block = (row // factor) * columns + column // factor
    weight = np.bincount(block, minlength=coarse.size).astype(np.float64).reshape(rows, columns)
    return Coarse(coarse, factor, weight, block)
