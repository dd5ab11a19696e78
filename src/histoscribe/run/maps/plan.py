"""Which maps are to be made of one section, settled before any work."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from histoscribe.encoders import Encoder
from histoscribe.errors import ConfigError
from histoscribe.io.aliases import section_alias
from histoscribe.maps import MAPPERS
from histoscribe.maps.cells import BASIS, Basis
from histoscribe.maps.grid import Grid, make_grid, tissue_cells
from histoscribe.maps.problem import chosen_genes, counted, map_cells, model_grid
from histoscribe.maps.quality import PUBLISHED, Quality, passing
from histoscribe.maps.read import read_maps
from histoscribe.maps.store import StoredMap
from histoscribe.maps.windows import least_cell_um
from histoscribe.run.inputs import Input
from histoscribe.run.maps.markers import markers_each, strongest_markers
from histoscribe.run.maps.novelty import require_same_scale
from histoscribe.run.maps.settings import NO_ENCODER, MapSettings, build_map_encoder, build_mapper
from histoscribe.run.maps.space import needed_bytes
from histoscribe.run.section.files import CELLS
from histoscribe.run.settings import refuse_unused
from histoscribe.section import Section
from histoscribe.store import arrays
from histoscribe.store.files import fingerprint
from histoscribe.store.manifest import read_manifest

_MANY_CELLS = 10_000_000  # fifteen times a whole Visium section at 8 um
_CELLS_A_MINUTE = 2_000_000  # measured on one core: 269 s for 9 million
_MOST_DOMAINS = 50  # of which there is certainly room for the markers
_UNUSED_WITH_MODEL = {
    "seed": "nothing here is drawn at random",
    "bins": "the slide's counts are not looked at",
    "mapper": "the model was made by one",
    "autoencoder": "the model was made by one",
    **dict.fromkeys(("qc", *PUBLISHED), "the slide's counts are not looked at"),
}


@dataclass(frozen=True, slots=True, eq=False)
class MapModel:
    """What was learnt on another section, for a slide without counts.

    Parameters
    ----------
    stored
        Its map.
    cells
        Folder of the features of its cells.
    section
        Its name, or one after its hash where nothing may be named.
    fingerprint
        Of its maps and features: another model of the same section is another model.
    """

    stored: StoredMap
    cells: Path
    section: str
    fingerprint: str

    @property
    def um(self) -> float:
        """Side of the cells that the model works on, in microns."""
        return float(self.stored.facts["model_um"])

    def basis(self) -> Basis | None:
        """Projection of the encoder's features, as the model's section has it; None without an encoder."""
        if not (self.cells / BASIS).is_dir():
            return None
        kept = np.asarray(arrays.open_array(self.cells / BASIS)[...], np.float32)
        return Basis(kept[0], kept[1:].T)


@dataclass(frozen=True, slots=True, eq=False)
class MapPlan:
    """How the maps of a section are made.

    Parameters
    ----------
    encoder
        None for colours and nuclei alone, and for mappers that learn from pixels.
    needed_bytes
        How much room on the disk they need at most.
    fine
        Bins by which the map can be scored, where the section's spots were summed from them.
    model
        Where the section is a slide without counts: what was learnt on another section.
    quality
        What passes the quality control; None where there is none and no spot is dead.
    notes
        What was decided in settling it.
    n_cells
        Number of cells of the grid that is asked for.
    """

    settings: MapSettings
    encoder: Encoder | None
    needed_bytes: int
    n_cells: int
    fine: Section | None = None
    model: MapModel | None = None
    quality: Quality | None = None
    notes: tuple[str, ...] = ()

    @property
    def markers(self) -> int | None:
        """How many markers of each domain are mapped; None where the genes are named."""
        return markers_each(self.settings.genes)

    def naming(self, given: Input, done: Path) -> "MapPlan":
        """Return the same with its genes named, where they are the markers of the domains in the folder `done`."""
        if self.markers is None:
            return self
        spots = given.section.spots
        left_out = () if self.quality is None else spots.var_names[~self.quality.genes]
        genes, note = strongest_markers(done, self.markers, barcodes=spots.obs_names, left_out=set(left_out))
        return replace(self, settings=self.settings.asking(genes), notes=(*self.notes, note))

    def passed(self, given: Input) -> Input:
        """Return a section with the spots and genes that passed the quality control: all that a map knows of it."""
        return given if self.quality is None else replace(given, section=_passed(given.section, self.quality))

    def costs(self) -> str | None:
        """Say what so fine a grid costs, before the work; None where it is no finer than maps usually are."""
        if self.n_cells < _MANY_CELLS:
            return None
        minutes = self.n_cells / _CELLS_A_MINUTE
        return (
            f"{self.n_cells / 1e6:,.0f} million cells of {self.settings.um:g} um are to be written: about "
            f"{minutes:,.0f} minutes on a laptop, and up to {self.needed_bytes / 1e9:,.1f} GB on the disk. With --um "
            f"{10 * self.settings.um:g} it is a hundredth; little can be known finer than a nucleus."
        )

    @property
    def needs_features(self) -> bool:
        """Whether the mapper reads what the picture's cells show."""
        return self.model is not None or MAPPERS.get(self.settings.mapper).needs_features

    @property
    def trains(self) -> bool:
        """Whether the mapper has networks to be trained first."""
        return self.model is None and MAPPERS.get(self.settings.mapper).trains

    def working_grid(self, section: Section) -> Grid:
        """Cells that the model works on: as small as asked for, as far as the picture and the encoder allow."""
        image = section.require_image()
        if self.model is not None:
            return make_grid(image, um=self.model.um)
        return model_grid(image, um=max(self.settings.um, least_cell_um(self.encoder)))

    def card(self) -> dict[str, Any] | None:
        """Card of the encoder, for the record."""
        return None if self.encoder is None else self.encoder.card.to_dict()

    def model_record(self) -> dict[str, str] | None:
        """Return which model it is, for the record."""
        return None if self.model is None else {"section": self.model.section, "fingerprint": self.model.fingerprint}

    def used(self) -> dict[str, Any]:
        """Record of the settings that are used."""
        used = self.settings.used()
        return used if self.model is None else {k: v for k, v in used.items() if k not in _UNUSED_WITH_MODEL}


