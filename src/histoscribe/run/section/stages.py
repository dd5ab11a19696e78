"""The stages around the domains: each fills one folder from a section and what earlier stages left in another."""

from collections.abc import Callable, Collection, Container, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from histoscribe.encoders import Encoder, embed
from histoscribe.report import DomainFacts, ReportContents, write_report
from histoscribe.report.report_figure import ReportFigure
from histoscribe.run.inputs import Input
from histoscribe.run.section.files import (
    EMBEDDING,
    MAPS,
    NUCLEI,
    PREDICTED,
    PREDICTIONS,
    PREFLIGHT,
    SCORES,
    SECTION,
)
from histoscribe.run.section.files import TISSUE as TISSUE_FILE
from histoscribe.run.section.finished import (
    DESCRIPTIONS,
    read_description,
    read_domains,
    read_embedding,
    read_evidence,
    read_figure,
    read_latent,
    read_novelty,
    read_umap,
)
from histoscribe.run.section.nuclei import nuclei_figure, read_nuclei_element
from histoscribe.run.section.settings import TileSettings
from histoscribe.section import TISSUE, Section
from histoscribe.slide.tissue import TissueMask
from histoscribe.store import arrays
from histoscribe.store.files import write_json
from histoscribe.store.seal import seal

Facts = dict[str, Any]
Progress = Callable[[int, int], None]


def check_stage(folder: Path, given: Input) -> Facts:
    """Write preflight.json, and the tissue mask where there is a picture."""
    write_json(folder / PREFLIGHT, given.preflight.to_dict())
    mask = given.tissue
    if mask is None:
        return {}
    arrays.write(
        folder / TISSUE_FILE,
        mask.mask.astype(np.uint8),
        chunk_rows=1024,
        attributes={"downsample": mask.downsample, "mpp": given.section.mpp * mask.downsample},
    )
    return {"tissue_mm2": round(float(mask.area_mm2(given.section.mpp)), 4)}


def embed_stage(folder: Path, section: Section, encoder: Encoder, settings: TileSettings, progress: Progress) -> Facts:
    """Embed every spot's tile into embedding.zarr; goes on where an interrupted call stopped, chunk by chunk."""
    embed(
        section.require_image(),
        section.xy_px,
        encoder,
        tile_um=settings.tile_um,
        folder=folder / EMBEDDING,
        progress=progress,
    )
    return {"choice": dict(arrays.open_array(folder / EMBEDDING).attrs)["choice"]}


def section_stage(folder: Path, done: Path, given: Input, *, parts: Collection[str]) -> Facts:
    """Write section.zarr, a SpatialData object with the picture, the tissue, the spots and all that was found."""
    import anndata
    import zarr

    domains = read_domains(done, given.section.spots.obs_names)
    spots = given.section.spots.copy()
    spots.obs["domain"] = pd.Categorical(domains["domain"].astype("string").to_numpy(object, na_value=np.nan))
    spots.obs["confidence"] = domains["confidence"].to_numpy()
    if "embed" in parts:
        spots.obsm["X_image"] = read_embedding(done, given.section)
    latent = read_latent(done, given.section)
    if latent is not None:
        spots.obsm[f"X_{read_evidence(done)['method']}"] = latent
    if "umap" in parts:
        spots.obsm["X_umap"] = read_umap(done, given.section.spots.obs_names)
    if given.tissue is not None:
        spots.obs["on_tissue"] = given.tissue.at(given.section.xy_px)
    sdata = replace(given.section, spots=spots).to_spatialdata()
    if given.tissue is not None:
        sdata.labels[TISSUE] = tissue_element(given.tissue, mpp=given.section.mpp)
    if "nuclei" in parts:
        sdata.labels[NUCLEI] = read_nuclei_element(done / NUCLEI)
    with zarr.config.set({"array.write_empty_chunks": True}), anndata.settings.override(auto_shard_zarr_v3=False):
        sdata.write(folder / SECTION, update_sdata_path=False)
    seal(folder / SECTION)
    return {}


def tissue_element(tissue: TissueMask, *, mpp: float) -> Any:
    """Return the tissue as labels of a SpatialData object, in the systems "global" (level-0 pixels) and "um"."""
    from spatialdata.models import Labels2DModel
    from spatialdata.transformations import Scale

    px, um = tissue.downsample, tissue.downsample * mpp
    systems = {"global": Scale([px, px], axes=("x", "y")), "um": Scale([um, um], axes=("x", "y"))}
    return Labels2DModel.parse(tissue.mask.astype(np.uint8), dims=("y", "x"), transformations=systems)


def report_stage(folder: Path, done: Path, given: Input, record: Facts, *, stages: Mapping[str, Any]) -> Facts:
    """Write the figures and report.html; with labels, the agreement with them and its floors, in scores.json.

    Parameters
    ----------
    stages
        What each stage that is there was made of, by its name.
    """
    scores = record.get("scores")
    if scores is not None:
        write_json(folder / SCORES, scores)
    mask, found = given.tissue, "domains" in stages
    settings = {name: made["settings"] for name, made in stages.items() if made["settings"]}
    write_report(
        folder,
        ReportContents(
            section=given.section,
            domains=_with_domain(done, given.section) if found else None,
            tissue_mask=None if mask is None else mask.mask,
            tissue_downsample=1.0 if mask is None else mask.downsample,
            embedding=read_embedding(done, given.section) if "embed" in stages else None,
            umap=read_umap(done, given.section.spots.obs_names) if "umap" in stages else None,
            preflight=given.preflight.to_dict(),
            evidence=read_evidence(done) if found else {},
            scores=scores,
            record=record | {"configuration": settings},
            notes=(*given.notes, *_warnings(done, stages)),
            facts=DomainFacts(*(read_description(done / name) for name in DESCRIPTIONS)),
            advice=read_novelty(done / PREDICTIONS)["advice"] if "predictions" in stages else "",
            figures=tuple(_further_figures(done, stages)),
        ),
    )
    return {"scores": scores} if scores else {}


def _warnings(done: Path, parts: Container[str]) -> list[str]:
    """Return what a reader must know of the predictions."""
    if "predictions" not in parts:
        return []
    novelty = read_novelty(done / PREDICTIONS)
    return [f"predictions: {text}" for text in (*novelty["warnings"], *novelty["remarks"])]


def _further_figures(done: Path, parts: Container[str]) -> Iterator[ReportFigure]:
    if "nuclei" in parts:
        yield nuclei_figure(done / NUCLEI)
    if "predictions" in parts:
        yield ReportFigure(
            "predictions",
            "What the model predicts",
            "Predicted values of the targets that the model knows best, with its verdict on each; dark for the lowest, "
            f"bright for the highest hundredth of the spots. All targets with their intervals: {PREDICTIONS}/.",
            "Maps of predicted values on the spots.",
            read_figure(done / PREDICTIONS / PREDICTED),
        )
    if "maps" in parts:
        yield ReportFigure(
            "maps",
            "Maps finer than the spots",
            f"Expression in fine cells of the tissue, one colour a gene. Each gene by itself: {MAPS}/report.html.",
            "Composite of the mapped genes over the dimmed picture.",
            read_figure(done / MAPS / "figures" / "composite.png"),
        )


def _with_domain(done: Path, section: Section) -> pd.DataFrame:
    """Return the rows of spots that got a domain."""
    return read_domains(done, section.spots.obs_names).dropna(subset="domain").astype({"domain": int})
