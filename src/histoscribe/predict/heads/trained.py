"""The common part of predictors with one trained network: its weights, the scale of its targets, and their state."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError
from histoscribe.numerics.device import device_in_use
from histoscribe.predict.head import fitted
from histoscribe.predict.heads.scale import TargetScale
from histoscribe.predict.train import Course, Weights


class TrainedNetwork(ABC):
    """Base of a head or stack with one network.

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

    def check_ready(self) -> None:
        """Refuse a device that is not there; raises ConfigError."""
        device_in_use(self.params().get("device", "cpu"), where=f"head {self.name}")

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted."""
        arrays: dict[str, NDArray[Any]] = {"scale": self._fitted().values}
        return arrays | {f"network/{key}": value for key, value in self.weights_.items()}

    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""
        made = type(self)(**self.params())
        made.weights_ = {k.removeprefix("network/"): v for k, v in state.items() if k.startswith("network/")}
        made.scale_ = TargetScale(np.asarray(state["scale"], np.float64))
        return made

    def _fitted(self) -> TargetScale:
        return fitted(self.scale_, where=self.name)


def course_of(head: Any, *, device: str = "cpu", loss: Literal["l1", "mse"] = "mse") -> Course:
    """Say how a network is trained by its head's options; raises ConfigError where it cannot be trained so."""
    try:
        return Course(
            head.epochs,
            head.learning_rate,
            head.weight_decay,
            batch=head.batch,
            patience=head.patience,
            loss=loss,
            device=device,
            seed=head.seed,
            least_learning_rate=head.least_learning_rate,
        )
    except ConfigError as error:
        where = f"head {head.name}"
        raise ConfigError(error.problem, where=where, expected=error.expected, found=error.found) from error
