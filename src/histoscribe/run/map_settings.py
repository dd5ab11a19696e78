"""How maps are made: the settings, and the encoder and mapper that they name."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from histoscribe.encoders import Encoder, build_encoder, load_card
from histoscribe.errors import ConfigError
from histoscribe.maps import MAPPERS, Mapper

NO_ENCODER = "none"
SPOTS = "spots"


@dataclass(frozen=True, slots=True)
class MapSettings:
    """How maps are made.

    Parameters
    ----------
    genes
        Names, "A,B,C", "top:50" (the most abundant) or "all".
    um
        Side of a cell of the raster in microns.
    encoder
        Name of an encoder or path of a card; "none" for colours and nuclei alone. "morphology" needs no weights.
    mapper
        "dense" or "autoencoder".
    device, precision
        Of the encoder, and the device of the autoencoder.
    seed
        Of everything random.
    bins
        What the 2 um bins of Visium HD are summed to: "spots" as Visium's, or the side of a larger bin in microns. Of
        no account for other platforms.
    """

    genes: str | tuple[str, ...] = "top:50"
    um: float = 8.0
    encoder: str = "morphology"
    mapper: str = "dense"
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0
    bins: str = SPOTS

    def __post_init__(self) -> None:
        """Refuse what no map could use."""
        if self.seed < 0 or not (np.isfinite(self.um) and self.um > 0):
            raise ConfigError(
                "the settings of a map are out of range",
                where="maps",
                expected="um above 0, a seed that is not negative",
                found=f"um {self.um}, seed {self.seed}",
            )
        if self.bins != SPOTS and not (self.bins.isdecimal() and int(self.bins) >= 4 and int(self.bins) % 2 == 0):
            raise ConfigError(
                "bins of 2 um cannot be summed to this",
                where="bins",
                expected='"spots", or a side in microns: 8, 16 or another multiple of 2',
                found=self.bins,
            )

    @property
    def hd_sum(self) -> str | int:
        """Return `bins` as `hd_section` takes it."""
        return SPOTS if self.bins == SPOTS else int(self.bins)

    def asking(self, genes: str | Sequence[str], *, um: float | None = None) -> "MapSettings":
        """Return the same for other genes and cells."""
        names = genes if isinstance(genes, str) else tuple(genes)
        return replace(self, genes=names, um=self.um if um is None else float(um))

    def told(self) -> dict[str, Any]:
        """Return the settings for a record: no path of this computer."""
        told = asdict(self) | {"encoder": Path(self.encoder).stem}
        return told | {"genes": self.genes if isinstance(self.genes, str) else list(self.genes)}


def build_map_encoder(settings: MapSettings) -> Encoder | None:
    """Load the encoder that the settings name; None for "none" and for mappers that learn from pixels."""
    if settings.encoder == NO_ENCODER or not MAPPERS.get(settings.mapper).needs_features:
        return None
    return build_encoder(load_card(settings.encoder), device=settings.device, precision=settings.precision)


def build_mapper(settings: MapSettings, *, training: Path) -> Mapper:
    """Make the mapper that the settings name; one that trains keeps its networks in the folder `training`."""
    kind = MAPPERS.get(settings.mapper)
    if not kind.trains:
        return kind(seed=settings.seed)
    return kind(seed=settings.seed, device=settings.device, keep=training)
