"""Head "stack": several heads, weighted by their predictions of training groups that they had not seen."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError
from histoscribe.predict.fitting import make_head
from histoscribe.predict.head import Head, Inputs, Matrix, as_inputs, fitted
from histoscribe.predict.heads.front import checked_targets
from histoscribe.predict.nested import twice_unseen
from histoscribe.predict.splits import Index, inner_folds
from histoscribe.predict.stack import Stack, judge_stack, make_stack

_WHERE = "head stack"
_LEARNT = "learnt"  # no head has this name


class StackHead(Head):
    """A stack of heads where it beats their plain mean on unseen groups of the training, else that mean.

    Parameters
    ----------
    heads
        At least two heads; those that learn from pixels are given the tiles, the others the features.
    options
        Head to its options.
    stack
        "ridge", or "mlp": a network over all predictions of all heads.
    seed
        Of the heads.
    """

    name: ClassVar[str] = "stack"
    takes: ClassVar[Literal["features", "tiles"]] = "features"

    def __init__(
        self,
        heads: Sequence[str] = ("ridge", "lowrank", "multiscale"),
        options: Mapping[str, Mapping[str, Any]] | None = None,
        stack: str = "ridge",
        seed: int = 0,
    ) -> None:
        if self.name in heads or len(set(heads)) < max(2, len(heads)):
            raise ConfigError(
                "these heads cannot be stacked",
                where=_WHERE,
                expected="two or more, none twice, and no stack among them",
                found=", ".join(heads),
            )
        strangers = sorted(set(options or {}) - set(heads))
        if strangers:
            raise ConfigError("options of heads that are not stacked", where=_WHERE, found=", ".join(strangers))
        make_stack(stack, seed=seed)
        self.heads, self.options, self.stack, self.seed = tuple(heads), dict(options or {}), stack, seed
        self.members_: tuple[Head, ...] = ()
        self.stack_: Stack | None = None
        self._made = tuple(self._fresh(name) for name in self.heads)

    @property
    def needs_tiles(self) -> bool:
        """Whether any of the heads learns from pixels."""
        return any(head.needs_tiles for head in self._made)

    def check_ready(self) -> None:
        """Refuse what any of the heads refuses."""
        for head in self.members_ or self._made:
            head.check_ready()

    def fit(self, X: Any, Y: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Learn; with fewer than three groups nothing can be held out twice: then the plain mean. See `Head.fit`."""
        inputs = as_inputs(X)
        Y = checked_targets(inputs, Y, groups, where=_WHERE)
        labels = np.arange(len(Y)) if groups is None else np.asarray(groups)
        self.stack_ = self._learnt(inputs, Y, labels) if len(np.unique(labels)) > 2 else None
        self.members_ = tuple(self._fresh(name).fit(inputs, Y, groups) for name in self.heads)
        return self

    def predict(self, X: Any) -> Matrix:
        """Predict, (n, t); see `Head.predict`."""
        inputs = as_inputs(X)
        P = np.stack([member.predict(inputs) for member in self._fitted()])
        return np.asarray(P.mean(axis=0), np.float32) if self.stack_ is None else self.stack_.predict(P)

    def record(self) -> dict[str, str]:
        """Return what each member says of its last fit; see `Head.record`."""
        return {f"{key} of {one.name}": value for one in self.members_ for key, value in one.record().items()}

    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        options = {name: dict(given) for name, given in self.options.items()}
        return {"heads": list(self.heads), "options": options, "stack": self.stack, "seed": self.seed}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what every member fitted, under its name, and what the stack fitted, if it was worth it."""
        parts: list[tuple[str, Any]] = list(zip(self.heads, self._fitted(), strict=True))
        parts += [(_LEARNT, self.stack_)] if self.stack_ is not None else []
        return {f"{name}/{key}": value for name, part in parts for key, value in part.state().items()}

    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""
        made = type(self)(**self.params())

        def part(name: str) -> dict[str, NDArray[Any]]:
            return {k.removeprefix(f"{name}/"): value for k, value in state.items() if k.startswith(f"{name}/")}

        made.members_ = tuple(self._fresh(name).with_state(part(name)) for name in self.heads)
        learnt = part(_LEARNT)
        made.stack_ = make_stack(self.stack, seed=self.seed).with_state(learnt) if learnt else None
        return made

    def _learnt(self, inputs: Inputs, Y: NDArray[np.float64], labels: NDArray[Any]) -> Stack | None:
        """Stack learnt on predictions of unseen groups; None where it is not worth it."""
        folds = inner_folds(labels)
        fold_of = np.empty(len(Y), np.intp)
        for k, (_, held) in enumerate(folds):
            fold_of[held] = k
        unseen = np.empty((len(self.heads), *Y.shape))
        twice = np.empty((len(self.heads), len(folds), *Y.shape))

        def refit(name: str, fit: Index, held: Index, part: str = "") -> Matrix:
            return self._fresh(name).fit(inputs.rows(fit), Y[fit], labels[fit]).predict(inputs.rows(held))

        for m, name in enumerate(self.heads):
            for fit, held in folds:
                unseen[m, held] = refit(name, fit, held)
            twice[m] = twice_unseen(partial(refit, name), unseen[m], folds)
        stack = make_stack(self.stack, seed=self.seed)
        judged = judge_stack(stack, list(twice), Y, folds=folds, groups=fold_of)
        return stack.fit(unseen, Y, fold_of) if judged.worth_it else None

    def _fresh(self, name: str) -> Head:
        return make_head(name, self.options.get(name), seed=self.seed)

    def _fitted(self) -> tuple[Head, ...]:
        return fitted(self.members_ or None, where=_WHERE)
