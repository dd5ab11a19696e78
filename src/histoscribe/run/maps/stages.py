"""The stages of maps: what the picture's cells show, training where the mapper has networks, and the maps."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
from scipy import sparse

from histoscribe.maps import MapProblem
from histoscribe.maps.cells import read_cell_features, write_cell_features
from histoscribe.maps.dense import transferred
from histoscribe.maps.export import RASTERS, add_maps, write_spatialdata
from histoscribe.maps.grid import Grid, make_grid, tissue_cells
from histoscribe.maps.mapper import FactorMap, Progress, TrainingMapper
from histoscribe.maps.problem import chosen_genes, counted, footprints_of, learning_genes, map_cells
from histoscribe.maps.read import Maps
from histoscribe.maps.refine import refined
from histoscribe.maps.store import StoredMap, read_map, write_map, write_scores
from histoscribe.maps.surroundings import surroundings
from histoscribe.report.maps import write_maps_page
from histoscribe.run.inputs import Input
from histoscribe.run.maps.novelty import map_look, slide_novelty
from histoscribe.run.maps.page import page_contents
from histoscribe.run.maps.plan import MapModel, MapPlan
from histoscribe.run.maps.scores import add_sum_errors, score_bins, score_spots
from histoscribe.run.maps.settings import MapSettings, build_mapper
from histoscribe.run.section.files import CELLS, TRAINING
from histoscribe.section import Section
from histoscribe.slide.tissue import TissueMask
from histoscribe.store.files import writing_to

BINS = "bins.h5ad"


def cells_stage(folder: Path, given: Input, plan: MapPlan, *, progress: Progress | None = None) -> dict[str, Any]:
    """Compute what the picture's cells show in `folder`; goes on block by block where it was stopped."""
    folder.mkdir(exist_ok=True)
    section, model = given.section, plan.model
    grid = plan.working_grid(section)
    if model is None:
        cells, basis = map_cells(section, grid, given.mask)[0], None
    else:
        cells, basis = tissue_cells(grid, given.mask, where=f"section {section.name!r}"), model.basis()
    write_cell_features(
        section.require_image(), grid, cells, folder, encoder=plan.encoder, basis=basis, progress=progress
    )
    return {"model_um": grid.um}


def training_stage(folder: Path, given: Input, plan: MapPlan, *, progress: Progress | None = None) -> dict[str, Any]:
    """Train a mapper's networks in `folder`, on what `MapPlan.passed` gives; goes on where it was stopped."""
    folder.mkdir(exist_ok=True)
    grid = plan.working_grid(given.section)
    problem, _ = map_problem(given.section, given.mask, plan.settings, grid=grid)
    mapper = cast("TrainingMapper", build_mapper(plan.settings, training=folder))
    mapper.train(problem, progress=progress)
    return {"model_um": grid.um}


def maps_stage(
    folder: Path, given: Input, plan: MapPlan, *, done: Path, progress: Progress | None = None
) -> dict[str, Any]:
    """Make the maps of a section, in all their forms, in `folder`.

    Parameters
    ----------
    given
        The section as `MapPlan.passed` gives it.
    done
        Folder with what `cells_stage` and `training_stage` made.

    Returns
    -------
    Facts for the record.
    """
    folder.mkdir()
    section, mask = given.section, given.mask
    if plan.model is not None:
        stored = transferred_map(section, mask, plan, plan.model, cells=done / CELLS)
    else:
        stored = learnt_map(section, mask, plan, done=done, progress=progress)
    write_files(folder, section, replace(stored, notes=(*given.notes, *plan.notes)), fine=plan.fine)
    facts = {"genes": len(stored.genes), "cells": len(stored.cells), "evidence": dict(stored.factors.evidence)}
    return facts if plan.quality is None else facts | {"quality": plan.quality.record()}


def learnt_map(
    section: Section, mask: TissueMask, plan: MapPlan, *, done: Path, progress: Progress | None = None
) -> StoredMap:
    """Learn the map of a section and score it on the spots that were left out."""
    settings, image = plan.settings, section.require_image()
    model, grid = plan.working_grid(section), make_grid(image, um=settings.um)
    problem, asked = map_problem(section, mask, settings, grid=model)
    mapper = build_mapper(settings, training=done / TRAINING)
    if mapper.needs_features:
        problem = replace(problem, features=read_cell_features(done / CELLS, problem.cells))
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
            "encoder": plan.card(),
            "look": map_look(image, model, problem.cells).record(),
        },
        scores=score_spots(section, problem, found, genes=len(asked)),
    )


def transferred_map(section: Section, mask: TissueMask, plan: MapPlan, model: MapModel, *, cells: Path) -> StoredMap:
    """Map a slide with what was learnt on another section.

    Parameters
    ----------
    cells
        Folder with the features of the slide's cells.
    """
    known, image, name = model.stored, section.require_image(), f"section {section.name!r}"
    asked = chosen_genes(plan.settings.genes, known.genes, known.counts)
    grid, working = make_grid(image, um=plan.settings.um), plan.working_grid(section)
    there, wanted = (tissue_cells(g, mask, where=name) for g in (working, grid))
    features = read_cell_features(cells, there)
    novelty = slide_novelty(image, working, there, features, known=known, kept=model.cells)
    seen = surroundings(working, there, features, spot_um=known.diameter_um)
    columns = [known.genes.index(gene) for gene in asked]
    found = replace(
        known.factors,
        factors=transferred(seen, known.factors.transfer),
        loadings=known.factors.loadings[:, columns],
        level=known.factors.level[columns],
        interval=known.factors.transfer["interval"][:, columns],
        spread=novelty.widening,
        evidence=novelty.record(),
        transfer={},
    )
    return StoredMap(
        section=section.name,
        grid=grid,
        cells=wanted,
        factors=refined(found, working, there, grid, wanted),
        genes=tuple(asked),
        xy_px=np.empty((0, 2)),
        counts=sparse.csr_matrix((0, len(asked))),
        library=np.empty(0),
        diameter_um=known.diameter_um,
        shape=known.shape,
        pitch_um=known.pitch_um,
        facts=known.facts | {"model": model.section},
    )


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
    write_maps_page(folder, page_contents(section, scored, made=stored.factors.reconstruction))


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
