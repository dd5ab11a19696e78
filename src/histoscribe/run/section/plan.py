"""What is to be done with one section: settled before any work, so that nothing that can be refused is begun."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from typing import Any

from histoscribe.domains import DOMAINS
from histoscribe.domains.clustering import Divider
from histoscribe.encoders import Encoder, build_encoder, load_card
from histoscribe.encoders.stain import StainedEncoder, StainReference
from histoscribe.errors import ConfigError, InputError, listing
from histoscribe.io.reading import Request
from histoscribe.nuclei import SEGMENTERS, Segmenter
from histoscribe.run.inputs import Input, read_slide
from histoscribe.run.maps.plan import MapPlan, plan_maps
from histoscribe.run.maps.settings import MapSettings
from histoscribe.run.section.blocks import chosen_method, chosen_tile_um, has_small_bins
from histoscribe.run.section.domains import domains_stage
from histoscribe.run.section.laid_out import laid_out
from histoscribe.run.section.settings import DomainSettings, NucleiSettings, RunConfig, SavedTileSettings, TileSettings
from histoscribe.run.section.umap import require_umap
from histoscribe.run.settings import Settings
from histoscribe.section import Section

NONE = "none"


@dataclass(frozen=True, slots=True, eq=False)
class TilePlan:
    """How the picture around each spot is described.

    Parameters
    ----------
    stain
        Record of the reference that gives the encoder's tiles their colours, or None.
    """

    encoder: Encoder
    settings: TileSettings
    stain: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class NucleiPlan:
    """How nuclei are found."""

    segmenter: Segmenter
    settings: NucleiSettings


@dataclass(frozen=True, slots=True, eq=False)
class DomainPlan:
    """How each spot gets its domain.

    Parameters
    ----------
    find
        Called with the folder to write domains.csv and domains.json into, the folder with what earlier stages made, and
        the names of those stages; returns facts, `n_domains` among them.
    reads
        What was learnt elsewhere and is used here.
    """

    settings: Settings
    find: Callable[[Path, Path, Sequence[str]], dict[str, Any]]
    reads: Any = None


@dataclass(frozen=True, slots=True, eq=False)
class PredictionPlan:
    """How a fitted model predicts the spots.

    Parameters
    ----------
    settings
        Which model, and what the record says of it.
    predict
        Called with the folder to write into; returns facts, `targets` among them. Goes on where it was stopped.
    reads
        Whatever else the predictions depend on.
    """

    settings: Mapping[str, Any]
    predict: Callable[[Path], dict[str, Any]]
    reads: Any


@dataclass(frozen=True, slots=True, eq=False)
class SavedTilesPlan:
    """How tiles are saved as pictures.

    Parameters
    ----------
    tile_um
        Their side in microns, settled for this section.
    """

    settings: SavedTileSettings
    tile_um: float


@dataclass(frozen=True, slots=True, eq=False)
class Plan:
    """The stages that a command asks for; None for one that it does not.

    Parameters
    ----------
    umap_seed
        Seed of UMAP.
    keeps_domains
        Whether domains that the older result holds serve as well, however they were found.
    """

    tiles: TilePlan | None = None
    saved_tiles: SavedTilesPlan | None = None
    nuclei: NucleiPlan | None = None
    domains: DomainPlan | None = None
    umap_seed: int | None = None
    maps: MapPlan | None = None
    predictions: PredictionPlan | None = None
    keeps_domains: bool = False


def plan_run(given: Input, config: RunConfig, *, command: str = "run") -> Plan:
    """Settle every setting of a run for this section.

    Raises
    ------
    HistoscribeError
        Whatever a stage would refuse later.
    """
    section = given.section
    name = f"section {section.name!r}"
    if section.image is None and not section.has_counts:
        raise InputError(
            "there is neither a picture nor counts, so there is nothing to find domains in",
            where=name,
            found="; ".join(given.notes) or None,
            fix="give raw counts, or the H&E image",
        )
    n_spots = int(section.measured.sum())
    if config.n_domains is not None and config.n_domains > n_spots:
        raise ConfigError(
            f"{config.n_domains:,} domains cannot be made of {n_spots:,} measured spots",
            where=name,
            fix="ask for fewer domains with --n-domains",
        )
    if config.maps and has_small_bins(section):
        raise ConfigError(
            "maps are not made from bins as small as these, one by one",
            where=name,
            fix="leave --map out; the command histoscribe map sums the bins to spots and maps those",
        )
    config.refuse_unused(picture=section.image is not None, command=command)
    method = chosen_method(section, config.asked_method)
    if method == "histology":
        section.require_image()
    if config.umap:
        require_umap()
    settings = DomainSettings(
        method,
        config.n_domains,
        config.weights,
        config.seed,
        config.consensus,
        config.neighbours,
        method_options(method, config),
    )
    nuclei = _nuclei_settings(config)
    return Plan(
        tiles=None if section.image is None else plan_tiles(section, config),
        nuclei=None if config.nuclei == NONE else NucleiPlan(build_segmenter(nuclei), nuclei),
        domains=DomainPlan(settings, partial(domains_stage, section=section, settings=settings)),
        umap_seed=config.seed if config.umap else None,
        maps=plan_maps(given, _map_settings(config)) if config.maps else None,
    )


def plan_saved_tiles(given: Input, settings: SavedTileSettings) -> SavedTilesPlan:
    """Settle how the tiles of this section are saved; raises InputError where it has no picture."""
    given.section.require_image()
    return SavedTilesPlan(settings, chosen_tile_um(given.section, settings.tile_um))


def method_options(method: str, config: RunConfig) -> dict[str, Any]:
    """Return the settings that are given and that the domain method takes beside those that every method has.

    Raises
    ------
    ConfigError
        Where one is given that the method does not take, or that cannot be.
    """
    given = {name: getattr(config, name) for name in ("components", "clustering", "edge_weight")}
    given = {name: value for name, value in given.items() if value is not None}
    if method == "efnst":
        given["settings"] = config.of_efnst()
    elif config.efnst:
        given["efnst"] = config.efnst
    taken = signature(DOMAINS.get(method)).parameters
    refused = [name for name in given if name not in taken]
    if refused:
        raise ConfigError(
            f"the method {method} has no setting {listing(refused)}",
            where="domains",
            found=listing([f"{name} = {given[name]}" for name in refused]),
            fix=f"leave {listing(refused)} out",
        )
    if given.keys() & {"clustering", "edge_weight"}:
        Divider(given.get("clustering", taken["clustering"].default), given.get("edge_weight"))
    return given


def build_segmenter(settings: NucleiSettings) -> Segmenter:
    """Build the segmenter that the settings name; raises ConfigError where it does not take what is given."""
    made, usual = SEGMENTERS.get(settings.segmenter), NucleiSettings()
    takes = getattr(made, "takes", ())
    given = {name: getattr(settings, name) for name in ("model", "prob_threshold", "nms_threshold", "device")}
    given = {name: value for name, value in given.items() if value != getattr(usual, name)}
    refused = [name for name in given if name not in takes]
    if refused:
        raise ConfigError(
            f"the segmenter {settings.segmenter} takes no {listing(refused)}",
            where="nuclei",
            fix=f"leave {listing(refused)} out, or choose stardist" + (" or instanseg" if refused == ["model"] else ""),
        )
    built: Segmenter = made(**given)
    return built


def plan_tiles(section: Section, config: RunConfig) -> TilePlan:
    """Settle how the picture around each spot is described; raises HistoscribeError as `plan_run` does."""
    tile_um = chosen_tile_um(section, config.tile_um)
    settings = TileSettings(tile_um, config.device, config.precision)
    card = load_card(config.encoder, anonymous=config.anonymous)
    encoder = build_encoder(card, device=config.device, precision=config.precision)
    if config.stain_reference is None:
        return TilePlan(encoder, settings)
    reference = Request(
        path=Path(config.stain_reference), allow_damaged=config.allow_damaged, anonymous=config.anonymous
    )
    fitted = StainReference.fit(laid_out(read_slide(reference)), config.stain, tile_um=tile_um)
    return TilePlan(StainedEncoder(encoder, fitted.on(section)), settings, fitted.record())


def _nuclei_settings(config: RunConfig) -> NucleiSettings:
    given: dict[str, Any] = {
        "model": config.nuclei_model,
        "prob_threshold": config.nuclei_prob_threshold,
        "nms_threshold": config.nuclei_nms_threshold,
    }
    if config.nuclei != NONE and "device" in getattr(SEGMENTERS.get(config.nuclei), "takes", ()):
        given["device"] = config.device
    return NucleiSettings(segmenter=config.nuclei).updated(**given, **config.reading())


def _map_settings(config: RunConfig) -> MapSettings:
    settings = MapSettings(
        genes=config.maps,
        um=config.map_um,
        encoder=config.encoder,
        device=config.device,
        precision=config.precision,
        seed=config.seed,
    )
    return settings.updated(**config.reading())
