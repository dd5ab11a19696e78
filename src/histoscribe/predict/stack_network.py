"""Stack "mlp": a small network over all members' predictions, as HEVisum and the 35-cell-type predictor have it."""

from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError
from histoscribe.predict.head import Matrix
from histoscribe.predict.heads.scale import TargetScale
from histoscribe.predict.heads.trained import TrainedNetwork
from histoscribe.predict.stack import Stack, checked_members
from histoscribe.predict.train import Course, load_weights, predict, train

_WHERE = "stack mlp"


class MLPStack(TrainedNetwork, Stack):
    """Two hidden layers over all members' predictions of all targets, stopped on an inner fold of whole groups.

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
            raise ConfigError("hidden must be at least 2 and epochs at least 1", where=_WHERE)
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


def _sampler(Z: Matrix) -> Any:
    import torch

    return lambda rows: {"input": torch.from_numpy(Z[rows])}
