"""Head "finetune": a whole network of timm trained end to end on tiles; after the 35-cell-type predictor."""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.encoders.weights import count_weights
from histoscribe.errors import ConfigError
from histoscribe.numerics.device import device_in_use
from histoscribe.predict.augment import augmentation, checked_probabilities, cutmix_around_centre
from histoscribe.predict.head import Head, Matrix, as_inputs, fitted
from histoscribe.predict.heads.backbone import Backbone, find_backbone, require_side, start_from
from histoscribe.predict.heads.front import checked_targets
from histoscribe.predict.heads.pixels import check_side, checked_tiles, tile_tensor
from histoscribe.predict.heads.scale import TargetScale
from histoscribe.predict.heads.trained import TrainedNetwork, course_of
from histoscribe.predict.train import load_weights, predict, train

_WHERE = "head finetune"


class FinetuneHead(TrainedNetwork, Head):
    """Every layer of a backbone is trained; outputs pass a sigmoid, and the loss is the mean absolute error.

    Ranks in [0, 1] are taken as they are; other targets are brought to [0, 1] by their range in training. Predictions
    are the mean over a tile and its three flips. The preset "published" is the 35-cell-type predictor at its full size.

    Parameters
    ----------
    backbone
        Name of an encoder or of a network of timm, started from its published weights; or the path of an encoder's
        card, ending in .toml.
    weights
        A safetensors file to start from, in place of the published weights.
    pretrained
        False: start from random weights.
    tile_px
        Side to which tiles are brought.
    epochs
        At most; the best on an inner fold is kept.
    learning_rate, least_learning_rate, weight_decay
        Of AdamW: at the start and at the end of a cosine course, the latter a hundredth of the former if not given.
    batch
        Tiles per step, about.
    patience
        Epochs without gain on the inner fold after which training ends.
    augment
        Strength of the augmentation, 0 to 1: multiplies every probability but those of flips and quarter turns.
    augmentations
        Name of a change to the probability that a tile undergoes it, as in `augment.PROBABILITIES`; 0 switches it off.
    device
        "auto", "cpu", "cuda" or "mps"; mixed precision on "cuda".
    seed
        Of everything random.
    """

    name: ClassVar[str] = "finetune"
    takes: ClassVar[Literal["features", "tiles"]] = "tiles"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "published": {
            "backbone": "efficientnet_v2_m",
            "tile_px": 224,
            "epochs": 40,
            "learning_rate": 1e-5,
            "least_learning_rate": 1e-7,
            "weight_decay": 1e-3,
            "batch": 64,
            "patience": 10,
        }
    }

    def __init__(
        self,
        backbone: str = "efficientnet_b0",
        weights: str = "",
        pretrained: bool = True,
        tile_px: int = 224,
        epochs: int = 40,
        learning_rate: float = 1e-4,
        least_learning_rate: float | None = None,
        weight_decay: float = 1e-3,
        batch: int = 64,
        patience: int = 10,
        augment: float = 1.0,
        augmentations: Mapping[str, float] | None = None,
        device: str = "auto",
        seed: int = 0,
    ) -> None:
        check_side(tile_px, where=_WHERE)
        if not 0 <= augment <= 1:
            raise ConfigError("augment must be a strength from 0 to 1", where=_WHERE, found=augment)
        if weights and not pretrained:
            raise ConfigError(
                "weights are given, and random ones asked for",
                where=_WHERE,
                fix="leave `weights` or `pretrained = false` out",
            )
        checked_probabilities(augmentations or {}, where=_WHERE)
        self.backbone, self.weights, self.pretrained, self.tile_px = backbone, weights, pretrained, tile_px
        self.epochs, self.learning_rate, self.least_learning_rate = epochs, learning_rate, least_learning_rate
        self.weight_decay, self.batch, self.patience = weight_decay, batch, patience
        self.augment, self.augmentations = augment, dict(augmentations or {})
        self.device, self.seed = device, seed
        course_of(self)
        self.network_: Backbone | None = None
        self.record_: dict[str, str] = {}
        super().__init__()

    def fit(self, X: Any, Y: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Learn, stopped by an inner fold; see `Head.fit`."""
        inputs = as_inputs(X)
        Y = checked_targets(inputs, Y, groups, where=_WHERE)
        tiles = checked_tiles(inputs, where=_WHERE)
        device = device_in_use(self.device, where=_WHERE)
        start = find_backbone(self.backbone, weights=self.weights, pretrained=self.pretrained)
        require_side(start.backbone, self.tile_px)
        self.network_ = start.backbone
        self.record_ = {"device": device, "started from": start.words}
        self.scale_ = _unit_scale(Y)
        Z = self.scale_.apply(Y).clip(0, 1)
        self.weights_ = train(
            lambda: self._started(Z, start.weights),
            self._sampler(tiles),
            Z,
            course=course_of(self, device=device, loss="l1"),
            groups=groups,
            change=self._change(),
        ).weights
        return self

    def predict(self, X: Any) -> Matrix:
        """Predict, (n, t); see `Head.predict`."""
        from histoscribe.predict.networks import FlipMean

        scale = self._fitted()
        tiles = checked_tiles(as_inputs(X), where=_WHERE)
        n_numbers = sum(values.size for values in self.weights_.values())
        network = FlipMean(load_weights(lambda: self._network(n_numbers), self.weights_))
        device = device_in_use(self.device, where=_WHERE)
        return scale.invert(predict(network, self._sampler(tiles), len(tiles), device=device))

    def record(self) -> dict[str, str]:
        """Device and start weights of the last fit; see `Head.record`."""
        return dict(self.record_)

    def check_ready(self) -> None:
        """Refuse what cannot be trained; before `fit` also a network or weights that are not there."""
        super().check_ready()
        if self.network_ is None:
            start = find_backbone(self.backbone, weights=self.weights, pretrained=self.pretrained)
            require_side(start.backbone, self.tile_px)
            start.backbone.make(1, n_numbers=None if start.weights is None else count_weights(start.weights))

    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted."""
        return super().state() | {"backbone": self._backbone().to_bytes()}

    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""
        made = super().with_state(state)
        made.network_ = Backbone.from_bytes(state["backbone"])
        return made

    def _sampler(self, tiles: Any) -> Any:
        return lambda rows: {"tiles": tile_tensor(tiles, rows, self.tile_px)}

    def _change(self) -> Any:
        """Augment a batch, and at times mix its tiles around their middles; labels stay with the middle."""
        probabilities = checked_probabilities(self.augmentations, where=_WHERE)
        augmented, mixed = augmentation(self.augment, probabilities), probabilities["cutmix"] * self.augment

        def change(given: dict[str, Any], y: Any, rng: np.random.Generator) -> tuple[dict[str, Any], Any]:
            tiles = augmented(given["tiles"])
            if len(tiles) > 1 and rng.random() < mixed:
                tiles = cutmix_around_centre(tiles)
            return {"tiles": tiles}, y

        return change

    def _started(self, Z: NDArray[np.float32], weights: Path | None) -> Any:
        """Untrained network: the backbone's start weights, and a last layer that predicts the mean of the targets."""
        import torch

        network = self._network(None if weights is None else count_weights(weights))
        if weights is not None:
            start_from(weights, network.backbone)
        last = network.backbone.get_classifier()
        mean = torch.from_numpy(Z.mean(axis=0).clip(0.02, 0.98))
        with torch.no_grad():
            # the usual random weights saturate a sigmoid, which then learns nothing
            last.weight.zero_()
            last.bias.copy_(torch.logit(mean))
        return network

    def _network(self, n_numbers: int | None) -> Any:
        from histoscribe.predict.networks import RankNetwork

        chosen = self._backbone()
        made = chosen.make(self._fitted().values.shape[1], n_numbers=n_numbers)
        return RankNetwork(made, keep_statistics=chosen.trained, mean=chosen.mean, deviation=chosen.std)

    def _backbone(self) -> Backbone:
        return fitted(self.network_, where=_WHERE)


def _unit_scale(Y: NDArray[np.float64]) -> TargetScale:
    """Scale to [0, 1]: unchanged where all targets lie there, else by each one's range; constant ones stay constant."""
    inside = Y.min() >= 0 and Y.max() <= 1
    low, spread = Y.min(axis=0), np.ptp(Y, axis=0)
    varies = spread > 1e-9
    if inside:
        return TargetScale(np.stack([np.where(varies, 0.0, low), varies.astype(np.float64)]))
    return TargetScale(np.stack([low, np.where(varies, spread, 0.0)]))
