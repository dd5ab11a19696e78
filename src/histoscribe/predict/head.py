"""What a prediction head is: scikit-learn's `fit` and `predict` on named feature blocks or on tiles.

A head never sees a section. It gets one row per spot, in blocks joined by name, and says by `takes` whether it learns
from vectors or from pixels. Its constructor arguments are plain values under the same names; what it fitted carries a
trailing underscore and can be told as plain arrays, so that a model is a safetensors file beside a JSON file.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What a head sees of the spots, one row each.

    Parameters
    ----------
    blocks
        Feature blocks by name, (n, d_b) float32 each, for instance "image@112", "image@224", "neighbours:image@112".
    tiles
        (n, h, w, 3) uint8, an array or anything that gives one for a slice or an index array; None where no head asks
        for pixels.
    section
        (n,) name of the section of each spot.
    depth
        (n,) ln(1 + molecules counted); for fitting only, None for a slide without counts.
    """

    blocks: Mapping[str, Matrix] = field(default_factory=dict)
    tiles: Any = None
    section: NDArray[np.str_] | None = None
    depth: NDArray[np.float64] | None = None

    def __len__(self) -> int:
        """Count the spots."""
        return len(next(iter(self.blocks.values()))) if self.blocks else len(self.tiles)

    def rows(self, index: Any) -> "Inputs":
        """Return the same for some of the spots only; `index` is an index array or a mask."""
        return Inputs(
            {name: block[index] for name, block in self.blocks.items()},
            None if self.tiles is None else self.tiles[index],
            None if self.section is None else self.section[index],
            None if self.depth is None else self.depth[index],
        )


def as_inputs(X: Any) -> Inputs:
    """Take what a user of scikit-learn gives: `Inputs`, a mapping of blocks, a matrix (n, d) or tiles (n, h, w, 3)."""
    if isinstance(X, Inputs):
        return X
    if isinstance(X, Mapping):
        return Inputs({name: np.asarray(block, np.float32) for name, block in X.items()})
    array = np.asarray(X)
    return Inputs(tiles=array) if array.ndim == 4 else Inputs({"features": array.astype(np.float32)})


class Head(ABC):
    """Predicts targets of a spot from what it looks like; the same seed gives the same numbers on any threads."""

    name: ClassVar[str]
    takes: ClassVar[Literal["features", "tiles"]]

    @abstractmethod
    def fit(self, X: Any, Y: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Learn.

        Parameters
        ----------
        X
            What `as_inputs` takes, n rows.
        Y
            (n, t) targets, finite.
        groups
            (n,) what must not be split between inner folds: the patient or, within one patient, the section. None
            means that every spot may be split from every other.

        Raises
        ------
        InputError
            Rows that do not match, values that are not finite, or too few of them to learn from.
        """

    @abstractmethod
    def predict(self, X: Any) -> Matrix:
        """Predict, (n, t) float32; raises ConfigError where the head was not fitted or the blocks are others."""

    def remarks(self, X: Any) -> tuple[str, ...]:
        """Sentences for the user on how `X` is predicted; none where every section is predicted alike."""
        return ()

    @abstractmethod
    def params(self) -> dict[str, Any]:
        """Return the constructor arguments, fit for JSON."""

    @abstractmethod
    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted, as arrays by name."""

    @abstractmethod
    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy made from `params` and `state` alone."""
