"""Signs of components: an eigenvector and its negative are both right, so that one of them has to be chosen."""

import numpy as np
from numpy.typing import NDArray


def with_fixed_signs(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn every column of (d, k) so that its entry of largest size is positive; a column of zeros stays."""
    largest = np.abs(vectors).argmax(axis=0)
    signs = np.where(vectors[largest, np.arange(vectors.shape[1])] < 0, -1.0, 1.0)
    return np.asarray(vectors * signs)
