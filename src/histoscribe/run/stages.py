"""The stages of a run: each a pure function of a section, a configuration and a seed that fills one folder.

`pipeline` says in which order they come and what each depends on. What a later stage needs, it reads from the files of
an earlier one, so that a stage taken over from an older result serves as well as one just done.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscribe.domains import DOMAINS
from histoscribe.domains.metrics import score_domains
from histoscribe.encoders import Encoder, embed
from histoscribe.report import ReportContents, write_report
from histoscribe.report.plate import Plate
from histoscribe.run.blocks import chosen_method, chosen_tile_um, feature_blocks, spot_graph
from histoscribe.run.config import RunConfig
from histoscribe.run.nuclei import nuclei_plate, read_nuclei_element
from histoscribe.run.prepared import Prepared
from histoscribe.section import TISSUE, Section
from histoscribe.store import arrays
from histoscribe.store.files import read_json, write_json
from histoscribe.store.seal import seal

Facts = dict[str, Any]
Progress = Callable[[int, int], None]
EMBEDDING, NUCLEI, CELLS, MAPS = "embedding.zarr", "nuclei", "cells", "maps"


def check_stage(folder: Path, prepared: Prepared) -> Facts:
    """Write preflight.json and the tissue mask."""
    write_json(folder / "preflight.json", prepared.preflight.to_dict())
    mask = prepared.tissue
    arrays.write(
        folder / "tissue.zarr",
        mask.mask.astype(np.uint8),
        chunk_rows=1024,
        attributes={"downsample": mask.downsample, "mpp": prepared.section.mpp * mask.downsample},
    )
    return {"tissue_mm2": round(float(mask.area_mm2(prepared.section.mpp)), 4)}


def embed_stage(folder: Path, prepared: Prepared, encoder: Encoder, config: RunConfig, progress: Progress) -> Facts:
    """Embed every spot's tile into embedding.zarr; goes on where an interrupted call stopped, chunk by chunk."""
    section = prepared.section
    embed(
        section.require_image(),
        section.xy_px,
        encoder,
        tile_um=chosen_tile_um(section, config.tile_um),
        folder=folder / EMBEDDING,
        progress=progress,
    )
    return {"choice": dict(arrays.open_array(folder / EMBEDDING).attrs)["choice"]}


def domains_stage(
    folder: Path,
    prepared: Prepared,
    embedding: NDArray[np.float32],
    config: RunConfig,
    *,
    nuclei: NDArray[np.float64] | None = None,
) -> Facts:
    """Find the domains; writes domains.csv (barcode, domain, confidence) and domains.json, the evidence."""
    section = prepared.section
    method = chosen_method(section, config.method)
    result = DOMAINS.get(method)(
        feature_blocks(section, embedding, method=method, nuclei=nuclei),
        graph=spot_graph(section),
        xy_um=section.xy_um,
        n_domains=config.n_domains,
        seed=config.seed,
        weights=config.weights or None,
    )
    table = pd.DataFrame(
        {"barcode": section.spots.obs_names, "domain": result.labels, "confidence": result.confidence.round(4)}
    )
    table.to_csv(folder / "domains.csv", index=False, lineterminator="\n")
    write_json(folder / "domains.json", result.evidence)
    return {"n_domains": int(result.labels.max())}


