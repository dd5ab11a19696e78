"""The stages that end in domains, for sections with and without a picture, with and without counts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains import DOMAINS
from histoscribe.domains.consensus import consensus
from histoscribe.domains.markers import describe_features, domain_neighbours, marker_genes
from histoscribe.report import ReportContents
from histoscribe.report.domains import DomainFacts, write_domain_report
from histoscribe.run.blocks import feature_blocks, spot_graph
from histoscribe.run.stages import read_domains
from histoscribe.section import Section
from histoscribe.slide.image import SlideImage
from histoscribe.store.files import read_json, write_json
from histoscribe.store.seal import seal

Facts = dict[str, Any]
MARKERS, MORPHOLOGY, NEIGHBOURS = "markers.csv", "morphology.csv", "neighbours.csv"
# side of the square of tissue around a spot whose stains are measured, and the pixels that it is shrunk to
_LOOK_UM, _LOOK_PX = 112.0, 56
_LOOK_SPOTS = 20_000


@dataclass(frozen=True, slots=True)
class DomainChoice:
    """What is asked of the domain stage.

    Parameters
    ----------
    method
        Name of a registered method.
    n_domains
        Obeyed exactly; None to have it chosen.
    weights
        By block name, over the method's own.
    seed
        Of everything random.
    by_consensus
        Whether the method runs over seeds, numbers and weights and they vote.
    """

    method: str
    n_domains: int | None
    weights: Mapping[str, float]
    seed: int
    by_consensus: bool


def domain_stage(folder: Path, section: Section, embedding: NDArray[np.float32] | None, choice: DomainChoice) -> Facts:
    """Find the domains and what tells them apart.

    Writes domains.csv, domains.json, and what there is of markers.csv, morphology.csv and neighbours.csv.
    """
    graph = spot_graph(section)
    arguments = {
        "graph": graph,
        "xy_um": section.xy_um,
        "n_domains": choice.n_domains,
        "seed": choice.seed,
        "weights": dict(choice.weights) or None,
    }
    blocks = feature_blocks(section, embedding, method=choice.method)
    if choice.by_consensus:
        result = consensus(blocks, method=choice.method, **arguments)
    else:
        result = DOMAINS.get(choice.method)(blocks, **arguments)
    table = pd.DataFrame(
        {"barcode": section.spots.obs_names, "domain": result.labels, "confidence": result.confidence.round(4)}
    )
    _write_csv(folder / "domains.csv", table)
    write_json(folder / "domains.json", result.evidence)
    describe_stage(folder, section, result.labels, graph)
    return {"n_domains": int(result.labels.max())}


def describe_stage(folder: Path, section: Section, labels: NDArray[np.int64], graph: sparse.csr_matrix) -> None:
    """Write the markers, the look and the neighbours of each domain, each where it can be told."""
    _write_csv(folder / NEIGHBOURS, domain_neighbours(labels, graph))
    if section.has_counts:
        genes = list(section.spots.var_names.astype(str))
        _write_csv(folder / MARKERS, marker_genes(section.spots.X, labels, genes=genes, graph=graph))
    if section.image is not None and section.spots.n_obs <= _LOOK_SPOTS:
        _write_csv(folder / MORPHOLOGY, describe_features(stain_features(section.image, section.xy_px), labels))


def stain_features(image: SlideImage, xy_px: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Measure what a biologist sees around each spot: amounts of the stains, the share of nuclei, the brightness.

    Parameters
    ----------
    xy_px
        (n, 2), x before y.

    Returns
    -------
    Name with unit to (n,).
    """
    from skimage.color import rgb2hed

    from histoscribe.slide.tiles import read_tiles

    columns: dict[str, list[float]] = {}
    for tile in read_tiles(image, xy_px, tile_um=_LOOK_UM, out_px=_LOOK_PX):
        stains = rgb2hed(tile)  # (h, w, 3)
        dark = stains[..., 0] > 0.05
        measured = {
            "haematoxylin (optical density)": stains[..., 0].mean(),
            "eosin (optical density)": stains[..., 1].mean(),
            "dark in haematoxylin (share of area)": dark.mean(),
            "brightness (0 to 255)": tile.mean(),
            "unevenness (standard deviation of brightness)": tile.mean(axis=2).std(),
        }
        for name, value in measured.items():
            columns.setdefault(name, []).append(float(value))
    return {name: np.array(values) for name, values in columns.items()}


def section_stage(folder: Path, done: Path, section: Section, embedding: NDArray[np.float32] | None) -> Facts:
    """Write section.zarr, a SpatialData object with the picture where there is one, the spots and their domains."""
    import anndata
    import zarr

    domains = read_domains(done)
    spots = section.spots.copy()
    spots.obs["domain"] = pd.Categorical(domains["domain"].to_numpy().astype(str))
    spots.obs["confidence"] = domains["confidence"].to_numpy()
    if embedding is not None:
        spots.obsm["X_image"] = embedding
    sdata = replace(section, spots=spots).to_spatialdata()
    with zarr.config.set({"array.write_empty_chunks": True}), anndata.settings.override(auto_shard_zarr_v3=False):
        sdata.write(folder / "section.zarr", update_sdata_path=False)
    seal(folder / "section.zarr")
    return {}


def report_stage(folder: Path, done: Path, contents: ReportContents) -> Facts:
    """Write the figures and report.html."""
    write_domain_report(
        folder,
        contents,
        DomainFacts(
            markers=_read_csv(done / MARKERS),
            morphology=_read_csv(done / MORPHOLOGY),
            neighbours=_read_csv(done / NEIGHBOURS),
        ),
    )
    return {}


def evidence_of(done: Path) -> Facts:
    """Read domains.json."""
    evidence: Facts = read_json(done / "domains.json")
    return evidence


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, index=False, lineterminator="\n")


def _read_csv(path: Path) -> pd.DataFrame | None:
    return pd.read_csv(path, dtype={"gene": str}) if path.is_file() else None
