"""Pictures of the slide room's tests."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def tissue() -> np.ndarray:
    """(260, 330, 3) uint8 with structure everywhere, so that every stored byte of it matters."""
    y, x = np.mgrid[:260, :330]
    waves = 128 + 60 * np.sin(x / 7) * np.cos(y / 9)
    noise = np.random.default_rng(0).normal(0, 25, (260, 330, 3))
    return np.clip(waves[..., None] + noise + [20, -30, 10], 0, 255).astype(np.uint8)
