"""A slide without counts, mapped with what was learnt on another section."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from histoscribe.encoders import Encoder
from histoscribe.errors import ConfigError
from histoscribe.maps.cells import BASIS, Basis, read_cell_features, write_cell_features
from histoscribe.maps.dense import transferred
from histoscribe.maps.grid import make_grid, tissue_cells
from histoscribe.maps.problem import chosen_genes
from histoscribe.maps.read import Maps, read_maps
from histoscribe.maps.refine import refined
from histoscribe.maps.store import StoredMap, read_map
from histoscribe.maps.surroundings import surroundings
from histoscribe.run.events import Listener, silent
from histoscribe.run.identity import code_fingerprint, versions
from histoscribe.run.map_novelty import require_same_scale, slide_novelty
from histoscribe.run.map_settings import NO_ENCODER, MapSettings, build_map_encoder
from histoscribe.run.map_stages import FEATURES, write_files
from histoscribe.run.maps import PreparedSlide, prepared_slide
from histoscribe.run.requests import requests_of
from histoscribe.run.slides import slides_of
from histoscribe.section import Section
from histoscribe.slide.open import IMAGE_SUFFIXES
from histoscribe.slide.tissue import TissueMask, tissue_mask
from histoscribe.store import arrays
from histoscribe.store.files import fingerprint, sha256_file
from histoscribe.store.result import writing_result


def map_slide(
    path: Path | str,
    *,
    model: Path | str,
    out: Path | str,
    genes: str | Sequence[str] = "all",
    settings: MapSettings | None = None,
    mpp: float | None = None,
    listen: Listener = silent,
) -> Maps:
    """Map genes on a slide without counts, with what was learnt on another section.

    Only the picture speaks: there is no field over space and no balance. Maps are in counts per 10,000. Intervals come
    from the model's left-out spots, foretold from the picture alone, and are wider where the slide is unlike the
    model's section; nothing tells how far the other patient's levels differ. `evidence` of the maps holds what was
    found about the slide, and warnings.

    Parameters
    ----------
    path
        The slide: a picture alone, or as `map_section` takes it; its counts, where it has any, are not used.
    model
        Folder that `map_section` wrote, with mapper "dense".
    genes, out, listen
        As of `map_section`; genes of the model.
    settings
        The size of the raster's cells, and the encoder, which must be the one that the model was made with.
    mpp
        Microns per pixel of a picture that does not tell them.

    Raises
    ------
    HistoscribeError
        Where the slide, its scale, a gene, the encoder or the folders are refused.
    """
    settings = (settings or MapSettings()).asking(genes)
    known, source = read_maps(model), _model_folder(Path(model))
    slide = _slide(Path(path), settings, mpp=mpp)
    section, mask, record = slide.section, slide.mask, slide.record
    require_same_scale(known.stored, section.require_image(), name=section.name)
    encoder = build_map_encoder(settings)
    record |= {
        "configuration": settings.told(),
        "encoder": encoder.card.to_dict() if encoder else None,
        "model": {"section": known.stored.section, "map": sha256_file(source / "map.json")},
    }
    with writing_result(Path(out)) as draft:
        key = fingerprint({"code": code_fingerprint(), **record})
        listen({"event": "stage", "section": section.name, "stage": "maps", "state": "started"})
        draft.stage("maps", key, lambda to: slide_stage(to, section, mask, settings, source, encoder=encoder))
        listen({"event": "stage", "section": section.name, "stage": "maps", "state": "done"})
        draft.publish(record)
    return read_maps(out)


def slide_stage(
    folder: Path,
    section: Section,
    mask: TissueMask,
    settings: MapSettings,
    model: Path,
    *,
    encoder: Encoder | None,
) -> dict[str, Any]:
    """Map a slide in a folder with the map in the folder `model`.

    Raises
    ------
    ConfigError
        Where the encoder or the mapper is not the model's.
    """
    known = read_map(model)
    image, name = section.require_image(), f"section {section.name!r}"
    basis = _basis(model, known, encoder)
    asked = chosen_genes(settings.genes, known.genes, known.counts)
    grid, working = make_grid(image, um=settings.um), make_grid(image, um=float(known.facts["model_um"]))
    cells, wanted = (tissue_cells(g, mask, where=name) for g in (working, grid))
    write_cell_features(image, working, cells, folder / FEATURES, encoder=encoder, basis=basis)
    features = read_cell_features(folder / FEATURES, cells)
    novelty = slide_novelty(image, working, cells, features, known=known, kept=model / FEATURES)
    seen = surroundings(working, cells, features, spot_um=known.diameter_um)
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
    stored = StoredMap(
        section=section.name,
        grid=grid,
        cells=wanted,
        factors=refined(found, working, cells, grid, wanted),
        genes=tuple(asked),
        xy_px=np.empty((0, 2)),
        counts=sparse.csr_matrix((0, len(asked))),
        library=np.empty(0),
        diameter_um=known.diameter_um,
        shape=known.shape,
        pitch_um=known.pitch_um,
        facts=known.facts | {"model": known.section},
    )
    write_files(folder, section, stored)
    return {"genes": len(asked), "cells": len(wanted), "novelty": novelty.record()}


def _slide(path: Path, settings: MapSettings, *, mpp: float | None) -> PreparedSlide:
    """Read a section, or a picture alone, with its tissue and the beginning of its record."""
    if not (path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES):
        (request,) = requests_of(path)
        return prepared_slide(request, settings)
    files = slides_of(path, mpp=mpp)[0].files
    section = files.opener()
    mask = tissue_mask(section.require_image())
    return PreparedSlide(section, mask, {"section": section.name, "versions": versions(), "inputs": files.inputs})


def _model_folder(folder: Path) -> Path:
    return folder / "maps" if (folder / "maps" / "map.json").is_file() else folder


def _basis(model: Path, known: StoredMap, encoder: Encoder | None) -> Basis | None:
    made_with = known.facts.get("encoder") or {"name": NO_ENCODER}
    given = {"name": NO_ENCODER} if encoder is None else encoder.card.to_dict()
    # where the file lies and what it is called changes no number
    differs = [key for key in sorted({*made_with, *given} - {"file"}) if made_with.get(key) != given.get(key)]
    if not known.factors.transfer or differs:
        told = [f"encoder {made_with['name']}", f"encoder {given['name']}"]
        if made_with["name"] == given["name"]:
            told = ["; ".join(f"{key} {card.get(key)}" for key in differs[:3]) for card in (made_with, given)]
        raise ConfigError(
            "this model cannot read the slide as it is asked to",
            where=model,
            expected=f"mapper dense, {told[0]}",
            found=f"mapper {known.facts.get('mapper')}, {told[1]}",
            mend="give the encoder that the model was made with",
        )
    if encoder is None:
        return None
    kept = np.asarray(arrays.open_array(model / FEATURES / BASIS)[...], np.float32)
    return Basis(kept[0], kept[1:].T)
