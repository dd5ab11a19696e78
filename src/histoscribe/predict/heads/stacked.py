"""Head "stack": several heads, combined by what each was worth on training groups that it had not seen."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError
from histoscribe.predict import HEADS
from histoscribe.predict.fitting import make_head
from histoscribe.predict.head import Head, Inputs, Matrix, as_inputs
from histoscribe.predict.heads.front import checked_targets
from histoscribe.predict.splits import inner_folds
from histoscribe.predict.stack import RidgeStack, judge_stack

_WHERE = "head stack"


class StackHead(Head):
    """A ridge stack of heads where it beats their plain mean on unseen groups of the training, else that mean.

    Parameters
    ----------
    heads
        At least two heads that learn from features.
    options
        Head to its options.
    strength
        Of the stack; see `RidgeStack`.
    seed
        Of the heads.
    """

    name: ClassVar[str] = "stack"
    takes: ClassVar[Literal["features", "tiles"]] = "features"

    def __init__(
        self,
        heads: Sequence[str] = ("ridge", "lowrank", "multiscale"),
        options: Mapping[str, Mapping[str, Any]] | None = None,
        strength: float = 0.3,
        seed: int = 0,
    ) -> None:
        wrong = [name for name in heads if name == self.name or HEADS.get(name).takes != "features"]
        if wrong or len(set(heads)) < max(2, len(heads)):
            raise ConfigError(
                "these heads cannot be stacked",
                where=_WHERE,
                expected="two or more, none twice, that learn from features",
                found=", ".join(wrong or heads),
            )
        self.heads, self.options, self.strength, self.seed = tuple(heads), dict(options or {}), strength, seed
        self.members_: tuple[Head, ...] = ()
        self.stack_: RidgeStack | None = None

    def fit(self, X: Any, Y: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Learn; with a single group nothing can be held out, and the members' plain mean is taken. See `Head.fit`."""
        inputs = as_inputs(X)
        Y = checked_targets(inputs, Y, groups, where=_WHERE)
        labels = np.arange(len(Y)) if groups is None else np.asarray(groups)
        weights = np.zeros((len(self.heads), Y.shape[1]))  # no weight on any deviation: the plain mean
        if len(np.unique(labels)) > 1:
            weights = self._weights(inputs, Y, labels)
        self.stack_ = RidgeStack(self.strength).with_state({"weights": weights})
        self.members_ = tuple(self._fresh(name).fit(inputs, Y, groups) for name in self.heads)
        return self

    def predict(self, X: Any) -> Matrix:
        """Predict, (n, t); see `Head.predict`."""
        stack, inputs = self._fitted(), as_inputs(X)
        return stack.predict(np.stack([member.predict(inputs) for member in self.members_]))

    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        options = {name: dict(given) for name, given in self.options.items()}
        return {"heads": list(self.heads), "options": options, "strength": self.strength, "seed": self.seed}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what the stack and every member fitted, the members' under their names."""
        told = dict(self._fitted().state())
        for name, member in zip(self.heads, self.members_, strict=True):
            told |= {f"{name}/{key}": value for key, value in member.state().items()}
        return told

    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""
        made = type(self)(**self.params())
        made.stack_ = RidgeStack(self.strength).with_state(state)
        own = ({k.removeprefix(f"{n}/"): v for k, v in state.items() if k.startswith(f"{n}/")} for n in self.heads)
        made.members_ = tuple(self._fresh(n).with_state(part) for n, part in zip(self.heads, own, strict=True))
        return made

    def _weights(self, inputs: Inputs, Y: NDArray[np.float64], labels: NDArray[Any]) -> NDArray[np.float64]:
        """Weights (m, t) learnt on predictions of unseen groups; zero where the stack is not worth it."""
        folds = inner_folds(labels)
        fold_of = np.empty(len(Y), np.intp)
        unseen = np.empty((len(self.heads), *Y.shape))
        for k, (fit, held) in enumerate(folds):
            fold_of[held] = k
            for m, name in enumerate(self.heads):
                member = self._fresh(name).fit(inputs.rows(fit), Y[fit], labels[fit])
                unseen[m, held] = member.predict(inputs.rows(held))
        stack = RidgeStack(self.strength)
        if not judge_stack(stack, unseen, Y, fold_of).worth_it:
            return np.zeros((len(self.heads), Y.shape[1]))
        return stack.fit(unseen, Y, fold_of).state()["weights"]

    def _fresh(self, name: str) -> Head:
        return make_head(name, self.options.get(name), seed=self.seed)

    def _fitted(self) -> RidgeStack:
        if self.stack_ is None:
            raise ConfigError("the head was not fitted", where=_WHERE, mend="call fit first")
        return self.stack_
