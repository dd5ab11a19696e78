"""Features of a Gaussian kernel by landmarks, so that a ridge on them is non-linear.

With all rows as landmarks a ridge on these features is kernel ridge itself; with fewer it is the approximation of
Nystroem (Williams and Seeger 2001, equation 8), and no matrix of all spots by all spots is made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LOST = 1e-7  # directions of the landmarks' kernel below this share of the largest are rounding


@dataclass(frozen=True, slots=True, eq=False)
class Landmarks:
    """Spots to which all others are compared.

    Parameters
    ----------
    places
        (m, k) the landmarks' components.
    width
        Distance at which the similarity is exp(-1/2).
    whitening
        (m, r) from similarities to features.
    """

    places: Floats
    width: float
    whitening: Floats

    @classmethod
    def fit(cls, Z: Floats, *, count: int, breadth: float = 1.0) -> Self:
        """Choose landmarks among the rows of `Z` (n, k).

        The width is `breadth` times the root mean squared distance of two rows. Rows are taken evenly along the first
        component, so that the choice does not depend on the order in which they come.
        """
        spread = float(np.sqrt(2 * Z.var(axis=0).sum()))
        width = breadth * (spread if spread > 0 else 1.0)
        order = np.lexsort(Z.T[min(3, Z.shape[1] - 1) :: -1])
        places = Z[order[np.linspace(0, len(Z) - 1, min(count, len(Z))).round().astype(np.intp)]]
        values, vectors = np.linalg.eigh(_likeness(places, places, width))
        kept = values > _LOST * values[-1]
        return cls(places, width, vectors[:, kept] / np.sqrt(values[kept]))

    def transform(self, Z: Floats) -> Floats:
        """Features of rows (n, k), (n, r)."""
        return np.asarray(_likeness(Z, self.places, self.width) @ self.whitening)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all of it as arrays by name."""
        return {"places": self.places, "width": np.array([self.width]), "whitening": self.whitening}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild it from `state`."""
        return cls(state["places"], float(state["width"][0]), state["whitening"])


def _likeness(A: Floats, B: Floats, width: float) -> Floats:
    squared = (A**2).sum(axis=1)[:, None] + (B**2).sum(axis=1) - 2 * A @ B.T
    return np.asarray(np.exp(-np.maximum(squared, 0.0) / (2 * width**2)))
