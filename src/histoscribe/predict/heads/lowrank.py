"""Head "lowrank": a few directions in which genes vary together, each predicted from the views that explain it.

One gene is mostly the noise of counting; hundreds together show the few directions in which tissue varies. Each of
these principal directions of the training targets gets a ridge of its own strength from every view of a spot: all
blocks, linear and with a kernel, its own tiles, its neighbourhood, and each encoder alone. A view's predictions of
unseen rows decide its weight (non-negative least squares, Breiman 1996, "Stacked regressions"). A direction that no
view explains is therefore predicted by its mean, and a view without information gets weight 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from histoscribe.errors import ConfigError
from histoscribe.predict.context import appearance
from histoscribe.predict.head import Head, Inputs, Matrix, as_inputs, fitted
from histoscribe.predict.heads.front import Front, checked_targets
from histoscribe.predict.heads.kernel import Landmarks
from histoscribe.predict.heads.ridge import Moments, Spectrum, check_options, folds_of

Floats = NDArray[np.float64]
Index = NDArray[np.intp]

STRENGTHS = tuple(float(10.0 ** (power / 3)) for power in range(-6, 13))
_WHERE = "head lowrank"
_AROUND = "neighbours:"
# a block of two columns: where a spot lies in a frame that its section shares with those of the training
PLACE = "place"
_PLACE_BREADTH = 0.15
_LOOK_AND_PLACE = (2.0, 0.5)  # weight of place relative to appearance, and the breadth


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One set of features of a spot, and the ridge from it to the directions.

    Parameters
    ----------
    blocks
        Names of the blocks it uses.
    front
        Their main components; None where it uses the place alone.
    place
        Factor that brings millimetres to the scale of the components; 0 where the place is not used.
    landmarks
        Of the kernel; None for a linear view.
    weights
        (r, q) to the q directions, the share of the stack in them.
    """

    blocks: tuple[str, ...]
    front: Front | None
    place: float
    landmarks: Landmarks | None
    weights: Floats

    def columns(self, X: Inputs) -> Floats:
        """Components and place, before the kernel, (n, k)."""
        parts = []
        if self.front is not None:
            used = {name: X.blocks[name] for name in self.blocks if name in X.blocks}
            parts.append(self.front.transform(Inputs(used), where=_WHERE).astype(np.float64))
        if self.place:
            parts.append(_place_of(X) * self.place)
        return np.concatenate(parts, axis=1)

    def features(self, X: Inputs) -> Floats:
        """Make the inputs of the ridge, (n, r)."""
        Z = self.columns(X)
        return Z if self.landmarks is None else self.landmarks.transform(Z)

    def bent(self, X: Inputs, *, count: int, breadth: float = 1.0) -> "View":
        """Return the same with a kernel by landmarks among the rows of `X`."""
        return replace(self, landmarks=Landmarks.fit(self.columns(X), count=count, breadth=breadth))


