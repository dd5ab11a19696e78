"""Maps of a section's genes, finer than its spots: the public call, and the stage that a run may hold."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from histoscribe.encoders import Encoder, build_encoder, load_card
from histoscribe.errors import ConfigError, InputError
from histoscribe.io import read
from histoscribe.io.preflight import preflight
from histoscribe.io.reading import Request
from histoscribe.maps import MAPPERS, MapProblem
from histoscribe.maps.cells import read_cell_features, write_cell_features
from histoscribe.maps.export import add_maps, write_spatialdata
from histoscribe.maps.grid import Grid, make_grid, tissue_cells
from histoscribe.maps.problem import chosen_genes, counted, footprints_of, learning_genes, map_cells, model_grid
from histoscribe.maps.read import Maps, read_maps
from histoscribe.maps.refine import refined
from histoscribe.maps.store import StoredMap, read_map, write_map
from histoscribe.maps.windows import least_cell_um
from histoscribe.report.maps import write_maps_page
from histoscribe.run.events import Listener, silent
from histoscribe.run.identity import code_fingerprint, input_record, versions
from histoscribe.run.map_novelty import map_look
from histoscribe.run.map_page import page_contents
from histoscribe.run.requests import requests_of
from histoscribe.section import Section
from histoscribe.slide.image import SlideImage
from histoscribe.slide.tissue import TissueMask, tissue_mask
from histoscribe.store.files import fingerprint, writing_to
from histoscribe.store.result import Draft, writing_result

Progress = Callable[[int, int], None]

NO_ENCODER = "none"
BINS, FEATURES = "bins.h5ad", "features"
_BIN_GENES = 50


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
        Name of an encoder or path of a card; "none" for colours and nuclei alone.
    mapper
        "dense" or "autoencoder".
    device, precision
        Of the encoder.
    seed
        Of everything random.
    """

    genes: str | tuple[str, ...] = "top:50"
    um: float = 8.0
    encoder: str = "efficientnet_b0"
    mapper: str = "dense"
    device: str = "auto"
    precision: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what no map could use."""
        if self.seed < 0 or not (np.isfinite(self.um) and self.um > 0):
            raise ConfigError(
                "the settings of a map are out of range",
                where="maps",
                expected="um above 0, a seed that is not negative",
                found=f"um {self.um}, seed {self.seed}",
            )


def map_section(
    path: Path | str,
    *,
    genes: str | Sequence[str] = "top:50",
    um: float = 8.0,
    out: Path | str,
    settings: MapSettings | None = None,
    listen: Listener = silent,
) -> Maps:
    """Map genes of one section on its tissue, finer than its spots.

    Parameters
    ----------
    path
        Vendor folder, single file that carries everything, or a sample sheet of one section.
    genes
        Names, "A,B,C", "top:50" (the most abundant) or "all".
    um
        Side of a cell of the raster in microns.
    out
        Folder of the result: the map, maps.zarr (SpatialData), bins.h5ad, figures and report.html.
    settings
        Encoder, mapper and seed; `genes` and `um` given here win.
    listen
        Called with every event.

    Returns
    -------
    The maps, as `read_maps(out)` gives them.

    Raises
    ------
    HistoscribeError
        Where the input, a gene, the encoder or the result folder is refused; nothing half-written is left in place.
    """
    settings = settings or MapSettings()
    names = genes if isinstance(genes, str) else tuple(genes)
    settings = MapSettings(**asdict(settings) | {"genes": names, "um": float(um)})
    requests = requests_of(Path(path))
    if len(requests) != 1:
        raise InputError(
            "maps are made of one section at a time", where=Path(path), found=f"{len(requests):,} sections"
        )
    section, mask, record = prepared_slide(requests[0])
    encoder = build_map_encoder(settings)
    record |= {"configuration": told_of(settings), "encoder": encoder.card.to_dict() if encoder else None}
    _check_request(section, mask, settings)
    with writing_result(Path(out)) as draft:
        _make(draft, section, mask, settings, encoder=encoder, record=record, listen=listen)
        draft.publish(record)
    return read_maps(out)


def _make(
    draft: Draft,
    section: Section,
    mask: TissueMask,
    settings: MapSettings,
    *,
    encoder: Encoder | None,
    record: dict[str, Any],
    listen: Listener,
) -> None:
    """Do the stages: the features of the picture, which serve for other genes too, and the maps."""
    told = {"section": section.name, "stage": "maps"}

    def progress(done: int, total: int) -> None:
        listen({"event": "progress", "done": done, "total": total, **told})

    def look(to: Path) -> dict[str, Any]:
        return features_stage(to, section, mask, settings, encoder=encoder, progress=progress)

    def work(to: Path) -> dict[str, Any]:
        return maps_stage(to, section, mask, settings, encoder=encoder, features=draft.folder / FEATURES)

    listen({"event": "stage", "state": "started", **told})
    key = {"code": code_fingerprint(), **record}
    if MAPPERS.get(settings.mapper).needs_features:
        how = {"um": settings.um, "device": settings.device, "precision": settings.precision}
        draft.stage("features", fingerprint({**key, "configuration": how}), look, resumable=True)
    draft.stage("maps", fingerprint(key), work)
    listen({"event": "stage", "state": "done", **told})


def features_stage(
    folder: Path,
    section: Section,
    mask: TissueMask,
    settings: MapSettings,
    *,
    encoder: Encoder | None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Compute what the picture's cells show, in `folder / "features"`; goes on block by block where it was stopped."""
    image = section.require_image()
    model = _model_grid(image, settings, encoder)
    cells, _ = map_cells(section, model, mask)
    write_cell_features(image, model, cells, folder / FEATURES, encoder=encoder, progress=progress)
    return {"model_um": model.um}


