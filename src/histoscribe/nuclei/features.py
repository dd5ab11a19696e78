"""What each nucleus looks like: size, shape, haematoxylin and its texture."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import ndimage

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
    A table of n rows: `x`, `y` (centroid in pixels of the picture) and the `MEASURES`: area, perimeter (Crofton's),
    eccentricity and solidity as scikit-image's `regionprops` defines them (solidity on outlines), mean and
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
    grey = rgb.reshape(-1, 3)[place].mean(axis=1)
    table = pd.DataFrame(
        {
            "x": x,
            "y": y,
            "area_um2": area_px * mpp**2,
            "perimeter_um": _perimeters(labels, n) * mpp,
            "eccentricity": _eccentricity(mean_of, name, columns + 0.5 - x[name], rows + 0.5 - y[name]),
            "solidity": _solidities(traced),
            "haematoxylin": level,
            "haematoxylin_sd": np.sqrt(mean_of((amount - level[name]) ** 2)),
            "haematoxylin_texture": mean_of(grain.ravel()[place]),
            "intensity": mean_of(grey),
        }
    )
    return table, traced


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


def _perimeters(labels: Labels, n: int) -> NDArray[np.float64]:
    """Perimeter of each nucleus in pixels, (n,), by Crofton's formula: how often lines in four directions cross it.

    The same as scikit-image's `perimeter_crofton` with four directions, for all nuclei at once.
    """
    padded = np.pad(labels, 1)
    straight = [(padded[:, 1:], padded[:, :-1]), (padded[1:], padded[:-1])]
    diagonal = [(padded[1:, 1:], padded[:-1, :-1]), (padded[1:, :-1], padded[:-1, 1:])]
    length = np.zeros(n + 1)
    for pairs, distance in ((straight, 1.0), (diagonal, np.sqrt(0.5))):  # between neighbouring lines, in pixels
        for one, other in pairs:
            crossed = one != other
            for side in (one, other):
                length += distance * np.bincount(side[crossed], minlength=n + 1)
    return np.pi / 8 * length[1:]


def _solidities(traced: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Share that each outline fills of its convex hull."""
    import shapely

    index = np.repeat(np.arange(len(traced)), [len(corners) for corners in traced])
    shapes = shapely.polygons(shapely.linearrings(np.concatenate(traced), indices=index))
    share: NDArray[np.float64] = shapely.area(shapes) / shapely.area(shapely.convex_hull(shapes))
    return np.clip(share, 0, 1)
