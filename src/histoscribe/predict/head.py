"""The protocol of prediction heads: scikit-learn's `fit` and `predict` on named feature blocks or on tiles.

A head gets no section, but one row per spot, in blocks joined by name, and states by `takes` whether it learns from
vectors or from pixels. Its constructor arguments are plain values and are kept under the same names. Fitted
attributes carry a trailing underscore and can be exported as plain arrays, so that a model is a safetensors file beside
a JSON file.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError

Matrix = NDArray[np.float32]
T = TypeVar("T")


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """The inputs of a head, one row per spot.

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
    weight
        (n,) above 0: how much each spot counts, by `expression.precision`; for fitting only, None where all count the
        same.
    """

    blocks: Mapping[str, Matrix] = field(default_factory=dict)
    tiles: Any = None
    section: NDArray[np.str_] | None = None
    depth: NDArray[np.float64] | None = None
    weight: NDArray[np.float64] | None = None

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
            None if self.weight is None else self.weight[index],
        )

    def weights(self) -> NDArray[np.float64]:
        """Return how much each spot counts, (n,); 1 where nothing is said."""
        return np.ones(len(self)) if self.weight is None else np.asarray(self.weight, np.float64)


def as_inputs(X: Any) -> Inputs:
    """Accept what a user of scikit-learn gives: `Inputs`, blocks by name, a matrix (n, d) or tiles (n, h, w, 3)."""
    if isinstance(X, Inputs):
        return X
    if isinstance(X, Mapping):
        return Inputs({name: np.asarray(block, np.float32) for name, block in X.items()})
    array = np.asarray(X)
    return Inputs(tiles=array) if array.ndim == 4 else Inputs({"features": array.astype(np.float32)})


def fitted(part: T | None, *, where: str) -> T:
    """Return what `fit` learnt; raises ConfigError where that is None, because `fit` was not called."""
    if part is None:
        raise ConfigError("it was not fitted", where=where, fix="call fit first")
    return part


class Predictor(ABC):
    """What a model predicts with: fitted, and nothing but its arguments and arrays."""

    name: ClassVar[str]
    takes: ClassVar[Literal["features", "tiles"]]

    @property
    def needs_tiles(self) -> bool:
        """Whether it must be given tiles, beside features or alone."""
        return self.takes == "tiles"

    def check_ready(self) -> None:
        """Refuse what `fit` and `predict` would refuse whatever they are given, such as a device that is not there.

        It is called before anything is embedded, which may take hours.

        Raises
        ------
        ConfigError
            Arguments that cannot be.
        WeightsError
            Weights to start from that are not there or do not fit.
        """
        return

    @abstractmethod
    def predict(self, X: Any) -> Matrix:
        """Predict, (n, t) float32; raises ConfigError where the head was not fitted or was fitted on other blocks."""

    def remarks(self, X: Any) -> tuple[str, ...]:
        """Sentences for the user on how `X` is predicted; none where every section is predicted alike."""
        return ()

    def record(self) -> dict[str, str]:
        """Say what the last `fit` used that its arguments do not tell, such as the device; for record and page."""
        return {}

    @abstractmethod
    def params(self) -> dict[str, Any]:
        """Return the constructor arguments, fit for JSON."""

    @abstractmethod
    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted, as arrays by name."""

    @abstractmethod
    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy made from `params` and `state` alone."""


class Head(Predictor):
    """Predicts targets of a spot from its appearance; the same seed gives the same numbers on any number of threads.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.predict import HEADS
    >>> rng = np.random.default_rng(0)
    >>> X = {"image@112": rng.normal(size=(90, 8))}
    >>> Y = X["image@112"][:, :3] + rng.normal(0, 0.5, (90, 3))
    >>> patients = np.repeat(["P1", "P2", "P3"], 30)
    >>> head = HEADS.get("ridge")().fit(X, Y, patients)
    >>> head.predict({"image@112": rng.normal(size=(5, 8))}).shape
    (5, 3)

    A fitted head is its arguments and arrays, and nothing else:

    >>> again = HEADS.get("ridge")(**head.params()).with_state(head.state())
    >>> bool((again.predict(X) == head.predict(X)).all())
    True
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}  # options by the name of a preset

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
