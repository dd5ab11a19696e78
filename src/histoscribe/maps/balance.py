"""Mass balance: the map under every spot sums to the molecules that were counted there.

A map gives how a gene is distributed; the spots give how much of it there was. Where they disagree the map is
multiplied by a factor. First the factor changes smoothly between spots, so that the spots' discs do not show in the
map; then iterative proportional fitting (Deming and Stephan 1940) makes every sum exact. Nothing becomes negative.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from histoscribe.maps.grid import Grid

Float = NDArray[np.float64]

TOLERANCE = 0.002
_SMOOTH_ROUNDS = 6
_EXACT_ROUNDS = 60
_NEIGHBOURS = 4
_FAINTEST = (
    1e-3  # least value of a cell, as a share of the gene's mean under spots, so that each spot's sum can be reached
)
_CALM = 2.0  # pseudocount in molecules, which damps how far a spot's excess spreads to cells that no spot covers


@dataclass(frozen=True, slots=True, eq=False)
class Balance:
    """Brings genes of one map to the counts of its spots.

    Parameters
    ----------
    area
        (n, c) share of each cell that each spot's footprint covers, CSR.
    depth
        (c,) molecules of the whole library that one cell would show.
    nearby
        (c, n) CSR: shares of the nearest spots in each cell; rows sum to at most 1.
    """

    area: sparse.csr_matrix
    depth: NDArray[np.float32]
    nearby: sparse.csr_matrix

    def counts(self, per_10k: NDArray[np.float32], measured: Float | None) -> NDArray[np.float32]:
        """Molecules of one gene in each cell, (c,) float32.

        Parameters
        ----------
        per_10k
            (c,) the map's expected counts per 10,000, not negative.
        measured
            (n,) counts of the spots; None to leave the map as it is expected.
        """
        expected: Float = per_10k.astype(np.float64)
        if measured is None:
            return np.asarray(expected * self.depth / 1e4, np.float32)
        total = np.asarray(self.area.sum(axis=1)).ravel()
        under = (self.area @ expected) / total
        faintest = _FAINTEST * max(float(under.mean()), 1e-6)
        expected = np.asarray(np.maximum(expected, faintest) * self.depth / 1e4, np.float64)
        for _ in range(_SMOOTH_ROUNDS):
            sums = self.area @ expected
            expected *= 1 + self.nearby @ ((measured - sums) / (sums + _CALM))
        return np.asarray(self._exact(expected, measured), np.float32)

    def _exact(self, expected: Float, measured: Float) -> Float:
        covered = np.asarray(self.area.sum(axis=0)).ravel()  # (c,) share that any spot covers
        inside = covered > 0
        for _ in range(_EXACT_ROUNDS):
            sums = self.area @ expected
            ratio = np.divide(measured, sums, out=np.ones(len(sums)), where=sums > 0)
            if np.all(np.abs(sums - measured) <= TOLERANCE * np.maximum(measured, 1e-3)):
                break
            expected[inside] *= (self.area.T @ ratio)[inside] / covered[inside]
        return expected


def make_balance(
    grid: Grid, cells: NDArray[np.intp], area: sparse.csr_matrix, *, xy_um: Float, library: Float, pitch_um: float
) -> Balance:
    """Prepare the balance of a map.

    Parameters
    ----------
    cells
        (c,) flat numbers of the map's cells.
    area
        (n, c) of `footprint_areas`, the columns of these cells.
    library
        (n,) molecules per spot over its whole library.
    """
    total = np.asarray(area.sum(axis=1)).ravel()
    nearby = _nearby(grid.centres_um(cells), xy_um, pitch_um)
    # the library of a cell: the density of the spots around it, and under a spot exactly that spot's
    dense = np.log(np.maximum(library, 0.5) / total)
    whole = np.asarray(nearby.sum(axis=1)).ravel()
    depth = np.exp(nearby @ dense + (1 - whole) * np.median(dense))
    covered = np.asarray(area.sum(axis=0)).ravel()
    inside = covered > 0
    depth[inside] = (area.T @ (library / total))[inside] / covered[inside]
    return Balance(area, depth.astype(np.float32), nearby)


def _nearby(xy_um: Float, spots_um: Float, pitch_um: float) -> sparse.csr_matrix:
    """Gaussian weights, half a pitch wide, of the nearest spots of each cell; far from all spots they sum to less."""
    k = min(_NEIGHBOURS, len(spots_um))
    distance, spot = cKDTree(spots_um).query(xy_um, k=np.arange(1, k + 1))
    weight = np.exp(-0.5 * (distance / (0.5 * pitch_um)) ** 2)
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), np.exp(-2.0))
    start = np.arange(0, k * len(xy_um) + 1, k)
    return sparse.csr_matrix((weight.astype(np.float32).ravel(), spot.ravel(), start), (len(xy_um), len(spots_um)))
