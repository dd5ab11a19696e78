"""Backend "morphology": hand-made measures of a tile; no weights, no network, no torch.

The default of the demo, and the encoder to use where no weights are available. It measures the amount of each stain,
the scales and directions of its texture, the number, size, shape, spacing and clustering of nuclei-like blobs, and how
strictly fibres are aligned.
"""

from dataclasses import dataclass

import numpy as np

from histoscribe.encoders import morphology_measures as measures
from histoscribe.encoders.base import RGB, Availability, Choice, Encoder, Features, check_tiles, joined
from histoscribe.encoders.batches import cpu_count, run_batches
from histoscribe.encoders.card import Card
from histoscribe.errors import ConfigError

_CHOICE = Choice(batch_size=4)


@dataclass(frozen=True, slots=True)
class MorphologyBackend:
    """Makes the `morphology` encoder."""

    def build(self, card: Card, *, device: str, precision: str) -> Encoder:
        """Make the encoder; raises ConfigError for a device or precision that it does not have."""
        if device not in ("auto", "cpu") or precision not in ("auto", "float32"):
            raise ConfigError(
                "morphology runs on the processor in float32",
                where=f"encoder {card.name}",
                found=f"device {device!r}, precision {precision!r}",
            )
        return MorphologyEncoder(card)

    def availability(self, card: Card) -> Availability:
        """Return that nothing is needed."""
        return Availability(True, "needs no weights")


BACKEND = MorphologyBackend()


class MorphologyEncoder:
    """Measures of stain, texture and structure."""

    def __init__(self, card: Card, choice: Choice = _CHOICE) -> None:
        self.card = card
        self.choice = choice

    def with_choice(self, choice: Choice) -> "MorphologyEncoder":
        """Return the same encoder with another batch size."""
        return MorphologyEncoder(self.card, choice)

    def encode(self, tiles: RGB) -> Features:
        """Measures of each tile, (n, dimension) float32; see `Encoder`."""
        check_tiles(tiles, self.card)
        rows = run_batches(measure, tiles, batch_size=self.choice.batch_size, workers=cpu_count())
        return joined(rows, self.card)

    def encode_grid(self, tiles: RGB) -> Features:
        """Refuse: these are measures of a whole tile; raises ConfigError."""
        raise ConfigError(
            "morphology measures whole tiles and has no grid of features",
            where=f"encoder {self.card.name}",
            fix="choose a timm or ONNX encoder",
        )


def measure(tiles: RGB) -> Features:
    """All measures of a batch (n, h, h, 3) uint8, (n, d) float32."""
    stain = measures.stains(tiles)  # (3, n, h, h)
    blocks = [
        measures.amounts(stain),
        measures.spectra(stain),
        measures.blobs(stain[0]),
        measures.patterns(stain[0], steps=(1, 3)),
        measures.patterns(stain[1], steps=(2,)),
        measures.fibres(stain[0]),
        measures.fibres(stain[1]),
        measures.nuclei(stain),
    ]
    return np.concatenate(blocks, axis=1)
