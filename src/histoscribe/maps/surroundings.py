"""Features of a spot or a cell: its own, and the means of its near and wide surroundings.

Features of cells are standardised to mean 0 and variance 1 over the tissue of their own picture, so that a paler stain
or a thicker cut of another slide makes no difference. They are then blurred by a quarter of a spot's diameter: a spot
measures a mean over its own area, and what a single cell shows beyond that is mostly noise of its features. The
surroundings change slowly and are kept on a coarser lattice.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, sparse

from histoscribe.maps.coarse import Coarse, coarsen
from histoscribe.maps.grid import Grid
from histoscribe.maps.local import NAMES

Matrix = NDArray[np.float32]
Float = NDArray[np.float64]

# standard deviations of the Gaussian weights of the surroundings; the first is about that of a disc of 250 um
AROUND_UM = (62.0, 125.0)
_COARSE_UM = 32.0
BLUR_SHARE = 0.25  # of a spot's diameter, standard deviation


@dataclass(frozen=True, slots=True, eq=False)
class Surroundings:
    """Features of cells, and of blocks of them.

    Parameters
    ----------
    fine
        (c, p) float32 features of cells, standardised over the tissue.
    around
        One (blocks, p) float32 per width: means about each block of `coarse`.
    coarse
        The blocks.
    between
        (c, blocks) CSR: from blocks to cells.
    """

    fine: Matrix
    around: tuple[Matrix, ...]
    coarse: Coarse
    between: sparse.csr_matrix

    def groups(self) -> list[NDArray[np.intp]]:
        """List the columns of `fine` by group: the encoder's features, and the local measures."""
        p = self.fine.shape[1]
        cut = max(p - len(NAMES), 0)
        return [part for part in (np.arange(cut), np.arange(cut, p)) if len(part)]

    def under(self, footprint: sparse.csr_matrix) -> list[Float]:
        """Mean features under footprints (m, c): one (m, 3 p_b) per group, the spot itself and its surroundings."""
        own = np.asarray(footprint @ self.fine, np.float64)
        reach = sparse.csr_matrix(footprint @ self.between)
        layers = [own, *(np.asarray(reach @ wide, np.float64) for wide in self.around)]
        return [np.hstack([layer[:, group] for layer in layers]) for group in self.groups()]

    def response(self, weights: Sequence[Float]) -> tuple[Matrix, Matrix]:
        """Linear response of cells, (c, k), and of blocks, (blocks, k), for weights, one (3 p_b, k) per group.

        The response of a cell is the sum of both, the second interpolated by `between`.
        """
        fine = np.zeros((len(self.fine), weights[0].shape[1]), np.float32)
        wide = np.zeros((len(self.around[0]), weights[0].shape[1]), np.float32)
        for group, weight in zip(self.groups(), weights, strict=True):
            layers = np.split(weight.astype(np.float32), 1 + len(self.around))
            fine += self.fine[:, group] @ layers[0]
            for around, layer in zip(self.around, layers[1:], strict=True):
                wide += around[:, group] @ layer
        return fine, wide


def surroundings(grid: Grid, cells: NDArray[np.intp], features: Matrix, *, spot_um: float) -> Surroundings:
    """Standardise the features (c, p) of the tissue's cells, blur them and find the means about them.

    Parameters
    ----------
    spot_um
        Diameter of the spots that the map is learnt from.
    """
    fine = np.asarray(features, np.float32)
    mean = fine.mean(axis=0, dtype=np.float64)
    spread = fine.std(axis=0, dtype=np.float64)
    fine = ((fine - mean) / np.maximum(spread, 1e-6)).astype(np.float32)
    # a speck of dirt or a pen stroke must not decide the map
    np.clip(fine, -8, 8, out=fine)
    _blur(fine, grid, cells, sigma=BLUR_SHARE * spot_um / grid.um)
    coarse = coarsen(grid, cells, um=_COARSE_UM)
    means = coarse.means(fine)
    around = tuple(coarse.smoothed(means, sigma).reshape(coarse.grid.size, -1) for sigma in AROUND_UM)
    return Surroundings(fine, around, coarse, coarse.between(grid, cells))


def _blur(fine: Matrix, grid: Grid, cells: NDArray[np.intp], *, sigma: float) -> None:
    """Gaussian mean over tissue about each cell, in place; `sigma` in cells. Glass is excluded."""
    raster = np.zeros(grid.size, np.float32)
    raster[cells] = 1
    near = ndimage.gaussian_filter(raster.reshape(grid.shape), sigma, mode="constant").ravel()[cells]
    for k in range(fine.shape[1]):
        raster[cells] = fine[:, k]
        fine[:, k] = ndimage.gaussian_filter(raster.reshape(grid.shape), sigma, mode="constant").ravel()[cells] / near
