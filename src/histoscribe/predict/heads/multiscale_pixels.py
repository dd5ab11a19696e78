"""Head "multiscale_pixels": a tile, the mean of its 3 x 3 parts and its middle part, each by a branch of its own."""

from typing import Any, ClassVar, Literal, Self

from numpy.typing import NDArray

from histoscribe.errors import ConfigError
from histoscribe.predict.head import Head, Matrix, as_inputs
from histoscribe.predict.heads.front import checked_targets
from histoscribe.predict.heads.pixels import check_side, checked_tiles, tile_tensor
from histoscribe.predict.heads.scale import TargetScale
from histoscribe.predict.heads.trained import TrainedNetwork
from histoscribe.predict.train import Course, load_weights, predict, train

_WHERE = "head multiscale_pixels"


class MultiscalePixelsHead(TrainedNetwork, Head):
    """Three convolutional branches trained from the start, joined by name; squared error on standardised targets.

    Parameters
    ----------
    tile_px
        Side to which tiles are brought, a multiple of 3: about three distances between spots wide.
    width
        Channels of the first stage.
    epochs
        At most; the best on an inner fold is kept.
    learning_rate
        Of AdamW.
    device
        "cpu", "cuda", "mps" or "auto".
    seed
        Of weights and batches.
    """

    name: ClassVar[str] = "multiscale_pixels"
    takes: ClassVar[Literal["features", "tiles"]] = "tiles"

    def __init__(
        self,
        tile_px: int = 78,
        width: int = 32,
        epochs: int = 30,
        learning_rate: float = 1e-3,
        device: str = "cpu",
        seed: int = 0,
    ) -> None:
        check_side(tile_px, where=_WHERE, multiple=3)
        if min(width, epochs) < 1:
            raise ConfigError("width and epochs must be at least 1", where=_WHERE)
        self.tile_px, self.width, self.epochs = tile_px, width, epochs
        self.learning_rate, self.device, self.seed = learning_rate, device, seed
        super().__init__()

    def fit(self, X: Any, Y: NDArray[Any], groups: NDArray[Any] | None = None) -> Self:
        """Learn; see `Head.fit`."""
        inputs = as_inputs(X)
        Y = checked_targets(inputs, Y, groups, where=_WHERE)
        tiles = checked_tiles(inputs, where=_WHERE)
        self.scale_ = TargetScale.fit(Y)
        course = Course(self.epochs, self.learning_rate, device=self.device, seed=self.seed)
        sample = self._sampler(tiles)
        self.weights_ = train(self._network, sample, self.scale_.apply(Y), course=course, groups=groups).weights
        return self

    def predict(self, X: Any) -> Matrix:
        """Predict, (n, t); see `Head.predict`."""
        scale = self._fitted()
        tiles = checked_tiles(as_inputs(X), where=_WHERE)
        network = load_weights(self._network, self.weights_)
        return scale.invert(predict(network, self._sampler(tiles), len(tiles), device=self.device))

    def params(self) -> dict[str, Any]:
        """Return the constructor arguments."""
        names = ("tile_px", "width", "epochs", "learning_rate", "device", "seed")
        return {name: getattr(self, name) for name in names}

    def _sampler(self, tiles: Any) -> Any:
        return lambda rows: {"tiles": tile_tensor(tiles, rows, self.tile_px)}

    def _network(self) -> Any:
        from histoscribe.predict.networks import ThreeBranches

        return ThreeBranches(self._fitted().values.shape[1], self.width)
