"""Which spots to hide when a map is scored: random folds of them."""

import numpy as np
from numpy.typing import NDArray


def random_folds(n: int, folds: int, *, seed: int) -> NDArray[np.intp]:
    """Fold of each of n spots, sizes as equal as can be, (n,)."""
    return np.random.default_rng(seed).permutation(n) % folds
