"""What the page asks of a section, a layer or a place, as JSON values."""

from math import isfinite
from typing import Any

import numpy as np

from histoscribe.report.palette import domain_hex
from histoscribe.view.colours import COLOUR_MAPS, describe_range
from histoscribe.view.layers import Asked, map_values, spot_values
from histoscribe.view.opened import Opened
from histoscribe.view.tiles import TILE_PX, top_level

_MOST_GENES = 12  # genes of a spot that are named, those with the most counts


def section_facts(opened: Opened) -> dict[str, Any]:
    """Say what a section is and which layers it has."""
    image = opened.image
    facts: dict[str, Any] = {
        "name": opened.name,
        "version": opened.version,
        "width": image.width,
        "height": image.height,
        "top_level": top_level(image.width, image.height),
        "tile_px": TILE_PX,
        "mpp": image.mpp,
        "format": opened.record.get("format", ""),
        "notes": list(opened.record.get("notes", [])),
        "colour_maps": list(COLOUR_MAPS),
        "layers": _layers(opened),
        "spots": 0,
        "genes": 0,
        "domains": [],
    }
    if opened.has_spots:
        spots = opened.require_spots()
        facts |= {"spots": len(spots), "genes": len(spots.genes), "bins": spots.squares}
        if spots.domains is not None:
            kinds, counts = np.unique(spots.domains, return_counts=True)
            facts["domains"] = [
                {"domain": int(kind), "spots": int(n), "colour": domain_hex(int(kind))}
                for kind, n in zip(kinds, counts, strict=True)
            ]
    return facts


def _layers(opened: Opened) -> list[str]:
    layers = [name for name in ("tissue", "nuclei") if opened.has_labels(name)]
    if opened.has_maps:
        layers.append("map")
    if opened.has_spots:
        spots = opened.require_spots()
        layers += ["domain"] if spots.domains is not None else []
        layers += ["confidence"] if "confidence" in spots.obs else []
        layers += ["gene", "counts"] if spots.genes else []
    return layers


def gene_names(opened: Opened) -> dict[str, list[str]]:
    """Genes that were measured, and genes that have a map."""
    return {
        "measured": list(opened.require_spots().genes) if opened.has_spots else [],
        "mapped": list(opened.require_maps().genes) if opened.has_maps else [],
    }


def range_of(opened: Opened, layer: str, asked: Asked) -> dict[str, object]:
    """Limits and histogram of what a layer shows."""
    values = map_values(opened, asked) if layer == "map" else spot_values(opened, layer, asked)
    return describe_range(np.asarray(values, np.float64))


def spot_at(opened: Opened, x: float, y: float, genes: list[str]) -> dict[str, Any]:
    """Tell what is known of the spot at a place in level-0 pixels; nothing where there is none.

    Parameters
    ----------
    genes
        Of which the counts are told.
    """
    spots = opened.require_spots() if opened.has_spots else None
    row = None if spots is None else spots.at(x, y)
    if spots is None or row is None:
        return {}
    facts: dict[str, Any] = {
        "barcode": str(spots.obs.index[row]),
        "x_px": float(spots.xy_px[row, 0]),
        "y_px": float(spots.xy_px[row, 1]),
        "radius_px": spots.radius_px,
    }
    if spots.domains is not None:
        domain = int(spots.domains[row])
        facts |= {"domain": domain, "colour": domain_hex(domain)}
    if "confidence" in spots.obs:
        confidence = float(spots.obs["confidence"].iloc[row])
        facts["confidence"] = confidence if isfinite(confidence) else None
    if spots.counts is not None:
        columns, counts = spots.counts.row(row)
        found = {spots.genes[column]: float(n) for column, n in zip(columns, counts, strict=True)}
        most = sorted(found, key=lambda gene: (-found[gene], gene))[:_MOST_GENES]
        facts |= {
            "total": float(counts.sum(dtype=np.float64)),
            "genes": int((counts > 0).sum()),
            "most": {gene: found[gene] for gene in most},
            "asked": {gene: found.get(gene, 0.0) for gene in genes if gene in set(spots.genes)},
        }
    return facts
