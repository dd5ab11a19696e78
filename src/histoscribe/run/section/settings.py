"""What can be asked of the chain of one section: the settings of `run`, `domains` and `nuclei`."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_type_hints

from histoscribe.domains.affinity import EdgeWeight
from histoscribe.domains.clustering import Clustering
from histoscribe.domains.efnst_settings import EfnstSettings
from histoscribe.errors import ConfigError
from histoscribe.nuclei.canvas import BLOCK_PX
from histoscribe.run.requests import ReadOptions
from histoscribe.run.settings import PATH, Settings, checked_values, plain, read_settings, refuse_unused

# finds the domains of several sections together
JOINT_METHOD = "efnst"
_PICTURE_ONLY = (
    "tile_um",
    "stain",
    "stain_reference",
    "align",
    "nuclei",
    "maps",
    "map_um",
    "device",
    "precision",
)


@dataclass(frozen=True, slots=True)
class RunConfig(ReadOptions):
    """Settings of a run.

    Parameters
    ----------
    encoder
        Name of an encoder (`histoscribe encoders` lists them), or path of a card in TOML.
    tile_um
        Side of the square of tissue that describes a spot, in microns, or auto for the median distance of neighbouring
        spots; 112 where not given, or 48 for bins of up to 24.
    method
        Domain method: niche, efnst or histology; auto for niche where there are counts, histology where there are none.
    n_domains
        Number of domains, obeyed exactly; chosen with evidence where not given.
    consensus
        Run the method over seeds, numbers of domains and block weights, and return what they agree on.
    weights
        Weight of feature blocks by name (counts, depth, image, nuclei, position), over the method's own; that of
        position is the weight of space.
    neighbours
        How many of the nearest spots are a spot's neighbours; those beside it in the assay's lattice where not given.
    components
        Principal components kept of each feature block; the method's own where not given.
    clustering
        What divides the features: a Gaussian mixture, or leiden or louvain communities of the graph of similar spots;
        mixture for niche and efnst, leiden for histology where not given.
    edge_weight
        How the edges of that graph are weighed: gaussian (of the distance in features, where not given) or cosine.
    efnst
        Options of the method efnst by name, for instance {"epochs": 80}; `EfnstSettings` describes them.
    joint
        Find the domains of all sections of a sample sheet together, by efnst, so that a number means the same in all of
        them. Differences between the sections are removed by standardising every feature within each (standardised),
        by an adversary (adversarial), or both; none to find them section by section.
    skip_refused
        With joint: leave refused sections out and say so, instead of refusing all, since the others' domains depend on
        them.
    umap
        Lay the spots out by UMAP too, for the page and as X_umap in section.zarr; needs the package umap-learn.
    stain
        Stain normalisation of the tiles: none, macenko or reinhard.
    stain_reference
        Path of the section or picture that gives the tiles its look; the normalisation is fitted on that one alone.
    nuclei
        Segmenter of nuclei (classical, stardist, instanseg), or none; its measurements join the domains' features.
    nuclei_model
        Weights of the segmenter as a zip file, where not the published ones.
    nuclei_prob_threshold, nuclei_nms_threshold
        As prob_threshold and nms_threshold of the command nuclei.
    maps
        Genes to map finer than the spots: A,B,C or top:50 or all, or markers:4, the strongest of each domain.
    map_um
        Side of a cell of the maps in microns.
    device
        Where networks compute: auto, cpu, cuda or mps.
    precision
        Of the encoder: auto, float32 or bfloat16.
    seed
        Seed of everything random.
    """

    encoder: str = field(default="efficientnet_b0", metadata=PATH)
    tile_um: float | Literal["auto"] | None = None
    method: str = "auto"
    n_domains: int | None = None
    consensus: bool = False
    weights: dict[str, float] = field(default_factory=dict)
    neighbours: int | None = None
    components: int | None = None
    clustering: Clustering | None = None
    edge_weight: EdgeWeight | None = None
    efnst: dict[str, Any] = field(default_factory=dict)
    joint: Literal["none", "standardised", "adversarial", "both"] = "none"
    skip_refused: bool = False
    umap: bool = False
    stain: Literal["none", "macenko", "reinhard"] = "none"
    stain_reference: str | None = field(default=None, metadata=PATH)
    nuclei: str = "none"
    nuclei_model: Path | None = field(default=None, metadata=PATH)
    nuclei_prob_threshold: float | None = None
    nuclei_nms_threshold: float | None = None
    maps: str = ""
    map_um: float = 8.0
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values that no stage could use."""
        problems = []
        if self.tile_um is not None and self.tile_um != "auto" and not self.tile_um > 0:
            problems.append(f"tile_um must be above 0 microns, or auto, not {self.tile_um}")
        for name in ("n_domains", "neighbours", "components"):
            value = getattr(self, name)
            if value is not None and value < 1:
                problems.append(f"{name} must be at least 1, not {value}")
        if self.joint != "none" and (self.method not in ("auto", "efnst") or self.consensus):
            problems.append("joint domains are found by efnst, without consensus")
        if self.skip_refused and self.joint == "none":
            problems.append("skip_refused is given without joint: a refused section holds up no other")
        if self.stain not in ("none", "macenko", "reinhard"):
            problems.append(f"stain must be none, macenko or reinhard, not {self.stain!r}")
        if (self.stain == "none") != (self.stain_reference is None):
            problems.append("stain and stain_reference are given together or not at all")
        of_nuclei = (self.nuclei_model, self.nuclei_prob_threshold, self.nuclei_nms_threshold)
        if self.nuclei == "none" and any(value is not None for value in of_nuclei):
            problems.append("settings of nuclei are given without nuclei, the segmenter")
        if not self.map_um > 0:
            problems.append(f"map_um must be above 0 microns, not {self.map_um}")
        if not self.maps and self.map_um != RunConfig.__dataclass_fields__["map_um"].default:
            problems.append("map_um is given without maps, the genes to map")
        if self.seed < 0:
            problems.append(f"seed must not be negative, as {self.seed} is")
        if problems:
            raise ConfigError("; ".join(problems), where="configuration")
        self.of_efnst()

    @property
    def asked_method(self) -> str:
        """Name of the domain method that is asked for, or auto."""
        return self.method if self.joint == "none" else JOINT_METHOD

    def of_efnst(self) -> EfnstSettings:
        """Return how EfNST is built and trained; raises ConfigError where an option cannot be."""
        hints = {name: hint for name, hint in get_type_hints(EfnstSettings).items() if name != "device"}
        options = checked_values(plain(self.efnst), hints, where="efnst")
        return replace(EfnstSettings(device=self.device), **options)

    def refuse_unused(self, *, picture: bool, command: str) -> None:
        """Refuse settings of a picture where there is none; raises ConfigError."""
        if not picture:
            unused = dict.fromkeys(_PICTURE_ONLY, "this section has no picture")
            if self.asked_method == "efnst":
                del unused["device"]  # its own network computes there
            refuse_unused(self, unused, command=command)


