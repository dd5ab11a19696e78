"""Maps of a section's genes, finer than its spots: the public call."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from histoscribe.encoders import Encoder
from histoscribe.errors import InputError
from histoscribe.io import read
from histoscribe.io.preflight import preflight
from histoscribe.io.reading import Request
from histoscribe.maps import MAPPERS
from histoscribe.maps.grid import make_grid, tissue_cells
from histoscribe.maps.problem import chosen_genes, counted, map_cells
from histoscribe.maps.read import Maps, read_maps
from histoscribe.run.events import Listener, silent
from histoscribe.run.identity import code_fingerprint, input_record, versions
from histoscribe.run.map_bins import FINE_UM, hd_reading, sums_bins
from histoscribe.run.map_settings import SPOTS, MapSettings, build_map_encoder, build_mapper
from histoscribe.run.map_space import needed_bytes, telling_space
from histoscribe.run.map_stages import (
    FEATURES,
    facts_of,
    features_stage,
    learnt_map,
    maps_stage,
    training_stage,
    write_files,
)
from histoscribe.run.requests import requests_of
from histoscribe.section import Section
from histoscribe.slide.tissue import TissueMask, tissue_mask
from histoscribe.store.files import fingerprint
from histoscribe.store.result import Draft, writing_result

__all__ = ["FEATURES", "MapSettings", "build_map_encoder", "features_stage", "map_section", "maps_stage"]


@dataclass(frozen=True, slots=True, eq=False)
class PreparedSlide:
    """A section with its tissue, and the beginning of its record.

    Parameters
    ----------
    fine
        Bins by which its map can be scored, where its spots were summed from them.
    """

    section: Section
    mask: TissueMask
    record: dict[str, Any]
    fine: Section | None = None


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
    settings = (settings or MapSettings()).asking(genes, um=um)
    requests = requests_of(Path(path))
    if len(requests) != 1:
        raise InputError(
            "maps are made of one section at a time", where=Path(path), found=f"{len(requests):,} sections"
        )
    slide = prepared_slide(requests[0], settings)
    encoder = build_map_encoder(settings)
    build_mapper(settings, training=Path(out))  # refuses options that cannot be before anything is written
    slide.record.update({"configuration": settings.told(), "encoder": encoder.card.to_dict() if encoder else None})
    needed = _check_request(slide, settings)
    with telling_space(Path(out), needed), writing_result(Path(out)) as draft:
        _make(draft, slide, settings, encoder=encoder, listen=listen)
        draft.publish(slide.record)
    return read_maps(out)


def _make(
    draft: Draft, slide: PreparedSlide, settings: MapSettings, *, encoder: Encoder | None, listen: Listener
) -> None:
    """Do the stages: the features of the picture, which serve for other genes too, or the training; and the maps."""
    section, mask, record = slide.section, slide.mask, slide.record
    told = {"section": section.name, "stage": "maps"}

    def progress(done: int, total: int) -> None:
        listen({"event": "progress", "done": done, "total": total, **told})

    def look(to: Path) -> dict[str, Any]:
        return features_stage(to, section, mask, settings, encoder=encoder, progress=progress)

    def train(to: Path) -> dict[str, Any]:
        return training_stage(to, section, mask, settings, progress=progress)

    def work(to: Path) -> dict[str, Any]:
        features = draft.folder / FEATURES
        stored = learnt_map(section, mask, settings, encoder=encoder, features=features, progress=progress)
        write_files(to, section, stored, fine=slide.fine)
        return facts_of(stored)

    listen({"event": "stage", "state": "started", **told})
    key = {"code": code_fingerprint(), **record}
    mapper = MAPPERS.get(settings.mapper)
    if mapper.needs_features:
        how = {"um": settings.um, "device": settings.device, "precision": settings.precision, "bins": settings.bins}
        draft.stage("features", fingerprint({**key, "configuration": how}), look, resumable=True)
    if mapper.trains:
        draft.stage("training", fingerprint(key), train, resumable=True)
    draft.stage("maps", fingerprint(key), work)
    listen({"event": "stage", "state": "done", **told})


def prepared_slide(request: Request, settings: MapSettings) -> PreparedSlide:
    """Read a section, check that its parts fit, find its tissue, and begin its record; raises InputError."""
    fine = None
    if sums_bins(request):
        reading = hd_reading(request, to=settings.hd_sum)
        if settings.bins == SPOTS:
            fine = hd_reading(request, to=FINE_UM).section
    else:
        reading = read(request)
    section = reading.section
    mask = tissue_mask(section.require_image())
    tissue_cells(make_grid(section.require_image(), um=50.0), mask, where=f"section {section.name!r}")
    preflight(reading, mask=mask).raise_if_refused()
    record = {"section": section.name, "versions": versions(), "inputs": input_record(reading, request)}
    return PreparedSlide(section, mask, record, fine)


def _check_request(slide: PreparedSlide, settings: MapSettings) -> int:
    """Refuse before anything is written what would be refused later; returns how many bytes may be needed."""
    section = slide.section
    counts, _ = counted(section)
    asked = chosen_genes(settings.genes, section.spots.var_names, counts)
    grid = make_grid(section.require_image(), um=settings.um)
    map_cells(section, grid, slide.mask)
    return needed_bytes(section, grid, genes=len(asked))
