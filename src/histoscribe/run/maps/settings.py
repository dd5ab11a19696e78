"""How maps are made: the settings, and the encoder and mapper that they name."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

import numpy as np

from histoscribe.encoders import Encoder, build_encoder, load_card
from histoscribe.errors import ConfigError
from histoscribe.maps import MAPPERS, Mapper
from histoscribe.maps.autoencoder_settings import AutoencoderSettings
from histoscribe.maps.quality import PUBLISHED
from histoscribe.run.maps.markers import markers_each
from histoscribe.run.requests import ReadOptions
from histoscribe.run.settings import PATH, Settings, checked_values, plain, refuse_unused

NO_ENCODER = "none"
SPOTS = "spots"
_OF_THE_MAP = ("seed", "device")  # options of the autoencoder that are settings of every map


@dataclass(frozen=True, slots=True)
class MapFeatureSettings(Settings):
    """How the picture's cells are described: what the features of a map depend on.

    Parameters
    ----------
    um
        Side of a cell of the raster in microns.
    device, precision
        Of the encoder.
    bins
        As of `MapSettings`.
    """

    um: float
    device: str
    precision: str
    bins: str


@dataclass(frozen=True, slots=True)
class MapSettings(ReadOptions):
    """How maps are made.

    Parameters
    ----------
    genes
        Names, "A,B,C", "top:50" (the most abundant), "markers:4" (the strongest of each domain) or "all".
    um
        Side of a cell of the raster in microns.
    encoder
        Name of an encoder or path of a card; "none" for colours and nuclei alone. "morphology" needs no weights.
    mapper
        "dense" or "autoencoder".
    device
        Where networks compute: "auto", "cpu", "cuda" or "mps".
    precision
        Of the encoder: "auto", "float32" or "bfloat16".
    seed
        Seed of everything random.
    bins
        What the 2 um bins of Visium HD are summed to: "spots" as Visium's, or the side of a larger bin in microns.
    qc
        Quality control, which leaves spots and genes out: none, or published (200 genes per spot, 3 spots per gene,
        30,000 counts per spot at most). Limits that are given beside it win.
    min_genes_per_spot
        Leave out spots with fewer genes.
    min_spots_per_gene
        Leave out genes that are found in fewer of the spots that are left.
    max_counts_per_spot
        Leave out spots with more molecules. For each of the three 0 is no limit.
    autoencoder
        Options of the mapper "autoencoder" by name, for instance {"members": 3}; `AutoencoderSettings` describes them.
    """

    genes: str | tuple[str, ...] = "top:50"
    um: float = 8.0
    encoder: str = field(default="morphology", metadata=PATH)
    mapper: str = "dense"
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0
    bins: str = SPOTS
    qc: Literal["none", "published"] = "none"
    min_genes_per_spot: int | None = None
    min_spots_per_gene: int | None = None
    max_counts_per_spot: int | None = None
    autoencoder: dict[str, Any] = field(default_factory=dict)

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
        wrong = [f"{name} {value}" for name, value in self.limits().items() if value is not None and value < 0]
        if wrong or self.qc not in ("none", "published"):
            raise ConfigError(
                "quality control cannot have these limits",
                where="qc",
                expected="none or published, and limits that are not negative",
                found=", ".join((self.qc, *wrong)),
            )
        self.of_autoencoder()
        markers_each(self.genes)

    @property
    def hd_sum(self) -> str | int:
        """Return `bins` as `hd_section` takes it."""
        return SPOTS if self.bins == SPOTS else int(self.bins)

    def asking(self, genes: str | Sequence[str] | None, *, um: float | None = None) -> "MapSettings":
        """Return the same for other genes and cells, where any are given."""
        names = genes if genes is None or isinstance(genes, str) else tuple(genes)
        return self.updated(genes=names, um=None if um is None else float(um))

    def refuse_unused(self, *, hd: bool) -> None:
        """Refuse settings of an encoder where none is used, and of bins where there are none; raises ConfigError."""
        unused = {} if hd else {"bins": "this section has no bins of 2 um to be summed"}
        if not MAPPERS.get(self.mapper).needs_features:
            unused |= dict.fromkeys(("encoder", "precision"), f"the mapper {self.mapper} learns from pixels")
        elif self.encoder == NO_ENCODER:
            unused |= dict.fromkeys(("device", "precision"), "no encoder is used")
        if not MAPPERS.get(self.mapper).trains:
            unused |= {"autoencoder": f"the mapper {self.mapper} has no networks"}
        refuse_unused(self, unused, command="map")

    def used(self) -> dict[str, Any]:
        """Record of the settings that a map uses."""
        kind = MAPPERS.get(self.mapper)
        left_out = {"autoencoder"} if kind.needs_features else {"autoencoder", "encoder", "precision"}
        used = {name: value for name, value in self.record().items() if name not in left_out}
        used |= self.limits()
        if kind.trains:
            options = asdict(self.of_autoencoder())
            used["autoencoder"] = plain({name: options[name] for name in options if name not in _OF_THE_MAP})
        return used

    def limits(self) -> dict[str, int | None]:
        """Limits of the quality control by name, None for one that is not set: those given, over the preset's."""
        given = {name: getattr(self, name) for name in PUBLISHED}
        preset = PUBLISHED if self.qc == "published" else {}
        return {name: preset.get(name) if value is None else value for name, value in given.items()}

    def of_autoencoder(self) -> AutoencoderSettings:
        """Return how the mapper "autoencoder" is built and trained; raises ConfigError where an option cannot be."""
        hints = {name: hint for name, hint in get_type_hints(AutoencoderSettings).items() if name not in _OF_THE_MAP}
        options = checked_values(plain(self.autoencoder), hints, where="autoencoder")
        return replace(AutoencoderSettings(seed=self.seed, device=self.device), **options)

    def of_features(self) -> MapFeatureSettings:
        """Return what the features of the picture's cells depend on: they serve for other genes and seeds too."""
        return MapFeatureSettings(self.um, self.device, self.precision, self.bins)


def build_map_encoder(settings: MapSettings) -> Encoder | None:
    """Load the encoder that the settings name; None for "none" and for mappers that learn from pixels."""
    if settings.encoder == NO_ENCODER or not MAPPERS.get(settings.mapper).needs_features:
        return None
    card = load_card(settings.encoder, anonymous=settings.anonymous)
    return build_encoder(card, device=settings.device, precision=settings.precision)


def build_mapper(settings: MapSettings, *, training: Path) -> Mapper:
    """Make the mapper that the settings name; one that trains keeps its networks in the folder `training`."""
    kind = MAPPERS.get(settings.mapper)
    if not kind.trains:
        return kind(seed=settings.seed)
    return kind(keep=training, **asdict(settings.of_autoencoder()))
