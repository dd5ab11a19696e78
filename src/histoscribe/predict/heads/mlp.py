"""Head "mlp": a small network on the features' main directions, stopped where inner validation groups stop gaining."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.encoders.deterministic import deterministic
from histoscribe.errors import ConfigError
from histoscribe.predict.head import Head, Matrix, as_inputs, fitted
from histoscribe.predict.heads.front import Front, checked_targets
from histoscribe.predict.splits import inner_folds
from histoscribe.predict.train import load_weights

_WHERE = "head mlp"
_LAYERS = ("0.weight", "0.bias", "3.weight", "3.bias")


class MLPHead(Head):
    """One hidden layer, all targets at once, mean squared error on standardised targets.

    The number of epochs is chosen on one inner fold, a validation part that shares no group with the rest; the network
    is then trained anew on all rows for as many.

    Parameters
    ----------
    components
        Of the features, at most.
    hidden
        Units of the hidden layer.
    dropout
        Share of hidden units dropped at each step of training.
    epochs
        At most.
    learning_rate, weight_decay
        Of AdamW (Loshchilov and Hutter 2019).
    seed
        Of weights, batches and components.
    """

    name: ClassVar[str] = "mlp"
    takes: ClassVar[Literal["features", "tiles"]] = "features"

    def __init__(
        self,
        components: int = 128,
        hidden: int = 128,
        dropout: float = 0.3,
        epochs: int = 60,
        learning_rate: float = 2e-3,
        weight_decay: float = 0.1,
        seed: int = 0,
    ) -> None:
        if min(components, hidden, epochs) < 1 or not 0 <= dropout < 1 or not learning_rate > 0:
            raise ConfigError(
                "the network cannot be made so",
                where=_WHERE,
                expected="components, hidden and epochs of at least 1, dropout in [0, 1), a positive learning rate",
            )
        self.components, self.hidden, self.dropout, self.epochs = components, hidden, dropout, epochs
        self.learning_rate, self.weight_decay, self.seed = learning_rate, weight_decay, seed
        self.front_: Front | None = None
        self.network_: dict[str, NDArray[np.float32]] = {}
        self.scale_: NDArray[np.float64] = np.empty((2, 0))  # (2, t) mean and standard deviation of the targets
        self.epochs_ = 0

    def fit(self, X: Any, Y: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Learn; see `Head.fit`."""
        inputs = as_inputs(X)
        Y = checked_targets(inputs, Y, groups, where=_WHERE)
        self.front_ = Front.fit(inputs, components=self.components, seed=self.seed, where=_WHERE)
        Z = self._scaled(self.front_.transform(inputs, where=_WHERE))
        spread = Y.std(axis=0)
        # a constant target is predicted as the constant: the network's output for it is multiplied by 0
        self.scale_ = np.stack([Y.mean(axis=0), np.where(spread > 1e-9, spread, 0.0)])
        T = ((Y - self.scale_[0]) / np.where(spread > 1e-9, spread, 1.0)).astype(np.float32)
        groups = np.arange(len(Z)) if groups is None else np.asarray(groups)
        self.epochs_ = max(1, self.epochs // 3)
        with deterministic(self.seed):
            if len(np.unique(groups)) > 1:
                fit, held = inner_folds(groups)[0]
                _, errors = self._train(Z[fit], T[fit], self.epochs, validation=(Z[held], T[held]))
                self.epochs_ = int(np.argmin(errors)) + 1
        with deterministic(self.seed):
            self.network_, _ = self._train(Z, T, self.epochs_)
        return self

    def predict(self, X: Any) -> Matrix:
        """Predict, (n, t); see `Head.predict`."""
        import torch

        Z = self._scaled(fitted(self.front_, where=_WHERE).transform(as_inputs(X), where=_WHERE))
        network = load_weights(lambda: self._network(Z.shape[1], self.scale_.shape[1]), self.network_)
        with deterministic(0), torch.no_grad():
            raw = network(torch.from_numpy(Z)).numpy()
        return np.asarray(raw * self.scale_[1] + self.scale_[0], np.float32)

    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        names = ("components", "hidden", "dropout", "epochs", "learning_rate", "weight_decay", "seed")
        return {name: getattr(self, name) for name in names}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted."""
        front = fitted(self.front_, where=_WHERE).state()
        own: dict[str, NDArray[Any]] = {"scale": self.scale_, "epochs": np.array([self.epochs_])}
        own |= {f"network/{key}": value for key, value in self.network_.items()}
        return own | {f"front/{key}": value for key, value in front.items()}

    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""
        made = type(self)(**self.params())
        front = {key.removeprefix("front/"): value for key, value in state.items() if key.startswith("front/")}
        made.front_ = Front.from_state(front)
        made.network_ = {key: np.asarray(state[f"network/{key}"], np.float32) for key in _LAYERS}
        made.scale_, made.epochs_ = np.asarray(state["scale"], np.float64), int(state["epochs"][0])
        return made

    def _scaled(self, Z: Matrix) -> Matrix:
        """Bring components to a size that a network learns from: the first has variance k, the sum of k of size 1."""
        return np.asarray(Z * np.sqrt(Z.shape[1]), np.float32)

    def _network(self, inputs: int, outputs: int) -> Any:
        from torch import nn

        return nn.Sequential(
            nn.Linear(inputs, self.hidden), nn.GELU(), nn.Dropout(self.dropout), nn.Linear(self.hidden, outputs)
        )

    def _train(
        self, Z: Matrix, T: Matrix, epochs: int, *, validation: tuple[Matrix, Matrix] | None = None
    ) -> tuple[dict[str, NDArray[np.float32]], list[float]]:
        """Train from the start; returns the last weights and the validation error after every epoch."""
        import torch
        from torch.nn.functional import mse_loss

        network = self._network(Z.shape[1], T.shape[1])
        optimiser = torch.optim.AdamW(network.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay)
        # the same schedule for both trainings: one step per epoch, with the largest number of epochs as its length
        rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, T_max=self.epochs)
        order = np.random.default_rng(self.seed)
        x, y = torch.from_numpy(Z), torch.from_numpy(T)
        errors: list[float] = []
        for _ in range(epochs):
            network.train()
            for rows in np.array_split(order.permutation(len(Z)), max(1, len(Z) // 64)):
                batch = torch.from_numpy(rows)
                optimiser.zero_grad()
                mse_loss(network(x[batch]), y[batch]).backward()
                optimiser.step()
            rate.step()
            if validation is not None:
                network.eval()
                with torch.no_grad():
                    held = torch.from_numpy(validation[0])
                    errors.append(float(mse_loss(network(held), torch.from_numpy(validation[1]))))
        weights = {key: value.detach().numpy().copy() for key, value in network.state_dict().items()}
        return weights, errors
