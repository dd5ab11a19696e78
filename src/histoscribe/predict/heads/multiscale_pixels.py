"""Head "multiscale_pixels": a tile, the mean of its 3 x 3 parts and its middle part, each by a branch of its own."""

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

from numpy.typing import NDArray

from histoscribe.errors import ConfigError
from histoscribe.numerics.device import device_in_use
from histoscribe.predict.head import Head, Matrix, as_inputs
from histoscribe.predict.heads.front import checked_targets
from histoscribe.predict.heads.pixels import check_side, checked_tiles, tile_tensor
from histoscribe.predict.heads.scale import TargetScale
from histoscribe.predict.heads.trained import TrainedNetwork, course_of
from histoscribe.predict.train import load_weights, predict, train

_WHERE = "head multiscale_pixels"


class MultiscalePixelsHead(TrainedNetwork, Head):
    """Three convolutional branches trained from the start, joined by name; squared error on standardised targets.

    The preset "published" is HEVisum at its full size.

    Parameters
    ----------
    tile_px
        Side to which tiles are brought, a multiple of 3: about three distances between spots wide.
    width
        Channels of the first stage.
    epochs
        At most; the best on an inner fold is kept.
    learning_rate, least_learning_rate, weight_decay
        Of AdamW: at the start and at the end of a cosine course, the latter a hundredth of the former if not given.
    batch
        Tiles per step, about.
    patience
        Epochs without gain on the inner fold after which training ends.
    device
        "auto", "cpu", "cuda" or "mps"; mixed precision on "cuda".
    seed
        Of weights and batches.
    """

    name: ClassVar[str] = "multiscale_pixels"
    takes: ClassVar[Literal["features", "tiles"]] = "tiles"
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "published": {
            "tile_px": 78,
            "width": 32,
            "epochs": 30,
            "learning_rate": 1e-3,
            "least_learning_rate": 1e-6,
            "weight_decay": 1e-3,
            "batch": 32,
            "patience": 10,
        }
    }

    def __init__(
        self,
        tile_px: int = 78,
        width: int = 32,
        epochs: int = 30,
        learning_rate: float = 1e-3,
        least_learning_rate: float | None = None,
        weight_decay: float = 1e-3,
        batch: int = 32,
        patience: int = 10,
        device: str = "auto",
        seed: int = 0,
    ) -> None:
        check_side(tile_px, where=_WHERE, multiple=3)
        if width < 1:
            raise ConfigError("width must be at least 1", where=_WHERE)
        self.tile_px, self.width, self.epochs = tile_px, width, epochs
        self.learning_rate, self.least_learning_rate = learning_rate, least_learning_rate
        self.weight_decay = weight_decay
        self.batch, self.patience, self.device, self.seed = batch, patience, device, seed
        course_of(self)
        self.record_: dict[str, str] = {}
        super().__init__()

    def fit(self, X: Any, Y: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Learn; see `Head.fit`."""
        inputs = as_inputs(X)
        Y = checked_targets(inputs, Y, groups, where=_WHERE)
        tiles = checked_tiles(inputs, where=_WHERE)
        self.scale_ = TargetScale.fit(Y)
        device = device_in_use(self.device, where=_WHERE)
        self.record_ = {"device": device}
        course, sample = course_of(self, device=device), self._sampler(tiles)
        self.weights_ = train(self._network, sample, self.scale_.apply(Y), course=course, groups=groups).weights
        return self

    def predict(self, X: Any) -> Matrix:
        """Predict, (n, t); see `Head.predict`."""
        scale = self._fitted()
        tiles = checked_tiles(as_inputs(X), where=_WHERE)
        network = load_weights(self._network, self.weights_)
        device = device_in_use(self.device, where=_WHERE)
        return scale.invert(predict(network, self._sampler(tiles), len(tiles), device=device))

    def record(self) -> dict[str, str]:
        """Device of the last fit; see `Head.record`."""
        return dict(self.record_)

    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        return {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}

    def _sampler(self, tiles: Any) -> Any:
        return lambda rows: {"tiles": tile_tensor(tiles, rows, self.tile_px)}

    def _network(self) -> Any:
        from histoscribe.predict.networks import ThreeBranches

        return ThreeBranches(self._fitted().values.shape[1], self.width)
