"""Maps of genes, finer than the spots: of a section, of every section of a sheet, of a slide without counts."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from histoscribe.errors import InputError
from histoscribe.io.reading import Request
from histoscribe.maps.read import Maps, read_maps
from histoscribe.run.domains import ENCODER
from histoscribe.run.events import Listener, silent
from histoscribe.run.inputs import Input, checked, read_input, read_slide
from histoscribe.run.maps.bins import FINE_UM, hd_reading, sums_bins
from histoscribe.run.maps.plan import plan_maps, plan_slide
from histoscribe.run.maps.settings import SPOTS, MapSettings
from histoscribe.run.requests import requests_of
from histoscribe.run.section.chain import run_chain
from histoscribe.run.section.plan import Plan, plan_run
from histoscribe.run.section.settings import RunConfig
from histoscribe.run.several import Outcome, one_or_each
from histoscribe.section import Section
from histoscribe.store.result import require_apart


def map_section(
    path: Path | str,
    *,
    genes: str | Sequence[str] | None = None,
    um: float | None = None,
    out: Path | str,
    settings: MapSettings | None = None,
    mpp: float | None = None,
    listen: Listener = silent,
) -> Maps:
    """Map genes of one section on its tissue, finer than its spots.

    Parameters
    ----------
    path
        Vendor folder, single file that carries everything, or a sample sheet of one section.
    genes
        Names, "A,B,C", "top:50" (the most abundant), "markers:4" (the strongest of each domain, which are found first
        where the result in `out` has none) or "all".
    um
        Side of a cell of the raster in microns.
    out
        Folder of the result. In its folder `maps`: the map, maps.zarr (SpatialData), bins.h5ad, figures and a page of
        their own. A result of `run`, `domains` or `nuclei` in the same folder stays.
    settings
        Encoder, mapper and seed; `genes` and `um` given here win.
    mpp
        Microns per pixel of the picture, where the file does not say so or says it wrongly.
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
    _map_one(_one_request(Path(path), settings, mpp), Path(out), settings, listen)
    return read_maps(out)


def map_sections(
    path: Path | str,
    *,
    out: Path | str,
    settings: MapSettings | None = None,
    model: Path | str | None = None,
    mpp: float | None = None,
    listen: Listener = silent,
) -> list[Outcome]:
    """Map genes of one section, or of every section of a sample sheet in a folder of its own; see `map_section`.

    Parameters
    ----------
    model
        Map slides without counts with the maps in this folder; see `map_slide`.

    Returns
    -------
    One outcome per section; a refused one of several holds up no other.
    """
    asked = settings or MapSettings()

    def one(request: Request, folder: Path, listen: Listener) -> Outcome:
        if model is None:
            return _map_one(request, folder, asked, listen)
        return _map_with(Path(model), request, folder, asked, listen)

    return one_or_each(Path(path), Path(out), asked, one, listen=listen, mpp=mpp)


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
    from the model's held-out spots, predicted from the picture alone, and are wider where the slide is unlike the
    model's section; nothing shows how far the other patient's levels differ. `evidence` of the maps holds what was
    found about the slide, and warnings.

    Parameters
    ----------
    path
        The slide: a picture alone, or as `map_section` takes it; its counts, where it has any, are not used.
    model
        Folder that `map_section` wrote, with mapper "dense".
    genes, out, mpp, listen
        As of `map_section`; genes of the model.
    settings
        The size of the raster's cells, and the encoder, which must be the one that the model was made with.

    Raises
    ------
    HistoscribeError
        Where the slide, its scale, a gene, the encoder or the folders are refused.
    """
    settings = (settings or MapSettings()).asking(genes)
    _map_with(Path(model), _one_request(Path(path), settings, mpp), Path(out), settings, listen)
    return read_maps(out)


def _one_request(path: Path, settings: MapSettings, mpp: float | None) -> Request:
    requests = requests_of(path, settings, mpp=mpp)
    if len(requests) != 1:
        raise InputError(
            "this call maps one section", where=path, found=f"{len(requests):,} sections", fix="use map_sections"
        )
    return requests[0]


def _map_one(request: Request, out: Path, settings: MapSettings, listen: Listener) -> Outcome:
    given, fine = _read(request, settings)
    plan = Plan(maps=plan_maps(given, settings, hd=sums_bins(request), fine=fine))
    if plan.maps is not None and plan.maps.markers is not None:
        domains = RunConfig(encoder=ENCODER, device=settings.device, seed=settings.seed).updated(**settings.reading())
        plan = replace(plan_run(given, domains, command="map"), maps=plan.maps, keeps_domains=True)
    return run_chain(given, plan, out=out, listen=listen)


def _map_with(model: Path, request: Request, out: Path, settings: MapSettings, listen: Listener) -> Outcome:
    require_apart(out, model, "the maps that are the model")
    given = read_slide(request)
    plan = Plan(maps=plan_slide(given, settings, model=model))
    return run_chain(given, plan, out=out, listen=listen)


def _read(request: Request, settings: MapSettings) -> tuple[Input, Section | None]:
    """Read what is to be mapped; of Visium HD the bins of 2 um are summed, and finer ones are read to score by."""
    if not sums_bins(request):
        return read_input(request, picture=True), None
    given = checked(hd_reading(request, to=settings.hd_sum), request, picture=True)
    given.record["stated"]["bins"] = settings.bins
    given = replace(given, reader=lambda: hd_reading(request, to=settings.hd_sum).section)
    return given, hd_reading(request, to=FINE_UM).section if settings.bins == SPOTS else None
