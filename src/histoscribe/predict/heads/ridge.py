"""Head "ridge": main components of the features and a ridge to all targets at once, its strength by inner folds.

Only the second moments of the rows are used, Z'Z and Z'Y of every inner fold. A fold's training moments are the total
without its own, and the correlation of its held-out targets follows from its moments. Trying a strength therefore needs
no further pass over the rows: 20,000 spots and 5,000 targets cost one product of matrices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from histoscribe.errors import ConfigError
from histoscribe.predict.head import Head, Matrix, as_inputs, fitted
from histoscribe.predict.heads.front import Front, checked_targets
from histoscribe.predict.splits import inner_folds

Floats = NDArray[np.float64]
Index = NDArray[np.intp]

# of the mean squared component: from hardly any shrinkage to nearly the mean
STRENGTHS = tuple(float(10.0 ** (power / 2)) for power in range(-7, 6))


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Sums over some rows, each by its weight.

    Parameters
    ----------
    n
        Of the weights.
    z, y
        (k,), (t,) sums.
    zz, zy
        (k, k), (k, t) sums of products.
    yy
        (t,) sums of squares.
    """

    n: float
    z: Floats
    y: Floats
    zz: Floats
    zy: Floats
    yy: Floats

    @classmethod
    def of(cls, Z: Floats, Y: Floats, weight: Floats) -> Self:
        """Sum over the rows of components (n, k) and targets (n, t) by their weights (n,)."""
        weighed = Z * weight[:, None]
        squares = np.einsum("i,ij,ij->j", weight, Y, Y)
        return cls(float(weight.sum()), weighed.sum(axis=0), weight @ Y, weighed.T @ Z, weighed.T @ Y, squares)

    def without(self, part: "Moments") -> "Moments":
        """Return the sums over the other rows."""
        return Moments(
            self.n - part.n,
            self.z - part.z,
            self.y - part.y,
            self.zz - part.zz,
            self.zy - part.zy,
            self.yy - part.yy,
        )

    def centred(self) -> tuple[Floats, Floats, Floats]:
        """Take the means out of the sums of products: Z'Z (k, k), Z'Y (k, t) and squares of Y (t,)."""
        zz = self.zz - np.outer(self.z, self.z) / self.n
        zy = self.zy - np.outer(self.z, self.y) / self.n
        return zz, zy, np.maximum(self.yy - self.y**2 / self.n, 0.0)


@dataclass(frozen=True, slots=True, eq=False)
class Spectrum:
    """A ridge of all strengths at once: Z'Z = Q diag(w) Q', weights Q (w + s)^-1 Q'Z'Y (Hoerl and Kennard 1970).

    Parameters
    ----------
    values
        (k,) w.
    vectors
        (k, k) Q.
    turned
        (k, t) Q'Z'Y.
    unit
        What a strength of 1 adds to each value: the mean of them, so that strengths mean the same for any number of
        rows and components.
    """

    values: Floats
    vectors: Floats
    turned: Floats
    unit: float

    @classmethod
    def of(cls, moments: Moments) -> Self:
        """Decompose the moments of the rows to fit."""
        zz, zy, _ = moments.centred()
        values, vectors = np.linalg.eigh(zz)
        values = np.maximum(values, 0.0)
        return cls(values, vectors, vectors.T @ zy, max(float(values.sum() / len(values)), 1e-12))

    def turned_weights(self, strength: Floats | float) -> Floats:
        """Weights in the turned components, (k, t), of one strength or of one per target."""
        return np.asarray(self.turned / (self.values[:, None] + np.asarray(strength) * self.unit))

    def weights(self, strength: Floats | float) -> Floats:
        """Weights, (k, t)."""
        return np.asarray(self.vectors @ self.turned_weights(strength))


def folds_of(n: int, groups: NDArray[Any] | None, *, seed: int = 0) -> list[tuple[Index, Index]]:
    """Inner folds by group; by row where there are no groups, and none where nothing can be held out."""
    if groups is None:
        groups = np.random.default_rng(seed).permutation(n) % min(5, n)
    return inner_folds(np.asarray(groups)) if len(np.unique(np.asarray(groups))) > 1 else []


def held_out_correlation(spectrum: Spectrum, held: Moments, weights: Floats) -> Floats:
    """Pearson correlation of each target on held-out rows, (t,), from their moments; 0 where either is constant.

    `weights` (k, t) are those of the turned components.
    """
    zz, zy, yy = held.centred()
    along = spectrum.vectors.T @ zz @ spectrum.vectors  # (k, k)
    product = np.einsum("kt,kt->t", weights, spectrum.vectors.T @ zy)
    spread = np.einsum("kt,kt->t", weights, along @ weights)
    size = np.sqrt(np.maximum(spread, 0.0) * yy)
    known = size > 1e-9 * max(float(size.max(initial=0)), 1e-9)
    r: Floats = np.divide(product, size, out=np.zeros(len(size)), where=known)
    return r


