"""Nuclei under each spot: the eleven numbers of ST-AIseg from whole nuclei, density, and how nuclei lie to each other.

A nucleus belongs to a spot where its centre lies under the spot, and counts once and whole; nuclei that touch stay two,
and none is cut by a border.
"""

from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from histoscribe.nuclei.features import NEAREST

Float = NDArray[np.float64]

MEASURED = ("area_um2", "perimeter_um", "eccentricity", "intensity", "solidity")
ELEVEN = ("count", *(f"{name}_{part}" for name in MEASURED for part in ("mean", "sd")))
FURTHER = (
    "density_per_mm2",
    "haematoxylin_mean",
    "haematoxylin_sd",
    "texture_mean",
    "nearest_um_mean",
    "nearest_um_sd",
    "around_per_mm2",
    "area_um2_around",
    "haematoxylin_around",
)
SPOT_COLUMNS = (*ELEVEN, *FURTHER)
_AROUND = 2.0  # diameters of the wider circle that describes the neighbourhood


def spot_features(
    nuclei: pd.DataFrame,
    xy_px: Float,
    *,
    diameter_um: float,
    mpp: float,
    shape: Literal["disc", "square"] = "disc",
) -> pd.DataFrame:
    """Describe the nuclei under each spot.

    Parameters
    ----------
    nuclei
        As `read_nuclei` gives them.
    xy_px
        Centres of the spots, (n, 2), x before y, in level-0 pixels.
    diameter_um
        Diameter of a spot, or side of a square bin, in microns.
    mpp
        Microns per level-0 pixel.
    shape
        What a spot covers.

    Returns
    -------
    float64 table (n, 20): ST-AIseg's eleven (count; mean and population standard deviation of area, perimeter,
    eccentricity, mean intensity and solidity; zeros where there is no nucleus), nuclei per mm2, haematoxylin and its
    texture, distance to the nearest nucleus, and density, size and stain in a circle of twice the diameter.
    """
    xy_um = np.asarray(xy_px, np.float64) * mpp
    centres = nuclei[["x_px", "y_px"]].to_numpy(np.float64) * mpp  # (m, 2)
    norm = 2.0 if shape == "disc" else np.inf
    area_mm2 = (diameter_um / 1000) ** 2 * (np.pi / 4 if shape == "disc" else 1.0)
    under = _pairs(xy_um, centres, radius=diameter_um / 2, norm=norm)
    around = _pairs(xy_um, centres, radius=_AROUND * diameter_um / 2, norm=2.0)
    count, _, _ = _summary(under, np.ones(len(nuclei)), len(xy_um))
    out = {"count": count}
    for name in MEASURED:
        _, out[f"{name}_mean"], out[f"{name}_sd"] = _summary(under, nuclei[name].to_numpy(np.float64), len(xy_um))
    out["density_per_mm2"] = count / area_mm2
    stain = nuclei["haematoxylin"].to_numpy(np.float64)
    _, out["haematoxylin_mean"], out["haematoxylin_sd"] = _summary(under, stain, len(xy_um))
    _, out["texture_mean"], _ = _summary(under, nuclei["haematoxylin_texture"].to_numpy(np.float64), len(xy_um))
    nearest = np.nan_to_num(nuclei[NEAREST].to_numpy(np.float64))
    _, out["nearest_um_mean"], out["nearest_um_sd"] = _summary(under, nearest, len(xy_um))
    near, out["area_um2_around"], _ = _summary(around, nuclei["area_um2"].to_numpy(np.float64), len(xy_um))
    out["around_per_mm2"] = near / (np.pi * (_AROUND * diameter_um / 2000) ** 2)
    _, out["haematoxylin_around"], _ = _summary(around, stain, len(xy_um))
    return pd.DataFrame(out)[list(SPOT_COLUMNS)]


def nuclei_block(features: pd.DataFrame) -> Float:
    """Feature block for domain methods, (n, d): counts and densities as their logarithm of one more, the rest as it is.

    Blocks are standardised where they are joined; densities span two orders of magnitude, and only their ratio matters.
    """
    block = features.to_numpy(np.float64).copy()
    for name in ("count", "density_per_mm2", "around_per_mm2"):
        place = features.columns.get_loc(name)
        block[:, place] = np.log1p(block[:, place])
    return block


def _pairs(xy_um: Float, centres: Float, *, radius: float, norm: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs of a spot and a nucleus with its centre under the spot, each (p,)."""
    if len(centres) == 0 or len(xy_um) == 0:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    found = cKDTree(centres).query_ball_point(xy_um, radius, p=norm, return_sorted=True)
    spot = np.repeat(np.arange(len(xy_um)), [len(one) for one in found])
    return spot, np.concatenate([np.asarray(one, np.intp) for one in found])


def _summary(pairs: tuple[NDArray[np.intp], NDArray[np.intp]], values: Float, n: int) -> tuple[Float, Float, Float]:
    """Count, mean and population standard deviation of a measure over each spot's nuclei; zeros where there is none."""
    spot, nucleus = pairs
    count = np.bincount(spot, minlength=n).astype(np.float64)
    some = np.maximum(count, 1)
    mean = np.bincount(spot, values[nucleus], n) / some
    spread = np.bincount(spot, (values[nucleus] - mean[spot]) ** 2, n) / some
    return count, mean, np.sqrt(spread)
