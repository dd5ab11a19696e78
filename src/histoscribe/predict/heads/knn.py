"""Head "knn": the mean of the training spots that look most alike; how many is chosen by inner folds."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from threadpoolctl import threadpool_limits

from histoscribe.errors import ConfigError
from histoscribe.numerics.correlation import columnwise_pearson
from histoscribe.predict.head import Head, Matrix, as_inputs, fitted
from histoscribe.predict.heads.front import Front, checked_targets
from histoscribe.predict.heads.ridge import folds_of

Floats = NDArray[np.float64]

_WHERE = "head knn"
_ROWS_AT_ONCE = 512


class NeighboursHead(Head):
    """Mean of the k nearest training spots in the features' main components.

    Parameters
    ----------
    k
        Numbers of neighbours to choose from; where the training has fewer spots, all of them.
    components
        Kept of the features, at most; few, because in many dimensions all distances are similar.
    seed
        Of the components and, where no groups are given, of the inner folds.

    Attributes
    ----------
    k_
        The number chosen: the largest correlation on held-out groups, averaged over targets.
    """

    name: ClassVar[str] = "knn"
    takes: ClassVar[Literal["features", "tiles"]] = "features"

    def __init__(self, k: Sequence[int] = (10, 20, 40, 80), components: int = 64, seed: int = 0) -> None:
        self.k, self.components, self.seed = tuple(int(count) for count in k), components, seed
        if not self.k or min(self.k) < 1:
            raise ConfigError("at least one neighbour is needed", where=f"{_WHERE}, k", found=list(k))
        self.front_: Front | None = None
        self.k_ = 0
        self.Z_: Matrix = np.empty((0, 0), np.float32)  # (n, k)
        self.Y_: Matrix = np.empty((0, 0), np.float32)  # (n, t)

    def fit(self, X: Any, Y: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Keep the training spots and choose k; see `Head.fit`."""
        inputs = as_inputs(X)
        Y = checked_targets(inputs, Y, groups, where=_WHERE)
        with threadpool_limits(limits=1):
            self.front_ = Front.fit(inputs, components=self.components, seed=self.seed, where=_WHERE)
            self.Z_, self.Y_ = self.front_.transform(inputs, where=_WHERE), Y.astype(np.float32)
            folds = folds_of(len(Y), groups, seed=self.seed)
            scores = np.zeros(len(self.k))
            for fit, held in folds:
                for place, mean in enumerate(_means(self.Z_[fit], self.Y_[fit], self.Z_[held], self.k)):
                    scores[place] += columnwise_pearson(Y[held], mean).mean()
        self.k_ = self.k[int(scores.argmax()) if folds else len(self.k) // 2]
        return self

    def predict(self, X: Any) -> Matrix:
        """Predict, (n, t); see `Head.predict`."""
        with threadpool_limits(limits=1):
            Z = fitted(self.front_, where=_WHERE).transform(as_inputs(X), where=_WHERE)
            return _means(self.Z_, self.Y_, Z, (self.k_,))[0]

    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"k": list(self.k), "components": self.components, "seed": self.seed}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted: the training spots themselves."""
        front = fitted(self.front_, where=_WHERE).state()
        own: dict[str, NDArray[Any]] = {"Z": self.Z_, "Y": self.Y_, "k": np.array([self.k_])}
        return own | {f"front/{key}": value for key, value in front.items()}

    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""
        made = type(self)(**self.params())
        front = {key.removeprefix("front/"): value for key, value in state.items() if key.startswith("front/")}
        made.front_ = Front.from_state(front)
        made.Z_, made.Y_ = (np.asarray(state[key], np.float32) for key in ("Z", "Y"))
        made.k_ = int(state["k"][0])
        return made


def _means(Z: Matrix, Y: Matrix, asked: Matrix, ks: Sequence[int]) -> list[Matrix]:
    """Means of the targets (n, t) of the nearest of `Z` (n, k) to each row of `asked` (m, k), one (m, t) per k."""
    most = min(max(ks), len(Z))
    means = [np.empty((len(asked), Y.shape[1]), np.float32) for _ in ks]
    tree = cKDTree(Z)
    for start in range(0, len(asked), _ROWS_AT_ONCE):
        rows = slice(start, start + _ROWS_AT_ONCE)
        found = tree.query(asked[rows], k=np.arange(1, most + 1))[1]  # (b, most), the nearest first
        for mean, count in zip(means, ks, strict=True):
            total = np.zeros((len(found), Y.shape[1]), np.float64)
            for column in found[:, : min(count, most)].T:
                total += Y[column]
            mean[rows] = total / min(count, most)
    return means
