"""Head "multiscale": a branch per named block of frozen features, with several tile sizes together."""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, InputError
from histoscribe.predict.context import appearance
from histoscribe.predict.head import Head, Inputs, Matrix, as_inputs
from histoscribe.predict.heads.front import Front, checked_targets
from histoscribe.predict.heads.scale import TargetScale
from histoscribe.predict.heads.trained import TrainedNetwork, course_of
from histoscribe.predict.train import load_weights, predict, train

_WHERE = "head multiscale"


class MultiscaleHead(TrainedNetwork, Head):
    """Each block to its main directions, through a small branch of its own; branches joined by name.

    Parameters
    ----------
    components
        Of each block, at most.
    hidden
        Units of each branch.
    epochs
        At most; the best on an inner fold is kept.
    learning_rate, least_learning_rate, weight_decay
        Of AdamW: at the start and at the end of a cosine course, the latter a hundredth of the former if not given.
    batch
        Spots per step, about.
    patience
        Epochs without gain on the inner fold after which training ends.
    seed
        Of weights, batches and components.
    """

    name: ClassVar[str] = "multiscale"
    takes: ClassVar[Literal["features", "tiles"]] = "features"

    def __init__(
        self,
        components: int = 64,
        hidden: int = 64,
        epochs: int = 60,
        learning_rate: float = 1e-3,
        least_learning_rate: float | None = None,
        weight_decay: float = 0.1,
        batch: int = 64,
        patience: int = 10,
        seed: int = 0,
    ) -> None:
        if min(components, hidden) < 1:
            raise ConfigError("components and hidden must be at least 1", where=_WHERE)
        self.components, self.hidden, self.epochs = components, hidden, epochs
        self.learning_rate, self.least_learning_rate = learning_rate, least_learning_rate
        self.weight_decay = weight_decay
        self.batch, self.patience, self.seed = batch, patience, seed
        course_of(self)
        self.fronts_: dict[str, Front] = {}
        super().__init__()

    def fit(self, X: Any, Y: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Learn; see `Head.fit`."""
        inputs = as_inputs(X)
        Y = checked_targets(inputs, Y, groups, where=_WHERE)
        blocks = appearance(inputs.blocks)
        if not blocks:
            raise InputError("this head needs feature blocks", where=_WHERE, fix="give an encoder's blocks")
        self.fronts_ = {
            name: Front.fit(Inputs({name: blocks[name]}), components=self.components, seed=self.seed, where=_WHERE)
            for name in sorted(blocks)
        }
        self.scale_ = TargetScale.fit(Y)
        Z = self._components(inputs)
        course, make = course_of(self), self._network
        self.weights_ = train(make, _sampler(Z), self.scale_.apply(Y), course=course, groups=groups).weights
        return self

    def predict(self, X: Any) -> Matrix:
        """Predict, (n, t); see `Head.predict`."""
        scale = self._fitted()
        Z = self._components(as_inputs(X))
        network = load_weights(self._network, self.weights_)
        return scale.invert(predict(network, _sampler(Z), len(next(iter(Z.values())))))

    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted."""
        arrays = super().state()
        for name, front in self.fronts_.items():
            arrays |= {f"front/{name}/{key}": value for key, value in front.state().items()}
        return arrays

    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""
        made = super().with_state(state)
        fronts: dict[str, dict[str, NDArray[Any]]] = {}
        for key, value in state.items():
            if key.startswith("front/"):
                # a block's name may hold a slash, once more within the front's own key
                end = key.find("/block:") if "/block:" in key else key.rfind("/")
                fronts.setdefault(key[len("front/") : end], {})[key[end + 1 :]] = value
        made.fronts_ = {name: Front.from_state(fronts[name]) for name in sorted(fronts)}
        return made

    def _components(self, inputs: Inputs) -> dict[str, Matrix]:
        """Components of every block, by name, of a size that a network learns from."""
        found = {name: front.transform(inputs, where=_WHERE) for name, front in self.fronts_.items()}
        return {name: np.asarray(Z * np.sqrt(Z.shape[1]), np.float32) for name, Z in found.items()}

    def _network(self) -> Any:
        from histoscribe.predict.networks import BlockBranches

        widths = {name: front.axes.shape[1] for name, front in self.fronts_.items()}
        return BlockBranches(widths, self.hidden, self._fitted().values.shape[1])


def _sampler(Z: Mapping[str, Matrix]) -> Any:
    import torch

    return lambda rows: {name: torch.from_numpy(block[rows]) for name, block in Z.items()}
