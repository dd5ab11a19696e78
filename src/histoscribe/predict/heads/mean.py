"""Head "mean": the mean of the training spots, whatever a spot looks like; the floor of every evaluation."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError
from histoscribe.predict.head import Head, Matrix, as_inputs, fitted


class MeanHead(Head):
    """Predicts the training mean of every target; it uses no feature, so any are accepted."""

    name: ClassVar[str] = "mean"
    takes: ClassVar[Literal["features", "tiles"]] = "features"

    def __init__(self) -> None:
        self.mean_: NDArray[np.float64] | None = None

    def fit(self, X: Any, Y: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Take the mean; see `Head.fit`."""
        Y = np.asarray(Y, np.float64)
        if Y.ndim != 2 or len(Y) != len(as_inputs(X)) or len(Y) == 0:
            raise InputError(
                "spots and targets do not match",
                where="head mean",
                expected=f"({len(as_inputs(X)):,}, t)",
                found=Y.shape,
            )
        if not np.isfinite(Y).all():
            raise InputError("targets must be finite", where="head mean")
        self.mean_ = Y.mean(axis=0)
        return self

    def predict(self, X: Any) -> Matrix:
        """Repeat the mean for every spot, (n, t); see `Head.predict`."""
        return np.tile(fitted(self.mean_, where="head mean").astype(np.float32), (len(as_inputs(X)), 1))

    def params(self) -> dict[str, Any]:
        """Return no arguments: there are none."""
        return {}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the mean."""
        return {"mean": fitted(self.mean_, where="head mean")}

    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""
        made = type(self)()
        made.mean_ = np.asarray(state["mean"], np.float64)
        return made
