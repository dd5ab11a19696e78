"""Head "depth": predicts only how many molecules a spot has, from its appearance.

Dense tissue gives more molecules than sparse tissue, and every gene follows. The score of this head is what a
prediction gets for distinguishing dense from sparse tissue. A method that does not beat it has learnt nothing about
genes.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError
from histoscribe.predict.head import Head, Matrix, as_inputs, fitted
from histoscribe.predict.heads.front import Front, checked_targets
from histoscribe.predict.splits import inner_folds

_STRENGTHS = tuple(float(10.0**power) for power in range(-4, 3))
_WHERE = "head depth"


class DepthHead(Head):
    """Ridge from the picture to ln(1 + molecules), and a line from there to every target.

    Parameters
    ----------
    components
        Of the features, at most.
    seed
        Of the components.
    """

    name: ClassVar[str] = "depth"
    takes: ClassVar[Literal["features", "tiles"]] = "features"

    def __init__(self, components: int = 64, seed: int = 0) -> None:
        self.components, self.seed = components, seed
        self.front_: Front | None = None
        self.weights_: NDArray[np.float64] = np.empty(0)  # (k + 1,), the intercept last
        self.lines_: NDArray[np.float64] = np.empty((2, 0))  # (2, t), slope and intercept
        self.strength_ = 0.0

    def fit(self, X: Any, Y: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Learn; see `Head.fit`. Raises InputError where the depths are not known."""
        inputs = as_inputs(X)
        Y = checked_targets(inputs, Y, groups, where=_WHERE)
        if inputs.depth is None:
            raise InputError(
                "the molecules of the spots are not known",
                where=_WHERE,
                expected="Inputs(depth=ln(1 + molecules counted))",
                fix="leave this baseline out where nothing was counted",
            )
        depth = np.asarray(inputs.depth, np.float64)
        self.front_ = Front.fit(inputs, components=self.components, seed=self.seed, where=_WHERE)
        Z = self.front_.transform(inputs, where=_WHERE).astype(np.float64)
        self.strength_ = _chosen_strength(Z, depth, groups)
        self.weights_ = _ridge(Z, depth, self.strength_)
        centred = depth - depth.mean()
        size = float(centred @ centred)
        slope = centred @ (Y - Y.mean(axis=0)) / size if size > 1e-12 else np.zeros(Y.shape[1])
        self.lines_ = np.stack([slope, Y.mean(axis=0) - slope * depth.mean()])
        return self

    def predict(self, X: Any) -> Matrix:
        """Predict, (n, t); see `Head.predict`."""
        Z = fitted(self.front_, where=_WHERE).transform(as_inputs(X), where=_WHERE).astype(np.float64)
        depth = Z @ self.weights_[:-1] + self.weights_[-1]
        return np.asarray(np.outer(depth, self.lines_[0]) + self.lines_[1], np.float32)

    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"components": self.components, "seed": self.seed}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted."""
        front = fitted(self.front_, where=_WHERE).state()
        own = {"weights": self.weights_, "lines": self.lines_, "strength": np.array([self.strength_])}
        return own | {f"front/{key}": value for key, value in front.items()}

    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""
        made = type(self)(**self.params())
        front = {key.removeprefix("front/"): value for key, value in state.items() if key.startswith("front/")}
        made.front_ = Front.from_state(front)
        made.weights_, made.lines_ = (np.asarray(state[key], np.float64) for key in ("weights", "lines"))
        made.strength_ = float(state["strength"][0])
        return made


def _ridge(Z: NDArray[np.float64], y: NDArray[np.float64], strength: float) -> NDArray[np.float64]:
    """Weights and intercept, (k + 1,), of a ridge; its strength is per row."""
    from sklearn.linear_model import Ridge

    found = Ridge(strength * len(Z), solver="cholesky").fit(Z, y)
    return np.append(found.coef_, found.intercept_)


def _chosen_strength(Z: NDArray[np.float64], y: NDArray[np.float64], groups: NDArray[Any] | None) -> float:
    """Return the strength with the least squared error over inner folds; a middle one where there is one group only."""
    groups = np.arange(len(Z)) if groups is None else groups
    if len(np.unique(groups)) < 2:
        return _STRENGTHS[len(_STRENGTHS) // 2]
    errors = np.zeros(len(_STRENGTHS))
    for fit, held in inner_folds(groups):
        for k, strength in enumerate(_STRENGTHS):
            weights = _ridge(Z[fit], y[fit], strength)
            errors[k] += float(((Z[held] @ weights[:-1] + weights[-1] - y[held]) ** 2).sum())
    return _STRENGTHS[int(errors.argmin())]
