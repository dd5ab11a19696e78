"""The stages that find domains and what distinguishes them, with or without a picture, with or without counts."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscribe.domains import DOMAINS as METHODS
from histoscribe.domains.consensus import consensus
from histoscribe.domains.markers import describe_features, domain_neighbours, marker_genes
from histoscribe.domains.result import DomainResult
from histoscribe.domains.unmeasured import with_unmeasured
from histoscribe.run.section.blocks import feature_blocks, reads_counts, spot_graph
from histoscribe.run.section.files import DOMAINS, EVIDENCE, LATENT, MARKERS, MORPHOLOGY, NEIGHBOURS, NUCLEI
from histoscribe.run.section.finished import read_domains, read_embedding
from histoscribe.run.section.nuclei import read_nuclei_block
from histoscribe.run.section.settings import DomainSettings
from histoscribe.section import Section
from histoscribe.slide.image import SlideImage
from histoscribe.store import arrays
from histoscribe.store.files import write_json

# stains are measured in a square of tissue around a spot: its side, and the pixels that it is shrunk to
_LOOK_UM, _LOOK_PX = 112.0, 56
_LOOK_SPOTS = 20_000


def domains_stage(
    folder: Path, done: Path, parts: Collection[str], *, section: Section, settings: DomainSettings
) -> dict[str, Any]:
    """Find the domains; writes domains.csv (barcode, domain, confidence) and domains.json, the evidence.

    Parameters
    ----------
    done
        Folder with what earlier stages made.
    parts
        Names of the stages before this one: "embed", "nuclei".
    """
    # a method that reads no counts has no use for whether they failed
    taking_part = section.measured if reads_counts(settings.method) else np.ones(section.spots.n_obs, bool)
    used = section.of_spots(taking_part)
    embedding = read_embedding(done, section)[taking_part] if "embed" in parts else None
    nuclei = read_nuclei_block(done / NUCLEI, section.spots.obs_names)[taking_part] if "nuclei" in parts else None
    arguments = {
        "graph": spot_graph(used, neighbours=settings.neighbours),
        "xy_um": used.xy_um,
        "n_domains": settings.n_domains,
        "seed": settings.seed,
        "weights": dict(settings.weights) or None,
        **settings.options,
    }
    blocks = feature_blocks(used, embedding, method=settings.method, nuclei=nuclei)
    if settings.consensus:
        result = consensus(blocks, method=settings.method, **arguments)
    else:
        result = METHODS.get(settings.method)(blocks, **arguments)
    return write_domains(folder, section, with_unmeasured(result, section.xy_um, measured=taking_part))


def write_domains(folder: Path, section: Section, result: DomainResult) -> dict[str, Any]:
    """Write domains.csv, domains.json, and latent.zarr where the method has one; returns facts for the record."""
    table = pd.DataFrame(
        {"barcode": section.spots.obs_names, "domain": result.labels, "confidence": result.confidence.round(4)}
    )
    _write_csv(folder / DOMAINS, table)
    write_json(folder / EVIDENCE, result.evidence)
    if result.latent is not None:
        arrays.write(folder / LATENT, result.latent, chunk_rows=4096)
    return {"n_domains": len(np.unique(result.labels))}


def describe_stage(folder: Path, done: Path, section: Section) -> dict[str, Any]:
    """Write the markers, the look and the neighbours of each domain in `done`, each where it can be known."""
    domains = read_domains(done, section.spots.obs_names)["domain"]
    known = domains.notna().to_numpy() & section.measured  # a transfer leaves spots without one
    if not known.any():
        return {}
    labels = domains[known].to_numpy(np.int64)
    graph = spot_graph(section)[known][:, known]
    _write_csv(folder / NEIGHBOURS, domain_neighbours(labels, graph))
    if section.has_counts:
        genes = list(section.spots.var_names.astype(str))
        _write_csv(folder / MARKERS, marker_genes(section.spots.X[known], labels, genes=genes, graph=graph))
    if section.image is not None and section.spots.n_obs <= _LOOK_SPOTS:
        looks = stain_features(section.image, section.xy_px[known])
        _write_csv(folder / MORPHOLOGY, describe_features(looks, labels))
    return {}


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


def _write_csv(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, index=False, lineterminator="\n")