class LowRankHead(Head):
    """Directions of the targets, predicted from stacked views.

    Parameters
    ----------
    rank
        Directions kept of the targets, at most.
    components
        Kept of the features of a view, at most.
    landmarks
        Landmarks of a view with a kernel.
    strengths
        Of the ridge, tried for every view and direction in the inner folds.
    seed
        Of the components and, where no groups are given, of the inner folds.

    Attributes
    ----------
    weight_
        (views, q) weight of each view in each direction.
    view_names_
        What the views are called, in that order.
    """

    name: ClassVar[str] = "lowrank"
    takes: ClassVar[Literal["features", "tiles"]] = "features"

    def __init__(
        self,
        rank: int = 60,
        components: int = 128,
        landmarks: int = 256,
        strengths: Sequence[float] = STRENGTHS,
        seed: int = 0,
    ) -> None:
        self.rank, self.components, self.landmarks = rank, components, landmarks
        self.strengths, self.seed = tuple(float(s) for s in strengths), seed
        check_options(min(rank, components, landmarks), self.strengths, where=_WHERE)
        self.views_: tuple[View, ...] = ()
        self.view_names_: tuple[str, ...] = ()
        self.weight_: Floats = np.empty((0, 0))
        self.mean_: Floats = np.empty(0)  # (t,) of the sections' means
        self.directions_: Floats = np.empty((0, 0))  # (q, t)
        self.intercept_: Floats = np.empty(0)  # (q,)

    def fit(self, X: Any, Y: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Learn; see `Head.fit`."""
        inputs = as_inputs(X)
        Y = checked_targets(inputs, Y, groups, where=_WHERE)
        with threadpool_limits(limits=1):  # sums over threads differ in the last digit
            weight = inputs.weights()
            centred, self.mean_ = _about_sections(Y, groups if inputs.section is None else inputs.section, weight)
            self.directions_ = _directions(centred * np.sqrt(weight)[:, None], self.rank, seed=self.seed)
            T = centred @ self.directions_.T  # (n, q)
            folds = folds_of(len(Y), groups, seed=self.seed)
            plain = dict(sorted(self._views(inputs).items()))  # in the order in which a state gives them back
            fitted = [_fit_view(view.features(inputs), T, weight, folds, self.strengths) for view in plain.values()]
            self.weight_ = _stack_weights([unseen for _, _, unseen in fitted], T, weight)
        self.view_names_ = tuple(plain)
        self.views_ = tuple(
            replace(view, weights=weights * share)
            for view, (weights, _, _), share in zip(plain.values(), fitted, self.weight_, strict=True)
        )
        self.intercept_ = sum(
            (intercept * share for (_, intercept, _), share in zip(fitted, self.weight_, strict=True)),
            start=np.zeros(T.shape[1]),
        )
        return self

    def _views(self, X: Inputs) -> dict[str, View]:
        """Fit what needs no targets, a view per name."""
        made: dict[str, View] = {}
        look = {name: block for name, block in appearance(X.blocks).items() if name != PLACE}
        for name, blocks in _families(look).items():
            seen = Inputs({block: X.blocks[block] for block in blocks})
            front = Front.fit(seen, components=self.components, seed=self.seed, where=_WHERE)
            view = View(blocks, front, 0.0, None, np.empty((0, 0)))
            if name == "all":
                made["all, linear"] = view
                made["all, near"] = view.bent(X, count=self.landmarks, breadth=0.5)
            made[name] = view.bent(X, count=self.landmarks)
        if PLACE in X.blocks:
            made |= self._placed_views(X, made["all, linear"])
        return made

    def _placed_views(self, X: Inputs, look: View) -> dict[str, View]:
        """Fit views of where a spot lies: alone, and together with its appearance, so that similar spots share both."""
        alone = replace(look, blocks=(), front=None, place=1.0)
        share, breadth = _LOOK_AND_PLACE
        spread = [float(np.sqrt(view.columns(X).var(axis=0).sum())) for view in (look, alone)]
        both = replace(look, place=share * spread[0] / max(spread[1], 1e-9))
        return {
            "place": alone.bent(X, count=self.landmarks, breadth=_PLACE_BREADTH),
            "look and place": both.bent(X, count=self.landmarks, breadth=breadth),
        }

    def predict(self, X: Any) -> Matrix:
        """Predict, (n, t); see `Head.predict`."""
        views, inputs = fitted(self.views_ or None, where=_WHERE), as_inputs(X)
        with threadpool_limits(limits=1):
            T = np.tile(self.intercept_, (len(inputs), 1))  # (n, q)
            for view in views:
                T += view.features(inputs) @ view.weights
            return (T @ self.directions_ + self.mean_).astype(np.float32)

    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {
            "rank": self.rank,
            "components": self.components,
            "landmarks": self.landmarks,
            "strengths": list(self.strengths),
            "seed": self.seed,
        }

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted."""
        views = fitted(self.views_ or None, where=_WHERE)
        arrays: dict[str, NDArray[Any]] = {
            "mean": self.mean_,
            "directions": self.directions_,
            "intercept": self.intercept_,
            "weight": self.weight_,
        }
        for name, view in zip(self.view_names_, views, strict=True):
            if view.front is not None:
                arrays |= {f"view/{name}/front/{key}": value for key, value in view.front.state().items()}
            arrays[f"view/{name}/weights"], arrays[f"view/{name}/place"] = view.weights, np.array([view.place])
            if view.landmarks is not None:
                arrays |= {f"view/{name}/landmarks/{key}": value for key, value in view.landmarks.state().items()}
        return arrays

    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""
        made = type(self)(**self.params())
        made.mean_, made.directions_, made.intercept_, made.weight_ = (
            np.asarray(state[key], np.float64) for key in ("mean", "directions", "intercept", "weight")
        )
        keys = [key for key in state if key.startswith("view/") and key.endswith("/weights")]
        names = sorted(key.removeprefix("view/").removesuffix("/weights") for key in keys)
        made.view_names_ = tuple(names)
        made.views_ = tuple(_view_from(_below(state, f"view/{name}/")) for name in names)
        return made


def _families(blocks: Mapping[str, Matrix]) -> dict[str, tuple[str, ...]]:
    """Which blocks each view uses: all, the spots' own, their neighbours', each encoder's; no set of blocks twice."""
    names = tuple(sorted(blocks))
    encoders = sorted({name.removeprefix(_AROUND).partition("@")[0] for name in names})
    wanted = {
        "all": names,
        "own": tuple(name for name in names if not name.startswith(_AROUND)),
        "around": tuple(name for name in names if name.startswith(_AROUND)),
    }
    for encoder in encoders:
        wanted[f"encoder {encoder}"] = tuple(
            name for name in names if name.removeprefix(_AROUND).partition("@")[0] == encoder
        )
    kept: dict[str, tuple[str, ...]] = {}
    for view, seen in wanted.items():
        if (seen or view == "all") and seen not in kept.values():
            kept[view] = seen
    return kept


def _about_sections(Y: Floats, labels: NDArray[Any] | None, weight: Floats) -> tuple[Floats, Floats]:
    """Targets about the mean of their section, (n, t), and the mean over sections, (t,).

    Two sections differ by batch, and blocks that were standardised within their section do not contain this difference.
    """
    if labels is None:
        mean = np.average(Y, axis=0, weights=weight)
        return Y - mean, mean
    kinds, code = np.unique(np.asarray(labels), return_inverse=True)
    code = code.ravel()
    rows = [code == k for k in range(len(kinds))]
    means = np.stack([np.average(Y[one], axis=0, weights=weight[one]) for one in rows])  # (sections, t)
    return Y - means[code], means.mean(axis=0)


def _directions(Y: Floats, rank: int, *, seed: int) -> Floats:
    """Principal directions of centred targets, (q, t)."""
    from sklearn.utils.extmath import randomized_svd

    q = max(1, min(rank, *Y.shape))
    ordered = Y[np.lexsort(Y.T[: min(4, Y.shape[1])])]  # so that rounding does not depend on the order of the rows
    return np.asarray(randomized_svd(ordered, n_components=q, n_iter=5, random_state=seed)[2], np.float64)


def _fit_view(
    Z: Floats, T: Floats, weight: Floats, folds: Sequence[tuple[Index, Index]], strengths: Sequence[float]
) -> tuple[Floats, Floats, Floats]:
    """Weights (r, q) and intercepts (q,) at the strengths of least error, and what is predicted of unseen rows."""
    total = Moments.of(Z, T, weight)
    unseen = np.zeros((len(strengths), *T.shape))
    for _, held in folds:
        fit = total.without(Moments.of(Z[held], T[held], weight[held]))
        spectrum = Spectrum.of(fit)
        turned = (Z[held] - fit.z / fit.n) @ spectrum.vectors
        for place, strength in enumerate(strengths):
            unseen[place, held] = turned @ spectrum.turned_weights(strength) + fit.y / fit.n
    error = np.einsum("i,siq->sq", weight, (unseen - T) ** 2)
    best = error.argmin(axis=0) if folds else np.full(T.shape[1], len(strengths) // 2)
    weights = Spectrum.of(total).weights(np.asarray(strengths)[best])
    intercept = (total.y - total.z @ weights) / total.n
    # nothing could be held out: fitted values are used in place of predictions
    chosen = unseen[best, :, np.arange(T.shape[1])].T if folds else Z @ weights + intercept
    return weights, intercept, chosen


def _stack_weights(unseen: Sequence[Floats], T: Floats, weight: Floats) -> Floats:
    """Weight of every view in every direction, (views, q), with the least error on unseen rows of such weights."""
    from scipy.optimize import nnls

    weights, root = np.zeros((len(unseen), T.shape[1])), np.sqrt(weight)
    for direction in range(T.shape[1]):
        seen = np.stack([P[:, direction] for P in unseen], axis=1) * root[:, None]
        weights[:, direction] = nnls(seen, T[:, direction] * root)[0]
    return weights


def _below(state: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}


def _view_from(state: Mapping[str, NDArray[Any]]) -> View:
    seen, bend = _below(state, "front/"), _below(state, "landmarks/")
    front = Front.from_state(seen) if seen else None
    landmarks = Landmarks.from_state(bend) if bend else None
    blocks = () if front is None else tuple(front.widths)
    return View(blocks, front, float(state["place"][0]), landmarks, np.asarray(state["weights"], np.float64))


def _place_of(X: Inputs) -> Floats:
    if PLACE not in X.blocks:
        raise ConfigError("the head was fitted with places in a common frame", where=_WHERE, expected=f"block {PLACE}")
    return np.asarray(X.blocks[PLACE], np.float64)
