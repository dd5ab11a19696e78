"""Which spots to hide when a map is scored: every other one, whole blocks, or random folds."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError

Bool = NDArray[np.bool_]


def checkerboard(
    array_row: NDArray[np.integer], array_col: NDArray[np.integer], *, kind: Literal["hex", "square"] = "square"
) -> Bool:
    """Hide every other spot: (n,) bool, True where hidden.

    On a square lattice the hidden spots are the black squares of a chessboard. On a hexagonal one, whose `array_col`
    counts half pitches, they are every other spot of each row.
    """
    row, column = np.asarray(array_row, np.int64), np.asarray(array_col, np.int64)
    if kind == "hex":
        return np.asarray((column - row % 2) // 2 % 2 == 0)
    return np.asarray((row + column) % 2 == 0)


def blocks(xy_um: NDArray[np.floating], *, block_um: float) -> Bool:
    """Hide every other block of tissue: squares of `block_um`, as a chessboard; (n,) bool, True where hidden."""
    if not (np.isfinite(block_um) and block_um > 0):
        raise ConfigError("a block must be of positive size", where="block_um", found=block_um)
    place = np.floor((np.asarray(xy_um) - np.min(xy_um, axis=0)) / block_um).astype(np.int64)
    return np.asarray(place.sum(axis=1) % 2 == 0)


def random_folds(n: int, folds: int, *, seed: int) -> NDArray[np.intp]:
    """Fold of each of n spots, sizes as equal as can be, (n,)."""
    return np.random.default_rng(seed).permutation(n) % folds
