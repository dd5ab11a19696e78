"""Keyword options that the functions on objects share."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypedDict, TypeVar, cast, get_type_hints

from histoscribe.errors import ConfigError, nearest
from histoscribe.io.formats import as_request
from histoscribe.io.reading import Request
from histoscribe.run.domains import ENCODER
from histoscribe.run.events import Listener
from histoscribe.run.section.settings import RunConfig
from histoscribe.run.settings import Settings, checked_values

S = TypeVar("S", bound=Settings)


class ReadingOptions(TypedDict, total=False):
    """Which section of an object is meant, and what is known of it.

    Parameters
    ----------
    table_name
        Table of a SpatialData object; needed where it holds several.
    image_key
        Picture: the name of a SpatialData object's image, or of one in `uns["spatial"]`, "hires" or "lowres".
    image
        Path of a better picture than the object holds, such as the full-resolution one.
    section
        Name of one of several sections in the object.
    section_column
        Column of `obs` that names them, where it is not found out.
    mpp
        Microns per pixel of the picture, where the object does not say so or says it wrongly.
    scale
        Frame of `image`, as of `Request`; found out where not given.
    align
        Move the spots by the one shift that fits them to the tissue best.
    allow_damaged
        Read an `image` that is known to be damaged, with a note.
    listen
        Called with every event, such as progress.
    """

    table_name: str
    image_key: str
    image: str | Path
    section: str
    section_column: str
    mpp: float
    scale: str | float
    align: bool
    allow_damaged: bool
    listen: Listener


class EmbeddingOptions(ReadingOptions, total=False):
    """How the picture is described, as of `RunConfig`, beside the reading."""

    tile_um: float | str
    stain: str
    stain_reference: str
    device: str
    precision: str


class DomainOptions(EmbeddingOptions, total=False):
    """Any further setting of the command `domains`, as of `RunConfig`, beside the reading."""

    method: str
    encoder: str
    consensus: bool
    weights: dict[str, float]
    neighbours: int
    components: int
    clustering: str
    edge_weight: str
    efnst: dict[str, Any]
    nuclei: str
    nuclei_model: Path
    nuclei_prob_threshold: float
    nuclei_nms_threshold: float
    seed: int


class MapOptions(ReadingOptions, total=False):
    """Any further setting of the command `map`, as of `MapSettings`, beside the reading."""

    encoder: str
    mapper: str
    device: str
    precision: str
    seed: int
    qc: str
    min_genes_per_spot: int
    min_spots_per_gene: int
    max_counts_per_spot: int
    autoencoder: dict[str, Any]


_OF_OBJECT = ("table_name", "image_key", "listen")


def request_of(options: ReadingOptions) -> Request:
    """Return what is said of the section, for its reader."""
    of_reading = ReadingOptions.__annotations__.keys() - set(_OF_OBJECT)
    return as_request(Request(), **{name: value for name, value in options.items() if name in of_reading})


def config_of(options: DomainOptions | EmbeddingOptions, **given: Any) -> RunConfig:
    """Return settings of the chain: those of the command `domains` where nothing else is given; raises ConfigError."""
    return settings_of({**options, **given}, RunConfig(encoder=ENCODER))


def settings_of(options: Mapping[str, Any], usual: S) -> S:
    """Return settings in which the options that belong to them stand; raises ConfigError where one cannot be."""
    hints = get_type_hints(type(usual))
    chosen = {name: value for name, value in options.items() if name in hints and value is not None}
    return cast("S", replace(cast("Any", usual), **checked_values(chosen, hints, where="options")))


def require_known(options: ReadingOptions, kind: type) -> None:
    """Refuse options that a function does not take; raises ConfigError with the nearest name."""
    for name in options:
        if name not in kind.__annotations__:
            raise ConfigError(f"there is no option {name!r}", fix=nearest(name, sorted(kind.__annotations__)))
