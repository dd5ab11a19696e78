"""The stages of maps: what the picture's cells show, training where the mapper has networks, and the maps."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from histoscribe.encoders import Encoder
from histoscribe.maps import MapProblem
from histoscribe.maps.cells import read_cell_features, write_cell_features
from histoscribe.maps.export import RASTERS, add_maps, write_spatialdata
from histoscribe.maps.grid import Grid, make_grid
from histoscribe.maps.mapper import FactorMap, Progress, TrainingMapper
from histoscribe.maps.problem import chosen_genes, counted, footprints_of, learning_genes, map_cells, model_grid
from histoscribe.maps.read import Maps
from histoscribe.maps.refine import refined
from histoscribe.maps.store import StoredMap, read_map, write_map, write_scores
from histoscribe.maps.windows import least_cell_um
from histoscribe.report.maps import write_maps_page
from histoscribe.run.map_novelty import map_look
from histoscribe.run.map_page import page_contents
from histoscribe.run.map_scores import add_sum_errors, score_bins, score_spots
from histoscribe.run.map_settings import MapSettings, build_mapper
from histoscribe.section import Section
from histoscribe.slide.image import SlideImage
from histoscribe.slide.tissue import TissueMask
from histoscribe.store.files import writing_to

BINS, FEATURES, TRAINING = "bins.h5ad", "features", "training"


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
    model = working_grid(image, settings, encoder)
    cells, _ = map_cells(section, model, mask)
    write_cell_features(image, model, cells, folder / FEATURES, encoder=encoder, progress=progress)
    return {"model_um": model.um}


def training_stage(
    folder: Path, section: Section, mask: TissueMask, settings: MapSettings, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Train a mapper's networks in `folder / "training"`; goes on with the next one where it was stopped."""
    model = working_grid(section.require_image(), settings, None)
    problem, _ = map_problem(section, mask, settings, grid=model)
    mapper = cast("TrainingMapper", build_mapper(settings, training=folder / TRAINING))
    mapper.train(problem, progress=progress)
    return {"model_um": model.um}


def maps_stage(
    folder: Path,
    section: Section,
    mask: TissueMask,
    settings: MapSettings,
    *,
    encoder: Encoder | None,
    features: Path,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Make the maps of a section in an existing folder; the arguments are those of `learnt_map`.

    Returns
    -------
    Facts for the record.
    """
    stored = learnt_map(section, mask, settings, encoder=encoder, features=features, progress=progress)
    write_files(folder, section, stored)
    return facts_of(stored)


def learnt_map(
    section: Section,
    mask: TissueMask,
    settings: MapSettings,
    *,
    encoder: Encoder | None,
    features: Path,
    progress: Progress | None = None,
) -> StoredMap:
    """Learn the map of a section and score it on the spots that were left out.

    Parameters
    ----------
    encoder
        What `build_map_encoder` gave.
    features
        Where `features_stage` left its own; `training_stage`'s stand beside it.
    """
    image = section.require_image()
    model, grid = working_grid(image, settings, encoder), make_grid(image, um=settings.um)
    problem, asked = map_problem(section, mask, settings, grid=model)
    mapper = build_mapper(settings, training=features.parent / TRAINING)
    if mapper.needs_features:
        problem = replace(problem, features=read_cell_features(features, problem.cells))
    found = mapper.fit(problem, progress=progress)
    cells, _ = map_cells(section, grid, mask)
    shape = footprints_of(section)
    return StoredMap(
        section=section.name,
        grid=grid,
        cells=cells,
        factors=refined(_of_genes(found, len(asked)), model, problem.cells, grid, cells),
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
        scores=score_spots(section, problem, found, genes=len(asked)),
    )


def facts_of(stored: StoredMap) -> dict[str, Any]:
    """Facts of a map for the record."""
    return {"genes": len(stored.genes), "cells": len(stored.cells), "evidence": dict(stored.factors.evidence)}


def write_files(folder: Path, section: Section, stored: StoredMap, *, fine: Section | None = None) -> None:
    """Write a map in all its forms: factors and scores, SpatialData, AnnData and the page.

    Parameters
    ----------
    fine
        Bins finer than the spots, by which the map is scored too, as `hd_section` gives them.
    """
    write_map(folder, stored)
    maps = Maps(read_map(folder))  # as it was rounded on disk
    shown = maps.genes[:RASTERS]
    tables = dict(stored.scores)
    if "spots" in tables:
        tables["spots"] = add_sum_errors(tables["spots"], maps, shown)
    if fine is not None:
        tables["bins"] = score_bins(maps, fine)
    write_scores(folder, tables)
    sdata = section.to_spatialdata()
    add_maps(sdata, maps)
    write_spatialdata(sdata, folder / "maps.zarr")
    with writing_to(folder):
        maps.to_anndata(shown).write_h5ad(folder / BINS)
    scored = replace(maps, stored=replace(maps.stored, scores=tables))
    write_maps_page(folder, page_contents(section, scored))


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
    shape = footprints_of(section)
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
        pitch_um=shape.pitch_um,
        spot_um=shape.diameter_um,
    )
    return problem, asked


def working_grid(image: SlideImage, settings: MapSettings, encoder: Encoder | None) -> Grid:
    """Cells that the model works on: as small as asked for, as far as the picture and the encoder allow."""
    return model_grid(image, um=max(settings.um, least_cell_um(encoder)))


def _of_genes(found: FactorMap, count: int) -> FactorMap:
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
        held=None,
    )
