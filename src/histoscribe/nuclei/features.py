"""What each nucleus looks like: size, shape, haematoxylin and its texture."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from histoscribe.nuclei.haematoxylin import haematoxylin
from histoscribe.nuclei.outlines import outlines
from histoscribe.nuclei.segmenter import RGB, Labels

MEASURES = (
    "area_um2",
    "perimeter_um",
    "eccentricity",
    "solidity",
    "haematoxylin",
    "haematoxylin_sd",
    "haematoxylin_texture",
    "intensity",
)
NEAREST = "nearest_um"
_TEXTURE_UM = 0.75


def measure(
    labels: Labels, rgb: RGB, *, mpp: float, vectors: NDArray[np.float64]
) -> tuple[pd.DataFrame, list[NDArray[np.float64]]]:
    """Measure every nucleus of a picture.

    Parameters
    ----------
    labels
        (h, w), 1 to n, each present.
    rgb
        The picture they were found in, (h, w, 3) uint8.
    mpp
        Microns per pixel of both.
    vectors
        Stain vectors, (2, 3), as `stain_vectors` gives them.

    Returns
    -------
    A table of n rows: `x`, `y` (centroid in pixels of the picture) and the `MEASURES`: area, perimeter (of the
    outline), eccentricity and solidity as scikit-image's `regionprops` defines them (solidity on outlines), mean and
    standard deviation of haematoxylin in optical density, its texture (mean magnitude of its Laplacian of Gaussian at
    0.75 um), and mean grey value, 0 to 255; and the outlines, n arrays (k, 2).
    """
    traced = outlines(labels)
    n = len(traced)
    if n == 0:
        return pd.DataFrame({name: np.zeros(0) for name in ("x", "y", *MEASURES)}), []
    place = np.flatnonzero(labels)
    name = labels.ravel()[place] - 1  # (m,)
    rows, columns = (v.astype(np.float64) for v in np.divmod(place, labels.shape[1]))

    def mean_of(values: NDArray[Any]) -> NDArray[np.float64]:
        mean: NDArray[np.float64] = np.bincount(name, values, minlength=n) / area_px
        return mean

    area_px: NDArray[np.float64] = np.bincount(name, minlength=n).astype(np.float64)
    x, y = mean_of(columns) + 0.5, mean_of(rows) + 0.5
    stain = haematoxylin(rgb, vectors)
    grain = np.abs(ndimage.gaussian_laplace(stain, _TEXTURE_UM / mpp)) * (_TEXTURE_UM / mpp) ** 2
    amount = stain.ravel()[place]
    level = mean_of(amount)
    perimeter, solidity = _outline_measures(traced)
    grey = rgb.reshape(-1, 3)[place].mean(axis=1)
    table = pd.DataFrame(
        {
            "x": x,
            "y": y,
            "area_um2": area_px * mpp**2,
            "perimeter_um": perimeter * mpp,
            "eccentricity": _eccentricity(mean_of, name, columns + 0.5 - x[name], rows + 0.5 - y[name]),
            "solidity": solidity,
            "haematoxylin": level,
            "haematoxylin_sd": np.sqrt(mean_of((amount - level[name]) ** 2)),
            "haematoxylin_texture": mean_of(grain.ravel()[place]),
            "intensity": mean_of(grey),
        }
    )
    return table, traced


def nearest_neighbour_um(xy_um: NDArray[np.float64]) -> NDArray[np.float64]:
    """Distance of each nucleus' centre, (n, 2), to the next one's; (n,), NaN where it is the only one."""
    if len(xy_um) < 2:
        return np.full(len(xy_um), np.nan)
    distance, _ = cKDTree(xy_um).query(xy_um, k=2)
    nearest: NDArray[np.float64] = distance[:, 1]
    return nearest


def _eccentricity(
    mean_of: Callable[[NDArray[Any]], NDArray[np.float64]],
    name: NDArray[np.int32],
    dx: NDArray[np.float64],
    dy: NDArray[np.float64],
) -> NDArray[np.float64]:
    xx, yy, xy = (mean_of(v) for v in (dx * dx, dy * dy, dx * dy))
    spread = np.sqrt((xx - yy) ** 2 + 4 * xy**2)
    long, short = (xx + yy + spread) / 2, (xx + yy - spread) / 2
    found: NDArray[np.float64] = np.sqrt(np.clip(1 - short / np.maximum(long, 1e-12), 0, 1)) * (long > 0)
    return found


def _outline_measures(traced: list[NDArray[np.float64]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Lengths of outlines in pixels, and the share that each fills of its convex hull."""
    import shapely

    index = np.repeat(np.arange(len(traced)), [len(corners) for corners in traced])
    shapes = shapely.polygons(shapely.linearrings(np.concatenate(traced), indices=index))
    share = shapely.area(shapes) / shapely.area(shapely.convex_hull(shapes))
    return shapely.length(shapes), np.clip(share, 0, 1)
