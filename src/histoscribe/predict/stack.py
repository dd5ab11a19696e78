"""Learnt combinations of heads, made from out-of-fold predictions and always compared with the heads' plain mean.

Each row is a prediction by a head that had not seen the spot's patient, section or block. A stack is judged on inner
folds of which neither it nor the heads behind its own rows have seen anything, and is worth it only if it beats the
plain mean there.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from histoscribe.errors import ConfigError, InputError, nearest
from histoscribe.predict.head import Matrix, fitted
from histoscribe.predict.heads.scale import TargetScale
from histoscribe.predict.heads.trained import TrainedNetwork
from histoscribe.predict.splits import Index
from histoscribe.predict.train import Course, load_weights, predict, train

STACKS = ("ridge", "mlp")
_WHERE = "stack"


class Stack(ABC):
    """Combines members' predictions (m, n, t) into one (n, t)."""

    name: ClassVar[str]

    @abstractmethod
    def fit(self, members: NDArray[Any], Y: NDArray[Any], groups: NDArray[Any]) -> Self:
        """Learn from out-of-fold predictions (m, n, t), targets (n, t) and groups (n,); raises InputError."""

    @abstractmethod
    def predict(self, members: NDArray[Any]) -> Matrix:
        """Combine (m, n, t) to (n, t) float32; raises ConfigError where it was not fitted."""

    @abstractmethod
    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""

    @abstractmethod
    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted, as arrays by name."""

    @abstractmethod
    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""


def make_stack(kind: str, *, seed: int) -> Stack:
    """Make the unfitted stack of this kind, one of `STACKS`; raises ConfigError where there is none such."""
    if kind == "ridge":
        return RidgeStack()
    if kind == "mlp":
        return MLPStack(seed=seed)
    raise ConfigError(f"there is no stack {kind!r}", where="stacks", fix=nearest(kind, STACKS))


class RidgeStack(Stack):
    """The plain mean plus, target by target, a ridge on each member's deviation from it; there is no intercept.

    Parameters
    ----------
    strength
        Of the penalty, as a share of the deviations' mean square; the larger, the nearer to the plain mean.
    """

    name: ClassVar[str] = "stack_ridge"

    def __init__(self, strength: float = 0.3) -> None:
        if not strength > 0:
            raise ConfigError("the strength must be positive", where=_WHERE, found=strength)
        self.strength = strength
        self.weights_: NDArray[np.float64] | None = None  # (m, t)

    def fit(self, members: NDArray[Any], Y: NDArray[Any], groups: NDArray[Any]) -> Self:
        """Learn; see `Stack.fit`."""
        members, Y = checked_members(members, Y, groups)
        mean = members.mean(axis=0)
        D = members - mean  # (m, n, t)
        with threadpool_limits(limits=1):
            A = np.einsum("ant,bnt->tab", D, D)  # (t, m, m)
            b = np.einsum("ant,nt->ta", D, Y - mean)  # (t, m)
            penalty = self.strength * np.trace(A, axis1=1, axis2=2) / len(D) + 1e-12
            solved = np.linalg.solve(A + penalty[:, None, None] * np.eye(len(D)), b[..., None])
        self.weights_ = solved[..., 0].T
        return self

    def predict(self, members: NDArray[Any]) -> Matrix:
        """Combine; see `Stack.predict`."""
        members = np.asarray(members, np.float64)
        mean = members.mean(axis=0)
        return np.asarray(mean + ((members - mean) * self._fitted()[:, None, :]).sum(axis=0), np.float32)

    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"strength": self.strength}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return the weights, (m, t)."""
        return {"weights": self._fitted()}

    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""
        made = type(self)(**self.params())
        made.weights_ = np.asarray(state["weights"], np.float64)
        return made

    def _fitted(self) -> NDArray[np.float64]:
        return fitted(self.weights_, where=_WHERE)


