"""What predictors share that are one trained network: its weights, the scale of its targets, and their keeping."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError
from histoscribe.predict.heads.scale import TargetScale
from histoscribe.predict.train import Weights


class TrainedNetwork(ABC):
    """Part of a head or stack of one network.

    Attributes
    ----------
    weights_
        Of the network, by name.
    scale_
        Of the targets that it learnt; None before `fit`.
    """

    name: ClassVar[str]

    def __init__(self) -> None:
        self.weights_: Weights = {}
        self.scale_: TargetScale | None = None

    @abstractmethod
    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted."""
        told: dict[str, NDArray[Any]] = {"scale": self._fitted().values}
        return told | {f"network/{key}": value for key, value in self.weights_.items()}

    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""
        made = type(self)(**self.params())
        made.weights_ = {k.removeprefix("network/"): v for k, v in state.items() if k.startswith("network/")}
        made.scale_ = TargetScale(np.asarray(state["scale"], np.float64))
        return made

    def _fitted(self) -> TargetScale:
        if self.scale_ is None:
            raise ConfigError("what learns was not fitted", where=self.name, mend="call fit first")
        return self.scale_
