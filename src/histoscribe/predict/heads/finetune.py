"""Head "finetune": a whole network of timm trained end to end on tiles; after the 35-cell-type predictor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError
from histoscribe.predict.head import Head, Matrix, as_inputs
from histoscribe.predict.heads.backbone import Backbone, find_backbone, start_from
from histoscribe.predict.heads.front import checked_targets
from histoscribe.predict.heads.pixels import check_side, checked_tiles, tile_tensor
from histoscribe.predict.heads.scale import TargetScale
from histoscribe.predict.heads.trained import TrainedNetwork
from histoscribe.predict.train import Course, load_weights, predict, train

_WHERE = "head finetune"
_SHARE_MIXED = 0.3  # of the batches to which CutMix is applied


class FinetuneHead(TrainedNetwork, Head):
    """Every layer of a backbone is trained; outputs pass a sigmoid, and the loss is the mean absolute error.

    Ranks in [0, 1] are taken as they are; other targets are brought to [0, 1] by their range in training. Predictions
    are the mean over a tile and its three flips.

    Parameters
    ----------
    backbone
        Path of an encoder's card, ending in .toml: its network, weights and pixel statistics are started from. Or the
        name of a timm model, started from random weights.
    tile_px
        Side to which tiles are brought.
    epochs, learning_rate
        At most, and of AdamW at the start of its cosine course.
    augment
        Strength of the augmentation, 0 to 1; CutMix around the centre comes with it.
    device
        "cpu", "cuda", "mps" or "auto"; mixed precision on "cuda".
    seed
        Of everything random.
    """

    name: ClassVar[str] = "finetune"
    takes: ClassVar[Literal["features", "tiles"]] = "tiles"

    def __init__(
        self,
        backbone: str = "efficientnet_b0",
        tile_px: int = 224,
        epochs: int = 40,
        learning_rate: float = 1e-4,
        augment: float = 1.0,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        check_side(tile_px, where=_WHERE)
        if epochs < 1 or not 0 <= augment <= 1:
            raise ConfigError("epochs must be at least 1 and augment a strength from 0 to 1", where=_WHERE)
        self.backbone, self.tile_px, self.epochs, self.learning_rate = backbone, tile_px, epochs, learning_rate
        self.augment, self.device, self.seed = augment, device, seed
        self.network_: Backbone | None = None
        super().__init__()

    def fit(self, X: Any, Y: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Learn, stopped by an inner fold; see `Head.fit`."""
        inputs = as_inputs(X)
        Y = checked_targets(inputs, Y, groups, where=_WHERE)
        tiles = checked_tiles(inputs, where=_WHERE)
        self.network_, start = find_backbone(self.backbone)
        self.scale_ = _unit_scale(Y)
        Z = self.scale_.apply(Y).clip(0, 1)
        course = Course(self.epochs, self.learning_rate, batch=64, loss="l1", device=self.device, seed=self.seed)
        self.weights_ = train(
            lambda: self._started(Z, start),
            self._sampler(tiles),
            Z,
            course=course,
            groups=groups,
            change=self._change(),
        ).weights
        return self

    def predict(self, X: Any) -> Matrix:
        """Predict, (n, t); see `Head.predict`."""
        from histoscribe.predict.networks import FlipMean

        scale = self._fitted()
        tiles = checked_tiles(as_inputs(X), where=_WHERE)
        network = FlipMean(load_weights(self._network, self.weights_))
        return scale.invert(predict(network, self._sampler(tiles), len(tiles), device=self.device))

    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        names = ("backbone", "tile_px", "epochs", "learning_rate", "augment", "device", "seed")
        return {name: getattr(self, name) for name in names}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted."""
        return super().state() | {"backbone": self._backbone().told()}

    def with_state(self, state: Mapping[str, NDArray[Any]]) -> Self:
        """Return a fitted copy."""
        made = super().with_state(state)
        made.network_ = Backbone.from_told(state["backbone"])
        return made

    def _sampler(self, tiles: Any) -> Any:
        return lambda rows: {"tiles": tile_tensor(tiles, rows, self.tile_px)}

    def _change(self) -> Any:
        """Augment a batch, and at times mix its tiles around their middles; labels stay with the middle."""
        from histoscribe.predict.augment import augmentation, cutmix_around_centre

        augmented = augmentation(self.augment)

        def change(given: dict[str, Any], y: Any, rng: np.random.Generator) -> tuple[dict[str, Any], Any]:
            tiles = augmented(given["tiles"])
            if len(tiles) > 1 and rng.random() < _SHARE_MIXED * self.augment:
                tiles = cutmix_around_centre(tiles)
            return {"tiles": tiles}, y

        return change

    def _started(self, Z: NDArray[np.float32], weights: Path | None) -> Any:
        """Untrained network: the backbone's start weights, and a last layer that predicts the mean of the targets."""
        import torch

        network = self._network()
        if weights is not None:
            start_from(weights, network.backbone)
        last = network.backbone.get_classifier()
        mean = torch.from_numpy(Z.mean(axis=0).clip(0.02, 0.98))
        with torch.no_grad():
            # the usual random weights drive a sigmoid to its ends, where it learns nothing any more
            last.weight.zero_()
            last.bias.copy_(torch.logit(mean))
        return network

    def _network(self) -> Any:
        from histoscribe.predict.networks import RankNetwork

        chosen = self._backbone()
        made = chosen.make(self._fitted().values.shape[1])
        return RankNetwork(made, keep_statistics=chosen.trained, mean=chosen.mean, deviation=chosen.std)

    def _backbone(self) -> Backbone:
        if self.network_ is None:
            raise ConfigError("the head was not fitted", where=_WHERE, mend="call fit first")
        return self.network_


def _unit_scale(Y: NDArray[np.float64]) -> TargetScale:
    """Scale to [0, 1]: by nothing where all targets lie there, else by the range of each; a constant one comes back."""
    inside = Y.min() >= 0 and Y.max() <= 1
    low, spread = Y.min(axis=0), np.ptp(Y, axis=0)
    varies = spread > 1e-9
    if inside:
        return TargetScale(np.stack([np.where(varies, 0.0, low), varies.astype(np.float64)]))
    return TargetScale(np.stack([low, np.where(varies, spread, 0.0)]))
