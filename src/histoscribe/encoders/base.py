"""The interface of encoders and of the backends that run them, and how an encoder is built from its card."""

from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from histoscribe.encoders.card import Card
from histoscribe.errors import ConfigError, InputError, WeightsError
from histoscribe.numerics.device import DEVICES
from histoscribe.registry import Registry

RGB = NDArray[np.uint8]
Features = NDArray[np.float32]

PRECISIONS = ("auto", "float32", "bfloat16")


@dataclass(frozen=True, slots=True)
class Choice:
    """How a network is run on this machine: beside the card, this decides the last digits of its numbers.

    Parameters
    ----------
    precision
        "float32" or "bfloat16".
    channels_last
        Whether the channels of a pixel lie beside each other in memory.
    batch_size
        Tiles that go through the network together.
    """

    precision: str = "float32"
    channels_last: bool = False
    batch_size: int = 32

    def to_json(self) -> dict[str, Any]:
        """Plain values, for attributes and records."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Availability:
    """Whether an encoder can be used on this machine without fetching anything, and why."""

    available: bool
    why: str


class Encoder(Protocol):
    """Tiles to vectors. A tile gives the same numbers in every batch and on any number of threads."""

    @property
    def card(self) -> Card:
        """What this encoder is."""

    @property
    def choice(self) -> Choice:
        """How it is run here."""

    def with_choice(self, choice: Choice) -> "Encoder":
        """Return the same encoder, run in another way, such as that of an interrupted run."""

    def encode(self, tiles: RGB) -> Features:
        """Pooled features.

        Parameters
        ----------
        tiles
            (n, input_px, input_px, 3) uint8, RGB.

        Returns
        -------
        (n, dimension) float32.

        Raises
        ------
        InputError
            Where the tiles have another type or shape.
        """

    def encode_grid(self, tiles: RGB) -> Features:
        """Features of each cell of a grid over the tile, (n, gh, gw, d) float32.

        Raises
        ------
        ConfigError
            Where this encoder has no grid.
        """


class Backend(Protocol):
    """Code that runs the encoders of one kind."""

    def build(self, card: Card, *, device: str, precision: str) -> Encoder:
        """Load the encoder of a card."""

    def availability(self, card: Card) -> Availability:
        """Say whether `build` would need the network; without using it."""


BACKENDS: Registry[Backend] = Registry(
    "encoder backend",
    group="histoscribe.encoders",
    builtin={
        "morphology": "histoscribe.encoders.morphology:BACKEND",
        "onnx": "histoscribe.encoders.onnx_network:BACKEND",
        "timm": "histoscribe.encoders.timm_network:BACKEND",
    },
)


def build_encoder(card: Card, *, device: str = "auto", precision: str = "auto") -> Encoder:
    """Load an encoder, ready to encode.

    Parameters
    ----------
    card
        What to load; see `load_card`.
    device
        "cpu", "cuda", "cuda:1", "mps", or "auto" for the best available.
    precision
        "float32", "bfloat16", or "auto": what is fastest here, measured once and remembered.

    Raises
    ------
    ConfigError
        Where an option or the card does not fit the backend.
    WeightsError
        Where the weights are not available or not those that the card names.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.encoders import build_encoder, load_card
    >>> encoder = build_encoder(load_card("morphology"))
    >>> side = encoder.card.input_px
    >>> tiles = np.random.default_rng(0).integers(0, 256, (3, side, side, 3), np.uint8)
    >>> encoder.encode(tiles).shape
    (3, 154)
    """
    problems = []
    if precision not in PRECISIONS:
        problems.append(f"`precision` must be one of {', '.join(PRECISIONS)}, not {precision!r}")
    if device.partition(":")[0] not in DEVICES:
        problems.append(f"`device` must be one of {', '.join(DEVICES)}, not {device!r}")
    if problems:
        raise ConfigError("; ".join(problems), where=f"encoder {card.name}")
    return BACKENDS.get(card.backend).build(card, device=device, precision=precision)


def availability(card: Card) -> Availability:
    """Say whether an encoder can be used here without fetching anything, and why; never uses the network."""
    return BACKENDS.get(card.backend).availability(card)


def check_tiles(tiles: RGB, card: Card) -> None:
    """Refuse tiles that an encoder does not take; raises InputError."""
    side = card.input_px
    shape = getattr(tiles, "shape", ())
    if getattr(tiles, "dtype", None) != np.uint8 or len(shape) != 4 or shape[1:] != (side, side, 3):
        raise InputError(
            "these tiles do not fit the encoder",
            where=f"encoder {card.name}",
            expected=f"uint8 (n, {side}, {side}, 3), RGB",
            found=f"{getattr(tiles, 'dtype', type(tiles).__name__)} {tuple(shape)}",
        )


def joined(pieces: list[Features], card: Card) -> Features:
    """Join what a network gave for successive batches, (n, dimension).

    Raises
    ------
    WeightsError
        Where it is not what the card says, or not finite.
    """
    for piece in pieces:
        if piece.ndim != 2 or piece.shape[1] != card.dimension:
            raise WeightsError(
                "the network's output is not what its card says",
                where=f"encoder {card.name}",
                expected=f"{card.dimension} numbers per tile (`dimension`)",
                found=f"shape {piece.shape}",
                fix="correct `dimension`, `pooling` or `model_args` of the card",
            )
    features = np.concatenate([np.empty((0, card.dimension), np.float32), *pieces])
    if not np.isfinite(features).all():
        raise WeightsError(
            "the network gives numbers that are not finite",
            where=f"encoder {card.name}",
            fix="try --precision float32, and check the weights' file",
        )
    return features
