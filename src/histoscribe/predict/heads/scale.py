"""Targets on the scale that a network learns on, and back."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class TargetScale:
    """Mean 0 and variance 1 for each target; a constant target is returned as it was.

    Parameters
    ----------
    values
        (2, t) mean and standard deviation; 0 for a constant target, which removes the network's output.
    """

    values: NDArray[np.float64]

    @classmethod
    def fit(cls, Y: NDArray[Any]) -> Self:
        """Learn from (n, t) targets."""
        spread = Y.std(axis=0)
        return cls(np.stack([Y.mean(axis=0), np.where(spread > 1e-9, spread, 0.0)]))

    def apply(self, Y: NDArray[Any]) -> NDArray[np.float32]:
        """Return standardised targets, (n, t)."""
        spread = self.values[1]
        return np.asarray((Y - self.values[0]) / np.where(spread > 0, spread, 1.0), np.float32)

    def invert(self, Z: NDArray[Any]) -> NDArray[np.float32]:
        """Return standardised predictions on the scale of the targets, (n, t)."""
        return np.asarray(Z * self.values[1] + self.values[0], np.float32)
