"""What the page of maps shows, gathered from a section and its maps."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from histoscribe.expression.normalise import log_per_10k
from histoscribe.maps.mapper import Reconstruction
from histoscribe.maps.read import Maps
from histoscribe.maps.scores import summary
from histoscribe.report.maps_contents import GeneMap, MapsContents, Redrawn, ScoreTable
from histoscribe.section import Section

_PICTURE_PX, _DRAWN_GENES = 1400, 8
NOTES = (
    "Between spots and within them a map is a prediction: what the picture and the neighbouring spots make likely.",
    "Under every spot the balanced map sums to the molecules that were counted there, sampling noise included; what "
    "the model expects is shown beside it.",
    "A gene that nothing in the picture shows follows its neighbouring spots alone and is no sharper than they are.",
    "Brightness in a composite is relative to each gene and cannot be compared between genes.",
)


_METHODS = {
    "map": "map",
    "map_balanced": "map, balanced",
    "nearest": "nearest spot",
    "gaussian": "Gaussian mean of spots",
    "kriging": "kriging, no picture",
    "ridge_colour": "ridge on colour",
}
_COLUMNS = {
    "pearson": "Pearson, log",
    "pearson_raw": "Pearson, raw",
    "spearman": "Spearman",
    "ssim": "SSIM",
    "moran_ratio": "Moran ratio",
    "ceiling": "ceiling",
    "coverage": "coverage of 90 %",
    "spot_sum_error": "largest spot-sum error",
}
_STRENGTHS = {
    "field": "Variance that a smooth field over space explains, of 1 in each component",
    "length_um": "Over how many microns the field changes",
    "picture": "Variance that the picture explains, block by block",
    "noise": "Variance that neither explains",
}
_WHERE = {
    "spots": (
        "Scores on left-out spots",
        "Means over genes; every method had the same other spots. Raw is counts per 10,000, log their ln(1 + x). The "
        "ceiling is the correlation that sampling noise allows. A Moran ratio above 1 is smoother than the truth. Fine "
        "structure between and within spots is not scored here. Gene by gene: scores.csv.",
    ),
    "bins": (
        "Scores in bins finer than the spots",
        "The map was made of spots summed from bins, and is compared with all bins of 16 µm; the 200 most abundant "
        "genes. SSIM has a fixed window of 7 bins and constants scaled by the truth's range. Gene by gene: "
        "bin_scores.csv.",
    ),
}


def score_tables(maps: Maps) -> list[ScoreTable]:
    """Tables of scores beside baselines: over all genes, and Pearson correlation by abundance."""
    found = []
    for where, table in (("spots", maps.scores), ("bins", maps.bin_scores)):
        if table is None:
            continue
        title, note = _WHERE[where]
        rows = summary(table)
        shown = [name for name in _COLUMNS if any(row.get(name) is not None for row in rows)]
        found.append(
            ScoreTable(
                title,
                note,
                ("", *(_COLUMNS[name] for name in shown)),
                tuple(
                    (_METHODS.get(row["method"], row["method"]), *(_told(row.get(name), name) for name in shown))
                    for row in rows
                    if row["stratum"] == 0
                ),
            )
        )
        found.append(_by_abundance(title, rows))
    return found


def _by_abundance(title: str, rows: Sequence[dict[str, Any]]) -> ScoreTable:
    methods = list(dict.fromkeys(row["method"] for row in rows))
    cells = {(row["stratum"], row["method"]): row for row in rows}
    lines = []
    for stratum in sorted({row["stratum"] for row in rows} - {0}):
        first = cells[stratum, methods[0]]
        lines.append(
            (
                f"{first['lowest']:.3g} to {first['highest']:.3g}",
                f"{first['genes']:,}",
                *(_told(cells[stratum, method]["pearson"], "pearson") for method in methods),
                _told(first["ceiling"], "ceiling"),
            )
        )
    return ScoreTable(
        f"{title}, by abundance",
        "Pearson correlation of ln(1 + counts per 10,000): genes in four parts by their mean molecules per place.",
        ("molecules", "genes", *(_METHODS.get(method, method) for method in methods), "ceiling"),
        tuple(lines),
    )


def _told(value: float | None, name: str) -> str:
    if value is None:
        return ""
    return f"{value:.1%}" if name in ("coverage", "spot_sum_error") else f"{value:.3f}"


def page_contents(
    section: Section, maps: Maps, *, genes: Sequence[str] | None = None, made: Reconstruction | None = None
) -> MapsContents:
    """Gather what the page of maps shows: the first genes of the map, or those that are named.

    Parameters
    ----------
    made
        The picture as the mapper draws it, where it does.

    Raises
    ------
    InputError
        Where a gene is not on the map.
    """
    picture, step = section.require_image().overview(_PICTURE_PX)
    shown = list(maps.genes[:_DRAWN_GENES] if genes is None else genes)
    stored = maps.stored
    has_spots = len(stored.xy_px) > 0
    drawn = []
    for name in shown:
        expected = maps.gene(name, unit="log", balanced=False).to_numpy()
        balanced = maps.gene(name, unit="log").to_numpy() if has_spots else None
        column = stored.counts[:, [maps.genes.index(name)]]
        measured = log_per_10k(column, library=stored.library).toarray()[:, 0]
        drawn.append(GeneMap(name, expected, balanced, measured))
    evidence = maps.evidence
    rows = [
        (
            "Mean Pearson correlation on left-out spots, 200 most abundant genes",
            str(evidence.get("held_out_pearson_200")),
        )
    ]
    rows += [
        (_STRENGTHS.get(name, name), ", ".join(f"{part:g}" for part in np.atleast_1d(value)))
        for name, value in evidence.get("strengths", {}).items()
    ]
    if evidence.get("picture_ssim") is not None:
        rows.append(("Structural similarity (SSIM) of the reconstructed picture", f"{evidence['picture_ssim']:.3f}"))
    grid = maps.grid
    facts = [
        ("Section", stored.section),
        ("Genes", f"{len(maps.genes):,}"),
        ("Raster", f"{grid.columns:,} x {grid.rows:,} cells of {grid.um:g} µm"),
        ("Spots", f"{len(stored.xy_px):,}, {stored.shape}s of {stored.diameter_um:g} µm" if has_spots else "none"),
        ("Mapper", str(stored.facts.get("mapper", ""))),
        ("Components", str(evidence.get("components", ""))),
    ]
    return MapsContents(
        section=stored.section,
        picture=picture,
        picture_um=step * section.mpp,
        raster_um=grid.um,
        genes=tuple(drawn),
        xy_um=stored.xy_px * section.mpp,
        diameter_um=stored.diameter_um,
        facts=facts,
        evidence=rows if has_spots else [],
        scores=score_tables(maps),
        notes=(*(f"{said[:1].upper()}{said[1:]}." for said in (*evidence.get("warnings", ()), *maps.notes)), *NOTES),
        redrawn=None if made is None else Redrawn(made.truth, made.made, made.um_per_px, made.ssim),
    )