def plan_maps(given: Input, settings: MapSettings, *, hd: bool = False, fine: Section | None = None) -> MapPlan:
    """Settle how a section with counts is mapped.

    Parameters
    ----------
    hd
        Whether its spots were summed from bins of Visium HD.

    Raises
    ------
    HistoscribeError
        Whatever a stage would refuse later: an absent gene, no counts, no tissue, settings that are of no use here.
    """
    section = given.section
    settings.refuse_unused(hd=hd)
    _require_tissue(given)
    encoder = build_map_encoder(settings)
    build_mapper(settings, training=Path())  # refuses options that cannot be
    counts, _ = counted(section)
    quality, left_out = None, frozenset[str]()
    limited = any(settings.limits().values())
    if limited or not section.measured.all():
        quality = passing(counts, settings.limits(), measured=section.measured, where=f"section {section.name!r}")
        left_out = frozenset(section.spots.var_names[~quality.genes])
        fine = None if fine is None else _bins_of(fine, section, quality)
        section = _passed(section, quality)
        counts, _ = counted(section)
    each = markers_each(settings.genes)
    if each is None:
        most = len(chosen_genes(settings.genes, section.spots.var_names, counts, left_out=left_out))
    else:
        most = min(each * _MOST_DOMAINS, section.spots.n_vars)
    grid = make_grid(section.require_image(), um=settings.um)
    map_cells(section, grid, given.mask)
    notes = (quality.sentence(),) if quality is not None and limited else ()
    needed = needed_bytes(section, grid, genes=most)
    return MapPlan(settings, encoder, needed, grid.size, fine, quality=quality, notes=notes)


def plan_slide(given: Input, settings: MapSettings, *, model: Path) -> MapPlan:
    """Settle how a slide is mapped with the maps in the folder `model`; its own counts are not looked at.

    Raises
    ------
    HistoscribeError
        Another encoder or scale than the model's, an absent gene, settings that are of no use here.
    """
    refuse_unused(settings, _UNUSED_WITH_MODEL, command="map --model")
    if markers_each(settings.genes) is not None:
        raise ConfigError(
            "the counts of a slide that is mapped with a model are not looked at, so no markers are found on it",
            where="genes",
            found=settings.genes,
            fix="name genes of the model, or ask for all",
        )
    section = given.section
    known = read_maps(model).stored
    require_same_scale(known, section.require_image(), name=section.name)
    _require_tissue(given)
    encoder = build_map_encoder(settings)
    _require_encoder(known, encoder, where=model)
    asked = chosen_genes(settings.genes, known.genes, known.counts)
    grid = make_grid(section.require_image(), um=settings.um)
    tissue_cells(grid, given.mask, where=f"section {section.name!r}")
    files = {
        name: facts["sha256"]
        for name, facts in read_manifest(model)["files"].items()
        if facts.get("stage") in ("cells", "maps")
    }
    name = section_alias([model / "maps" / "map.json"]) if settings.anonymous else known.section
    learnt = MapModel(known, model / CELLS, name, fingerprint(files))
    return MapPlan(settings, encoder, needed_bytes(section, grid, genes=len(asked)), grid.size, model=learnt)


def _passed(section: Section, quality: Quality) -> Section:
    return replace(section, spots=section.spots[quality.spots, quality.genes].copy())


def _bins_of(fine: Section, section: Section, quality: Quality) -> Section:
    """Return the bins without those that lie nearest to a spot that is left out: they are of its molecules."""
    owner = cKDTree(section.xy_px).query(fine.xy_px)[1]
    return replace(fine, spots=fine.spots[quality.spots[owner]].copy())


def _require_tissue(given: Input) -> None:
    grid = make_grid(given.section.require_image(), um=50.0)
    tissue_cells(grid, given.mask, where=f"section {given.section.name!r}")


def _require_encoder(known: StoredMap, encoder: Encoder | None, *, where: Path) -> None:
    if not known.factors.transfer:
        raise ConfigError(
            "nothing can be mapped with these maps: they come from another model, or from a mapper other than dense",
            where=where,
            found=f"mapper {known.facts.get('mapper')}" + (", with a model" if known.facts.get("model") else ""),
            fix="make maps of a section with counts by the mapper dense, and give their folder",
        )
    made_with = known.facts.get("encoder") or {"name": NO_ENCODER}
    given = {"name": NO_ENCODER} if encoder is None else encoder.card.to_dict()
    # where the file lies and what it is called changes no number
    differs = [key for key in sorted({*made_with, *given} - {"file"}) if made_with.get(key) != given.get(key)]
    if differs:
        names = [f"encoder {made_with['name']}", f"encoder {given['name']}"]
        if made_with["name"] == given["name"]:
            names = ["; ".join(f"{key} {card.get(key)}" for key in differs[:3]) for card in (made_with, given)]
        raise ConfigError(
            "this model cannot read the slide as it is asked to",
            where=where,
            expected=names[0],
            found=names[1],
            fix="give the encoder that the model was made with",
        )