def section_stage(folder: Path, done: Path, prepared: Prepared, embedding: NDArray[np.float32]) -> Facts:
    """Write section.zarr, a SpatialData object with the picture, the tissue, the spots and all that was found."""
    import anndata
    import zarr
    from spatialdata.models import Labels2DModel
    from spatialdata.transformations import Scale

    domains = read_domains(done)
    spots = prepared.section.spots.copy()
    spots.obs["domain"] = pd.Categorical(domains["domain"].to_numpy().astype(str))
    spots.obs["confidence"] = domains["confidence"].to_numpy()
    spots.obs["on_tissue"] = prepared.tissue.at(prepared.section.xy_px)
    spots.obsm["X_image"] = embedding
    sdata = replace(prepared.section, spots=spots).to_spatialdata()
    px, um = prepared.tissue.downsample, prepared.tissue.downsample * prepared.section.mpp
    systems = {"global": Scale([px, px], axes=("x", "y")), "um": Scale([um, um], axes=("x", "y"))}
    sdata.labels[TISSUE] = Labels2DModel.parse(
        prepared.tissue.mask.astype(np.uint8), dims=("y", "x"), transformations=systems
    )
    if (done / NUCLEI).is_dir():
        sdata.labels[NUCLEI] = read_nuclei_element(done / NUCLEI)
    with zarr.config.set({"array.write_empty_chunks": True}), anndata.settings.override(auto_shard_zarr_v3=False):
        sdata.write(folder / "section.zarr", update_sdata_path=False)
    seal(folder / "section.zarr")
    return {}


def report_stage(folder: Path, done: Path, prepared: Prepared, embedding: NDArray[np.float32], record: Facts) -> Facts:
    """Write the figures and report.html; with labels, the agreement with them and its floors, in scores.json."""
    scores = record.get("scores")
    if scores is not None:
        write_json(folder / "scores.json", scores)
    write_report(
        folder,
        ReportContents(
            section=prepared.section,
            domains=read_domains(done),
            tissue_mask=prepared.tissue.mask,
            tissue_downsample=prepared.tissue.downsample,
            embedding=embedding,
            preflight=prepared.preflight.to_dict(),
            evidence=read_json(done / "domains.json"),
            scores=scores,
            record=record,
            notes=prepared.notes,
            figures=tuple(_further_plates(done)),
        ),
    )
    return {"scores": scores} if scores else {}


def _further_plates(done: Path) -> Iterator[Plate]:
    if (done / NUCLEI).is_dir():
        yield nuclei_plate(done / NUCLEI)
    if (done / MAPS).is_dir():
        yield Plate(
            "maps",
            "Maps finer than the spots",
            f"Expression between the spots, one colour a gene. Each gene beside its spots: {MAPS}/report.html.",
            "Composite of the mapped genes over the dimmed picture.",
            (done / MAPS / "figures" / "composite.png").read_bytes(),
        )


def score(done: Path, prepared: Prepared, labels: pd.Series, seed: int) -> Facts:
    """Agreement of domains.csv with labels by barcode, beside the floors that coordinates and colour alone reach.

    Returns
    -------
    `ari`, `nmi` and `coherence`; under `floors` the same of `coordinates` and `colour`; and how many spots had a label.
    """
    section = prepared.section
    found: Facts = dict(
        score_domains(
            read_domains(done)["domain"].to_numpy(),
            labels.reindex(section.spots.obs_names).to_numpy(),
            xy_um=section.xy_um,
            graph=spot_graph(section),
            colour=mean_colour(section),
            seed=seed,
        )
    )
    metrics = ("ari", "nmi", "coherence")
    floors = {name: {metric: found[metric][name] for metric in metrics} for name in ("coordinates", "colour")}
    del found["truth_coherence"]  # of the labels alone: no score of this result
    return found | {metric: found[metric]["score"] for metric in metrics} | {"floors": floors}


def mean_colour(section: Section) -> NDArray[np.float64]:
    """Mean colour around each spot, (n, 3), read from the overview of the picture."""
    from scipy.ndimage import uniform_filter

    picture, downsample = section.require_image().overview(4096)
    spot_um = section.lattice.spot_diameter_um if section.lattice else 50.0
    side = max(1, round(spot_um / section.mpp / downsample))
    smooth = uniform_filter(picture.astype(np.float64), size=(side, side, 0))
    column, row = np.floor(section.xy_px / downsample).astype(np.intp).T
    colour: NDArray[np.float64] = smooth[row.clip(0, smooth.shape[0] - 1), column.clip(0, smooth.shape[1] - 1)]
    return colour


def read_domains(folder: Path) -> pd.DataFrame:
    """Read domains.csv: barcode, domain, confidence; one row a spot, in the section's order."""
    return pd.read_csv(folder / "domains.csv", dtype={"barcode": str})