class MLPStack(TrainedNetwork, Stack):
    """Two hidden layers over all members' predictions of all targets, stopped on an inner fold of whole groups.

    HEVisum and the 35-cell-type predictor combine their heads in this way.

    Parameters
    ----------
    hidden
        Units of the first layer; the second has half as many.
    epochs
        At most.
    seed
        Of weights and batches.
    """

    name: ClassVar[str] = "stack_mlp"

    def __init__(self, hidden: int = 512, epochs: int = 60, seed: int = 0) -> None:
        if min(hidden // 2, epochs) < 1:
            raise ConfigError("hidden must be at least 2 and epochs at least 1", where="stack mlp")
        super().__init__()
        self.hidden, self.epochs, self.seed = hidden, epochs, seed

    def fit(self, members: NDArray[Any], Y: NDArray[Any], groups: NDArray[Any]) -> Self:
        """Learn; see `Stack.fit`."""
        members, Y = checked_members(members, Y, groups)
        self.scale_ = TargetScale.fit(Y)
        course = Course(self.epochs, 1e-3, batch=64, seed=self.seed)
        Z = self._inputs(members)
        made = train(lambda: self._network(Z.shape[1]), _sampler(Z), self.scale_.apply(Y), course=course, groups=groups)
        self.weights_ = made.weights
        return self

    def predict(self, members: NDArray[Any]) -> Matrix:
        """Combine; see `Stack.predict`."""
        scale, Z = self._fitted(), self._inputs(np.asarray(members, np.float64))
        network = load_weights(lambda: self._network(Z.shape[1]), self.weights_)
        return scale.invert(predict(network, _sampler(Z), len(Z)))

    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {"hidden": self.hidden, "epochs": self.epochs, "seed": self.seed}

    def _inputs(self, members: NDArray[np.float64]) -> Matrix:
        """All members' predictions on the scale of the targets, (n, m t)."""
        scale = self._fitted()
        return np.concatenate([scale.apply(P) for P in members], axis=1)

    def _network(self, inputs: int) -> Any:
        from torch import nn

        layers: list[Any] = []
        for before, after in ((inputs, self.hidden), (self.hidden, self.hidden // 2)):
            layers += [nn.Linear(before, after), nn.LeakyReLU(0.01), nn.BatchNorm1d(after), nn.Dropout(0.2)]
        return nn.Sequential(*layers, nn.Linear(self.hidden // 2, self._fitted().values.shape[1]))


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """A stack compared with the plain mean, on groups that it had not seen.

    Parameters
    ----------
    P
        (n, t) its predictions, every row by a stack that had not seen the row's fold.
    errors, plain_errors
        Group to mean squared error in units of each target's variance.
    """

    P: Matrix
    errors: dict[str, float]
    plain_errors: dict[str, float]

    @property
    def worth_it(self) -> bool:
        """Whether the error is lower on average and in more than half of the groups."""
        won = sum(self.errors[name] < self.plain_errors[name] for name in self.errors)
        average = float(np.mean(list(self.errors.values())))
        return average < float(np.mean(list(self.plain_errors.values()))) and 2 * won > len(self.errors)

    def record(self) -> dict[str, Any]:
        """Return the comparison as JSON values."""
        note = "worth it" if self.worth_it else "not worth it"
        return {"note": note, "errors": self.errors, "plain_mean_errors": self.plain_errors}


def judge_stack(
    stack: Stack,
    members: Sequence[NDArray[Any]],
    Y: NDArray[Any],
    *,
    folds: Sequence[tuple[Index, Index]],
    groups: NDArray[Any],
) -> Judged:
    """Fit a stack without each inner fold in turn and compare it there with the plain mean.

    Parameters
    ----------
    stack
        An unfitted one; only its parameters are used.
    members
        Of each member, (k, n, t): its predictions for every fold, as `twice_unseen` makes them. Predictions that are
        the same for every fold have seen the fold on which the stack is scored, unless nothing was fitted.
    Y, groups
        (n, t) targets and (n,) groups.
    folds
        k pairs of rows to fit and rows to score.

    Raises
    ------
    InputError
        Fewer than two members or groups, or shapes that do not fit.
    """
    targets = np.asarray(Y, np.float64)
    P, mean = np.empty(targets.shape, np.float32), np.empty(targets.shape)
    for k, (fit, held) in enumerate(folds):
        here, _ = checked_members(np.stack([one[k] for one in members]), targets, groups)  # (m, n, t)
        fresh = type(stack)(**stack.params())
        P[held] = fresh.fit(here[:, fit], targets[fit], groups[fit]).predict(here[:, held])
        mean[held] = here[:, held].mean(axis=0)
    spread = targets.var(axis=0)
    unit = np.where(spread > 1e-12, spread, 1.0)
    names = np.unique(groups)
    errors, plain = (
        {str(name): float(e[groups == name].mean()) for name in names}
        for e in (((Q - targets) ** 2 / unit).mean(axis=1) for Q in (P, mean))
    )
    return Judged(P, errors, plain)


def checked_members(members: NDArray[Any], Y: NDArray[Any], groups: Sequence[Any] | NDArray[Any]) -> tuple[Any, Any]:
    """Return members (m, n, t) and targets (n, t) as float64; raises InputError where they cannot be used."""
    members, Y = np.asarray(members, np.float64), np.asarray(Y, np.float64)
    if members.ndim != 3 or len(members) < 2 or members.shape[1:] != Y.shape or len(groups) != len(Y):
        raise InputError(
            "members, targets and groups do not match",
            where=_WHERE,
            expected="at least two members (m, n, t), targets (n, t), groups (n,)",
            found=f"{members.shape}, {Y.shape}, {len(groups)}",
        )
    if not (np.isfinite(members).all() and np.isfinite(Y).all()):
        raise InputError("predictions and targets must be finite", where=_WHERE)
    return members, Y


def _sampler(Z: Matrix) -> Any:
    import torch

    return lambda rows: {"input": torch.from_numpy(Z[rows])}
