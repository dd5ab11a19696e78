"""What the benchmarks on domains share: where the data lie, and labels without the unknown ones."""

import os
from pathlib import Path

import numpy as np
import pandas as pd

from support.sections import HERE

UNKNOWN = {"", "nan", "undetermined"}


def data_file(path: str) -> Path:
    """Path of a file of the test data."""
    return Path(os.environ.get("HISTOSCRIBE_TEST_DATA", HERE.parents[1] / "shared" / "data")) / path


def genes_drawn(n: int, share: float, *, seed: int) -> np.ndarray:
    """Columns of a random share of n genes, sorted; all of them where the share is 1."""
    return np.sort(np.random.default_rng(seed).choice(n, max(1, round(share * n)), replace=False))


def known(labels: pd.Series) -> np.ndarray:
    """Labels as text, None where unknown."""
    return np.array([None if str(label) in UNKNOWN else str(label) for label in labels], object)
