"""A map on smaller cells than the model's: factors are interpolated linearly, because they change slowly."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from histoscribe.maps.coarse import Coarse
from histoscribe.maps.grid import Grid
from histoscribe.maps.mapper import FactorMap


def refined(found: FactorMap, model: Grid, cells: NDArray[np.intp], grid: Grid, wanted: NDArray[np.intp]) -> FactorMap:
    """Interpolate a map from cells of the model's grid to wanted cells of another.

    Parameters
    ----------
    found
        On `cells`, (c,), of `model`.
    grid, wanted
        The raster's grid and its cells, (w,).
    """
    if grid == model and np.array_equal(cells, wanted):
        return found
    weight = np.zeros(model.size)
    weight[cells] = 1
    between = Coarse(model, 1, weight.reshape(model.shape), cells).between(grid, wanted)[:, cells]
    # weights are normalised again, so that a cell at the tissue's border takes the mean of the tissue beside it
    total = np.maximum(np.asarray(between.sum(axis=1)).ravel(), 1e-12).astype(np.float32)
    latent = None if found.latent is None else np.asarray(between @ found.latent) / total[:, None]
    return replace(
        found,
        factors=np.asarray(between @ found.factors, np.float32) / total[:, None],
        spread=np.asarray(between @ found.spread, np.float32) / total,
        latent=latent,
    )
