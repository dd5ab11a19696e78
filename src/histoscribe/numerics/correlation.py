"""Pearson's correlation, column by column."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def columnwise_pearson(A: NDArray[Any], B: NDArray[Any]) -> NDArray[np.float64]:
    """Pearson correlation of each column of A with that of B, (n, t) twice to (t,); 0 where either is constant."""
    a = np.asarray(A, np.float64) - np.mean(A, axis=0, dtype=np.float64)
    b = np.asarray(B, np.float64) - np.mean(B, axis=0, dtype=np.float64)
    size = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    r = np.divide((a * b).sum(axis=0), size, out=np.zeros(len(size)), where=size > 0)
    return np.asarray(np.clip(r, -1, 1))
