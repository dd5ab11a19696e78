"""Where the assays measure: Visium's hexagonal spots, the squares of Visium HD, the spots of legacy arrays."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from histoscribe.phantom.randomness import Float, generator

Kind = Literal["visium", "visium_hd", "st"]

VISIUM_PITCH_UM, VISIUM_SPOT_UM = 100.0, 55.0
ST_PITCH_UM, ST_SPOT_UM = 200.0, 100.0
HD_BINS_UM = (2, 8, 16)


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The measured places of a section, on and off tissue.

    Parameters
    ----------
    barcodes
        (n,) unique names.
    xy_um
        (n, 2) centres.
    array_row, array_col
        (n,) place on the lattice.
    size_um
        Diameter of a spot or side of a square.
    """

    barcodes: NDArray[np.str_]
    xy_um: Float
    array_row: NDArray[np.int64]
    array_col: NDArray[np.int64]
    size_um: float

    def __len__(self) -> int:
        return len(self.barcodes)

    def take(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> "Layout":
        """Select some of the places."""
        names = ("barcodes", "xy_um", "array_row", "array_col")
        barcodes, xy_um, row, col = (getattr(self, name)[index] for name in names)
        return Layout(barcodes, xy_um, row, col, self.size_um)


def hex_layout(size_um: tuple[float, float], seed: int) -> Layout:
    """Visium's frame cut to the picture: rows 86.6 um apart, every other one shifted by half the pitch.

    As in SpaceRanger's files `array_col` counts half pitches and has the parity of `array_row`.
    """
    dy, dx = VISIUM_PITCH_UM * np.sqrt(3) / 2, VISIUM_PITCH_UM
    n_rows = int((size_um[1] - VISIUM_SPOT_UM) // dy) + 1
    n_cols = int((size_um[0] - VISIUM_SPOT_UM - dx / 2) // dx) + 1
    row, col = (a.ravel() for a in np.meshgrid(np.arange(n_rows), np.arange(n_cols), indexing="ij"))
    array_col = 2 * col + row % 2
    xy = np.column_stack([array_col * dx / 2, row * dy])
    xy += (np.asarray(size_um) - xy.max(axis=0)) / 2
    return Layout(_barcodes(len(row), seed), xy, row, array_col, VISIUM_SPOT_UM)


def st_layout(size_um: tuple[float, float]) -> Layout:
    """Square array of the first Spatial Transcriptomics slides; names are "XxY", counted from 1."""
    n_cols, n_rows = (int((side - ST_SPOT_UM) // ST_PITCH_UM) + 1 for side in size_um)
    row, col = (a.ravel() for a in np.meshgrid(np.arange(1, n_rows + 1), np.arange(1, n_cols + 1), indexing="ij"))
    xy = np.column_stack([col, row]) * ST_PITCH_UM
    xy += (np.asarray(size_um) - xy.max(axis=0) - xy.min(axis=0)) / 2
    return Layout(np.array([f"{c}x{r}" for r, c in zip(row, col, strict=True)]), xy, row, col, ST_SPOT_UM)


def square_layout(size_um: tuple[float, float], bin_um: int) -> Layout:
    """Visium HD's squares from the picture's corner; names carry the bin's size, row and column."""
    n_cols, n_rows = hd_shape(size_um, bin_um)
    row, col = (a.ravel() for a in np.meshgrid(np.arange(n_rows), np.arange(n_cols), indexing="ij"))
    names = np.array([f"s_{bin_um:03d}um_{r:05d}_{c:05d}-1" for r, c in zip(row, col, strict=True)])
    return Layout(names, (np.column_stack([col, row]) + 0.5) * bin_um, row, col, float(bin_um))


def hd_shape(size_um: tuple[float, float], bin_um: int) -> tuple[int, int]:
    """Columns and rows of bins; the finer grids end where the 16 um grid ends, as 16 um squares are whole."""
    factor = max(HD_BINS_UM) // bin_um
    columns, rows = (int(side // max(HD_BINS_UM)) * factor for side in size_um)
    return columns, rows


def _barcodes(n: int, seed: int) -> NDArray[np.str_]:
    """Distinct sequences of 16 bases with the well's suffix, in no order."""
    draws = generator(seed, "barcodes").integers(1 << 30) + np.arange(n)
    scrambled = (draws * 0x9E3779B1 + 0x3C6EF372) % (1 << 32)  # odd factor: distinct numbers stay distinct
    digits = (scrambled[:, None] >> (2 * np.arange(16))) & 3
    return np.array(["".join(row) + "-1" for row in np.array(list("ACGT"))[digits]])
