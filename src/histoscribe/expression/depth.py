"""What a score is worth once the spot's depth is known.

The number of molecules counted on a spot follows the tissue, affects every gene and can be guessed from the picture. A
prediction that only separates dense tissue from sparse therefore correlates with most genes; taking the depth out of
both sides shows how much it knows beyond that.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

# what is left of a vector after taking the depth out is noise of rounding below this share of it
ROUNDING = 1e-5


def partial_out(depth: NDArray[np.float64], Y: NDArray[Any]) -> NDArray[np.float64]:
    """Residuals of every column of Y after a least-squares line on the depth.

    Parameters
    ----------
    depth
        (n,) ln(1 + molecules counted).
    Y
        (n, t).

    Returns
    -------
    (n, t) float64 with mean 0; exactly 0 where nothing but rounding was left of a column. A constant depth takes out
    the mean only.
    """
    centred = np.asarray(Y, np.float64) - np.mean(Y, axis=0, dtype=np.float64)
    line = np.asarray(depth, np.float64) - np.mean(depth, dtype=np.float64)
    size = float(line @ line)
    if size <= (ROUNDING * max(1.0, float(np.abs(depth).max(initial=0.0)))) ** 2:
        return centred
    rest = centred - np.outer(line, line @ centred / size)  # (n, t)
    rest[:, np.linalg.norm(rest, axis=0) <= ROUNDING * np.linalg.norm(centred, axis=0)] = 0.0
    return rest


def partial_pearson(Y: NDArray[Any], P: NDArray[Any], depth: NDArray[np.float64]) -> NDArray[np.float64]:
    """Pearson correlation of each column of Y with that of P, the depth partialled out of both.

    Parameters
    ----------
    Y, P
        (n, t) measured and predicted.
    depth
        (n,) ln(1 + molecules counted).

    Returns
    -------
    (t,) float64; 0 where the prediction is a line on the depth or constant, NaN where the truth is.
    """
    a, b = partial_out(depth, Y), partial_out(depth, P)
    a_size, b_size = np.linalg.norm(a, axis=0), np.linalg.norm(b, axis=0)
    product = a_size * b_size
    r = np.divide((a * b).sum(axis=0), product, out=np.zeros(len(product)), where=product > 0)
    r[a_size == 0] = np.nan
    return np.asarray(np.clip(r, -1.0, 1.0), np.float64)
