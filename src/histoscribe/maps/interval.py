"""Prediction intervals of a map: residuals of held-out spots, gene by gene."""

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.9
_FEWEST = 20


def held_out_interval(
    residuals: NDArray[np.floating], uncertainty: NDArray[np.floating], *, level: float = LEVEL
) -> NDArray[np.float32]:
    """Lower and upper residual at uncertainty 1 between which the given share of held-out spots lies.

    Quantiles are those of split conformal prediction, of n + 1 values (Lei et al. 2018), so that the share is reached
    on new spots. The two ends are found separately, because counts are skewed.

    Parameters
    ----------
    residuals
        (n, t) measured minus predicted, each from a model that had not seen the spot.
    uncertainty
        (n,) above 0.

    Returns
    -------
    (2, t) float32; NaN where fewer than 20 spots were held out.
    """
    n, t = residuals.shape
    if n < _FEWEST:
        return np.full((2, t), np.nan, np.float32)
    scaled = np.asarray(residuals / uncertainty[:, None], np.float64)
    tail = (1 - level) / 2
    low = max(tail * (n + 1) - 1, 0) / (n - 1)
    return np.asarray(np.quantile(scaled, [low, 1 - low], axis=0), np.float32)
