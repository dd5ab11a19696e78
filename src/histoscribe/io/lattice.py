"""Pitch of an assay's lattice in pixels, found from the spots, and the lattice of each assay in microns."""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from histoscribe.section import Lattice

VISIUM = Lattice("hex", pitch_um=100.0, spot_diameter_um=55.0)
ST_1K = Lattice("square", pitch_um=200.0, spot_diameter_um=100.0)
# 2k arrays stand on every other point of a grid of 100 um: a square lattice turned by 45 degrees
ST_2K = Lattice("square", pitch_um=100.0 * 2**0.5, spot_diameter_um=100.0)

# Space Ranger's spot_diameter_fullres stands for 65 um in most versions, for 70 or 55 um in others
NOMINAL_SPOT_UM = (55.0, 65.0, 70.0)


def hd_lattice(bin_um: float) -> Lattice:
    """Return the gapless lattice of Visium HD bins."""
    return Lattice("square", pitch_um=bin_um, spot_diameter_um=bin_um)


def fitted_pitch_px(
    xy_px: NDArray[np.float64], row: NDArray[np.int64], column: NDArray[np.int64], *, kind: str
) -> float | None:
    """Pitch by a least-squares fit of pixels on lattice indices, so that rounding and gaps average out.

    Parameters
    ----------
    xy_px
        Centres, (n, 2), x before y.
    row, column
        Lattice indices, (n,); on a hex lattice neighbours in one row are two columns apart, as 10x counts them.
    kind
        "hex" or "square".

    Returns
    -------
    Pitch in pixels from the area of one lattice cell, or None where the spots lie on one line or off the lattice.
    """
    if len(xy_px) < 3:
        return None
    design = np.column_stack([column, row, np.ones(len(row))]).astype(np.float64)  # (n, 3)
    solution, _, rank, _ = np.linalg.lstsq(design, xy_px, rcond=None)  # (3, 2)
    if rank < 3:
        return None
    area = abs(float(np.linalg.det(solution[:2])))  # square pixels per step of column and row
    # one hex cell is two steps of column wide and one row high, sqrt(3)/2 pitches
    pitch = float(np.sqrt(area * 4 / np.sqrt(3))) if kind == "hex" else float(np.sqrt(area))
    rms = float(np.sqrt(np.mean(np.sum((design @ solution - xy_px) ** 2, axis=1))))
    return pitch if pitch > 0 and rms < pitch / 4 else None


def neighbour_pitch_px(xy_px: NDArray[np.float64]) -> float | None:
    """Pitch from nearest neighbours alone, for spots without lattice indices.

    The distances to all neighbours of the first shell are averaged: the nearest one alone is too short where
    coordinates were rounded to pixels.
    """
    if len(xy_px) < 2:
        return None
    distance = cKDTree(xy_px).query(xy_px, k=min(7, len(xy_px)))[0][:, 1:]  # (n, k)
    first = float(np.median(distance[:, 0]))
    if not first > 0:
        return None
    return float(distance[distance < 1.25 * first].mean())


def is_staggered(x: NDArray[np.int64], y: NDArray[np.int64]) -> bool:
    """Whether indices stand on every other grid point only, as those of legacy ST arrays with 2,000 spots do."""
    parity = (x + y) % 2
    return len(x) >= 20 and bool((parity == parity[0]).all())


def unstagger(x: NDArray[np.int64], y: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Turn every-other-point indices by 45 degrees, so that neighbours are one step apart: (row, column)."""
    row, column = (y + x) // 2, (y - x) // 2
    return row - row.min(), column - column.min()


def spot_diameter_mpp(diameter_px: float, pitch_px: float | None, pitch_um: float) -> float:
    """Microns per pixel from the spot diameter that the vendor gives in pixels.

    The nominal diameter differs between versions of Space Ranger and the file does not say which; the one that agrees
    best with the pitch is taken, so that this source confirms the scale within some 10 percent and no closer.
    """
    candidates = [nominal / diameter_px for nominal in NOMINAL_SPOT_UM]
    if pitch_px is None:
        return candidates[1]
    return min(candidates, key=lambda mpp: abs(np.log(mpp * pitch_px / pitch_um)))