def held_out_by_strength(parts: Sequence[Moments], total: Moments, strengths: Sequence[float]) -> Floats:
    """Correlation on held-out rows, averaged over inner folds, (number of strengths, t)."""
    scores = np.zeros((len(strengths), len(total.y)))
    for held in parts:
        spectrum = Spectrum.of(total.without(held))
        for place, strength in enumerate(strengths):
            weights = spectrum.turned_weights(strength)
            scores[place] += held_out_correlation(spectrum, held, weights) / len(parts)
    return scores


class RidgeHead(Head):
    """Ridge from main components of the joined blocks to all targets.

    Parameters
    ----------
    components
        Kept of the features, at most.
    strengths
        Tried in the inner folds, in units of the components' mean variance.
    per_target
        Choose a strength for every target separately, instead of one for all by the mean correlation.
    seed
        Of the components and, where no groups are given, of the inner folds.

    Attributes
    ----------
    strength_
        (t,) strength of every target.
    """

    name: ClassVar[str] = "ridge"
    takes: ClassVar[Literal["features", "tiles"]] = "features"

    def __init__(
        self,
        components: int = 256,
        strengths: Sequence[float] = STRENGTHS,
        per_target: bool = False,
        seed: int = 0,
    ) -> None:
        self.components, self.strengths = components, tuple(float(s) for s in strengths)
        self.per_target, self.seed = per_target, seed
        check_options(components, self.strengths, where=f"head {self.name}")
        self.front_: Front | None = None
        self.weights_: Floats = np.empty((0, 0))  # (k, t)
        self.intercept_: Floats = np.empty(0)  # (t,)
        self.strength_: Floats = np.empty(0)  # (t,)

    def fit(self, X: Any, Y: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Learn; see `Head.fit`."""
        inputs, where = as_inputs(X), f"head {self.name}"
        Y = checked_targets(inputs, Y, groups, where=where)
        with threadpool_limits(limits=1):  # sums over threads differ in the last digit
            self.front_ = Front.fit(inputs, components=self.components, seed=self.seed, where=where)
            Z = self.front_.transform(inputs, where=where).astype(np.float64)
            folds, weight = folds_of(len(Y), groups, seed=self.seed), inputs.weights()
            parts = [Moments.of(Z[held], Y[held], weight[held]) for _, held in folds]
            total = Moments.of(Z, Y, weight)
            self.weights_ = self._solved(parts, total)
        self.intercept_ = (total.y - total.z @ self.weights_) / total.n
        return self

    def _solved(self, parts: Sequence[Moments], total: Moments) -> Floats:
        """Weights of the chosen strength, (k, t)."""
        middle = len(self.strengths) // 2
        chosen = np.full(len(total.y), middle)
        if parts:
            scores = held_out_by_strength(parts, total, self.strengths)  # (s, t)
            chosen = scores.argmax(axis=0) if self.per_target else np.full(len(total.y), scores.mean(axis=1).argmax())
        self.strength_ = np.asarray(self.strengths)[chosen]
        return Spectrum.of(total).weights(self.strength_)

    def predict(self, X: Any) -> Matrix:
        """Predict, (n, t); see `Head.predict`."""
        where = f"head {self.name}"
        Z = fitted(self.front_, where=where).transform(as_inputs(X), where=where).astype(np.float64)
        with threadpool_limits(limits=1):
            return (Z @ self.weights_ + self.intercept_).astype(np.float32)

    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            "components": self.components,
            "strengths": list(self.strengths),
            "per_target": self.per_target,
            "seed": self.seed,
        }

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted."""
        front = fitted(self.front_, where=f"head {self.name}").state()
        own = {"weights": self.weights_, "intercept": self.intercept_, "strength": self.strength_}
        return own | {f"front/{key}": value for key, value in front.items()}

    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""
        made = type(self)(**self.params())
        front = {key.removeprefix("front/"): value for key, value in state.items() if key.startswith("front/")}
        made.front_ = Front.from_state(front)
        made.weights_, made.intercept_, made.strength_ = (
            np.asarray(state[key], np.float64) for key in ("weights", "intercept", "strength")
        )
        return made


def check_options(components: int, strengths: Sequence[float], *, where: str) -> None:
    """Refuse impossible options; raises ConfigError."""
    if components < 1:
        raise ConfigError("at least one component is needed", where=f"{where}, components", found=components)
    if not strengths or not all(np.isfinite(s) and s > 0 for s in strengths):
        raise ConfigError("strengths must be positive", where=f"{where}, strengths", found=list(strengths))
