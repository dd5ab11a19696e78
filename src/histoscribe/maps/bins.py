"""Visium HD's smallest bins, read out of core and summed: to larger bins, or to spots as Visium would have had them.

Millions of 2 um bins with a molecule or two each are too sparse to learn from and too many to hold in memory. They are
read from the HDF5 file a slice at a time and added to their larger bin or spot; only the sums are held.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from histoscribe.errors import ConfigError, InputError
from histoscribe.store.compressed import require_compressed
from histoscribe.store.hdf5 import open_hdf5, read_dataset, read_names, require_dataset, require_group

Float = NDArray[np.float64]

PITCH_UM, SPOT_UM = 100.0, 55.0  # of Visium
_VALUES_AT_ONCE = 8_000_000


def hex_places(xy_um: NDArray[np.floating], *, pitch_um: float = PITCH_UM) -> tuple[Float, NDArray[np.int64]]:
    """Centres of a hexagonal lattice over the extent of bins, rows `pitch * sqrt(3) / 2` apart.

    Parameters
    ----------
    xy_um
        (n, 2) centres of bins.

    Returns
    -------
    (m, 2) centres in microns, and (m, 2) array row and array column, which counts half pitches as SpaceRanger's does.
    """
    low, high = np.min(xy_um, axis=0), np.max(xy_um, axis=0)
    dy = pitch_um * np.sqrt(3) / 2
    rows, columns = int((high[1] - low[1]) // dy) + 1, int((high[0] - low[0]) // pitch_um) + 1
    row, column = (a.ravel() for a in np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"))
    array = np.column_stack([row, 2 * column + row % 2])
    return low + np.column_stack([array[:, 1] * pitch_um / 2, row * dy]), array.astype(np.int64)


def owners_by_disc(
    bins_um: NDArray[np.floating], places_um: Float, *, diameter_um: float = SPOT_UM
) -> NDArray[np.int64]:
    """Find the place with the disc that holds each bin's centre: (n,) numbers, -1 for bins under no disc."""
    distance, place = cKDTree(places_um).query(bins_um)
    return np.where(distance <= diameter_um / 2, place, -1).astype(np.int64)


def owners_by_square(
    array_row: NDArray[np.integer], array_col: NDArray[np.integer], *, factor: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Larger bin that holds each bin, (n,), and (m, 2) rows and columns of the larger bins that hold any.

    Raises
    ------
    ConfigError
        Where `factor`, bins on a side of a larger one, is below 1.
    """
    if factor < 1:
        raise ConfigError("bins can only be made larger", where="factor", expected="1 or more", found=factor)
    place = np.column_stack([np.asarray(array_row) // factor, np.asarray(array_col) // factor])
    found, owner = np.unique(place, axis=0, return_inverse=True)
    return owner.reshape(-1).astype(np.int64), found.astype(np.int64)


def sum_bins(path: Path, owner: dict[str, int] | NDArray[np.int64], n: int) -> tuple[sparse.csr_matrix, list[str]]:
    """Add up the counts of bins by owner, reading a 10x HDF5 matrix slice by slice.

    Parameters
    ----------
    path
        `filtered_feature_bc_matrix.h5` of the 2 um bins.
    owner
        Owner of each barcode by name, or (barcodes,) in the file's order; below 0 for bins to leave out.
    n
        Number of owners.

    Returns
    -------
    (n, g) CSR of sums, and the names of the genes.

    Raises
    ------
    InputError
        Where the file is no 10x matrix, is damaged, or its arrays do not fit each other.
    """
    with open_hdf5(path, "HDF5 matrix") as file:
        matrix = require_group(file, "matrix", where=path)
        shape = [int(side) for side in read_dataset(matrix, "shape", kinds="iu", where=path)]
        names = read_names(require_group(matrix, "features", where=path), "name", where=path)
        start = read_dataset(matrix, "indptr", kinds="iu", where=path).astype(np.int64)
        if isinstance(owner, dict):
            owner = np.array([owner.get(name, -1) for name in read_names(matrix, "barcodes", where=path)], np.int64)
        stored = {name: require_dataset(matrix, name, where=path) for name in ("indices", "data")}
        if shape != [len(names), len(owner)] or len(start) != len(owner) + 1 or not _rises(start, stored["data"]):
            raise InputError(
                "the matrix does not fit its bins",
                where=path,
                expected=f"{len(owner):,} bins and {len(names):,} genes, and a start for each bin, rising",
                found=f"shape {shape}, {len(start) - 1:,} columns of {stored['data'].shape} values",
            )
        total = sparse.csr_matrix((n, len(names)), dtype=np.float64)
        for low, high in _slices(start):
            part = slice(int(start[low]), int(start[high]))
            gene, value, begins = stored["indices"][part], stored["data"][part], start[low : high + 1] - start[low]
            require_compressed(
                value, gene, begins, shape=(high - low, len(names)), where=path, what=f"bins from {low:,}"
            )
            where = np.repeat(owner[low:high], begins[1:] - begins[:-1])
            kept = where >= 0
            total += sparse.csr_matrix((value[kept].astype(np.float64), (where[kept], gene[kept])), shape=total.shape)
    return total, names


def _rises(start: NDArray[np.int64], data: Any) -> bool:
    """Whether starts rise from 0 to the number of values, so that each bin's part can be read alone."""
    ends = len(start) > 0 and data.ndim == 1 and start[0] == 0 and start[-1] == len(data)
    return bool(ends and (start[1:] >= start[:-1]).all())


def _slices(start: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Ranges of bins that hold some millions of values each."""
    cuts = [0]
    while cuts[-1] < len(start) - 1:
        following = int(np.searchsorted(start, start[cuts[-1]] + _VALUES_AT_ONCE, side="right")) - 1
        cuts.append(min(max(following, cuts[-1] + 1), len(start) - 1))
    return list(pairwise(cuts))