@dataclass(frozen=True, slots=True)
class TileSettings(Settings):
    """How the picture under and around each spot is turned into numbers.

    Parameters
    ----------
    tile_um
        Side of the tile in microns.
    device, precision
        Of the encoder.
    """

    tile_um: float
    device: str = "auto"
    precision: str = "auto"


@dataclass(frozen=True, slots=True)
class NucleiSettings(ReadOptions):
    """How nuclei are found.

    Parameters
    ----------
    segmenter
        "classical" needs no weights; "stardist" runs the published H&E model without TensorFlow; "instanseg" a model of
        InstanSeg.
    model
        Weights of the segmenter as a zip file, where not the published ones.
    prob_threshold
        Least probability of a nucleus, from 0 to 1, for stardist; 0.5 where not given.
    nms_threshold
        Overlap of two outlines from which they are one nucleus, from 0 to 1, for stardist; 0.4 where not given.
    block_px
        Side of the blocks that a slide is worked through in, in pixels at the segmenter's scale; smaller ones need less
        memory. Which nuclei are found does not depend on it, in which order they are numbered does.
    device
        Where stardist and instanseg compute: auto, cpu or cuda; mps for instanseg alone.
    """

    segmenter: str = "classical"
    model: Path | None = field(default=None, metadata=PATH)
    prob_threshold: float | None = None
    nms_threshold: float | None = None
    block_px: int = BLOCK_PX
    device: str = "auto"

    def __post_init__(self) -> None:
        """Refuse values that no segmenter could use."""
        problems = []
        for name in ("prob_threshold", "nms_threshold"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                problems.append(f"{name} must lie between 0 and 1, not at {value}")
        if self.block_px < 256:
            problems.append(f"block_px must be at least 256, not {self.block_px}")
        if problems:
            raise ConfigError("; ".join(problems), where="nuclei")


@dataclass(frozen=True, slots=True)
class SavedTileSettings(ReadOptions):
    """How tiles are saved as pictures.

    Parameters
    ----------
    tile_um
        Side of the square of tissue around a spot, in microns, or auto for the median distance of neighbouring spots;
        112 where not given, or 48 for bins of up to 24.
    px
        Side of a tile in pixels; as many as the picture has there where not given.
    """

    tile_um: float | Literal["auto"] | None = None
    px: int | None = None

    def __post_init__(self) -> None:
        """Refuse sizes that are none."""
        for name in ("tile_um", "px"):
            value = getattr(self, name)
            if value is not None and value != "auto" and not value > 0:
                raise ConfigError("a tile has a size above 0", where=name, found=value)


@dataclass(frozen=True, slots=True)
class DomainSettings(Settings):
    """What is asked of the domain stage.

    Parameters
    ----------
    method
        Name of a registered method.
    n_domains
        Obeyed exactly; None to have it chosen.
    weights
        By block name, over the method's own.
    seed
        Of everything random.
    consensus
        Whether the method runs over seeds, numbers and weights and they vote.
    neighbours
        Nearest spots that are a spot's neighbours; None for those beside it in the lattice.
    options
        Further arguments of the method by name.
    """

    method: str
    n_domains: int | None = None
    weights: dict[str, float] = field(default_factory=dict)
    seed: int = 0
    consensus: bool = False
    neighbours: int | None = None
    options: dict[str, Any] = field(default_factory=dict)


def read_config(path: Path, defaults: RunConfig | None = None) -> RunConfig:
    """Read a run.toml: the names of `RunConfig`, at the top level.

    Raises
    ------
    ConfigError
        Where the file cannot be read, or holds a name or a type that is not of `RunConfig`.
    """
    return read_settings(path, RunConfig, defaults=defaults)