def maps_stage(
    folder: Path,
    section: Section,
    mask: TissueMask,
    settings: MapSettings,
    *,
    encoder: Encoder | None,
    features: Path,
) -> dict[str, Any]:
    """Make the maps of a section in an existing folder.

    Parameters
    ----------
    encoder
        What `build_map_encoder` gave.
    features
        Where `features_stage` left its own; not used by mappers that learn from pixels.

    Returns
    -------
    Facts for the record.
    """
    image = section.require_image()
    model, grid = _model_grid(image, settings, encoder), make_grid(image, um=settings.um)
    problem, asked = map_problem(section, mask, settings, grid=model)
    mapper = MAPPERS.get(settings.mapper)(seed=settings.seed)
    if mapper.needs_features:
        problem = replace(problem, features=read_cell_features(features, problem.cells))
    found = mapper.fit(problem)
    cells, _ = map_cells(section, grid, mask)
    factors = refined(found, model, problem.cells, grid, cells)
    shape = footprints_of(section)
    stored = StoredMap(
        section=section.name,
        grid=grid,
        cells=cells,
        factors=_of_genes(factors, len(asked)),
        genes=tuple(asked),
        xy_px=section.xy_px,
        counts=problem.counts[:, : len(asked)],
        library=problem.library,
        diameter_um=shape.diameter_um,
        shape=shape.shape,
        pitch_um=shape.pitch_um,
        facts={
            "mapper": settings.mapper,
            "seed": settings.seed,
            "model_um": model.um,
            "encoder": encoder.card.to_dict() if encoder else None,
            "look": map_look(image, model, problem.cells).record(),
        },
    )
    write_files(folder, section, stored)
    return {"genes": len(asked), "cells": len(cells), "evidence": dict(found.evidence)}


def write_files(folder: Path, section: Section, stored: StoredMap) -> None:
    """Write a map in all its forms: its factors, SpatialData, AnnData and the page."""
    write_map(folder, stored)
    maps = Maps(read_map(folder))  # as it was rounded on disk
    sdata = section.to_spatialdata()
    add_maps(sdata, maps)
    write_spatialdata(sdata, folder / "maps.zarr")
    with writing_to(folder):
        maps.to_anndata(maps.genes[:_BIN_GENES]).write_h5ad(folder / BINS)
    write_maps_page(folder, page_contents(section, maps))


def map_problem(
    section: Section, mask: TissueMask, settings: MapSettings, *, grid: Grid
) -> tuple[MapProblem, list[str]]:
    """Return what a mapper learns from, without features, and the genes asked for, which stand first in it.

    Raises
    ------
    InputError
        No counts, no tissue, an absent gene, or spots off the picture.
    """
    counts, library = counted(section)
    names = section.spots.var_names
    asked = chosen_genes(settings.genes, names, counts)
    cells, footprint = map_cells(section, grid, mask)
    columns = learning_genes(asked, names, counts)
    problem = MapProblem(
        grid=grid,
        cells=cells,
        footprint=footprint,
        xy_um=section.xy_um,
        counts=counts[:, columns],
        library=library,
        genes=tuple(str(name) for name in names[columns]),
        image=section.image,
        pitch_um=footprints_of(section).pitch_um,
    )
    return problem, asked


def build_map_encoder(settings: MapSettings) -> Encoder | None:
    """Load the encoder that the settings name; None for "none" and for mappers that learn from pixels."""
    if settings.encoder == NO_ENCODER or not MAPPERS.get(settings.mapper).needs_features:
        return None
    return build_encoder(load_card(settings.encoder), device=settings.device, precision=settings.precision)


def prepared_slide(request: Request) -> tuple[Section, TissueMask, dict[str, Any]]:
    """Read a section, check that its parts fit, find its tissue, and begin its record; raises InputError."""
    reading = read(request)
    section = reading.section
    mask = tissue_mask(section.require_image())
    tissue_cells(make_grid(section.require_image(), um=50.0), mask, where=f"section {section.name!r}")
    preflight(reading, mask=mask).raise_if_refused()
    inputs = input_record(reading, request)
    return section, mask, {"section": section.name, "versions": versions(), "inputs": inputs}


def _model_grid(image: SlideImage, settings: MapSettings, encoder: Encoder | None) -> Grid:
    """Cells that the model works on: as small as asked for, as far as the picture and the encoder allow."""
    return model_grid(image, um=max(settings.um, least_cell_um(encoder)))


def _check_request(section: Section, mask: TissueMask, settings: MapSettings) -> None:
    """Refuse before anything is written what would be refused later."""
    counts, _ = counted(section)
    chosen_genes(settings.genes, section.spots.var_names, counts)
    map_cells(section, make_grid(section.require_image(), um=settings.um), mask)


def _of_genes(found: Any, count: int) -> Any:
    first = slice(0, count)
    transfer = dict(found.transfer)
    if "interval" in transfer:
        transfer["interval"] = transfer["interval"][:, first]
    return replace(
        found,
        loadings=found.loadings[:, first],
        level=found.level[first],
        interval=found.interval[:, first],
        transfer=transfer,
    )


def told_of(settings: MapSettings) -> dict[str, Any]:
    """Return the settings for a record: no path of this computer."""
    told = asdict(settings)
    told["encoder"] = Path(settings.encoder).stem
    told["genes"] = settings.genes if isinstance(settings.genes, str) else list(settings.genes)
    return told
