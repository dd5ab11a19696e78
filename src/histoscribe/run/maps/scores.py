"""Scores of a section's maps: on left-out spots, and in the bins of Visium HD that the spots were summed from."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from histoscribe.expression.normalise import library_size
from histoscribe.maps.mapper import FactorMap, MapProblem
from histoscribe.maps.metrics import spot_sum_error
from histoscribe.maps.problem import footprints_of
from histoscribe.maps.read import Maps
from histoscribe.maps.scores import MAP, FineBins, bin_scores, spot_colours, spot_scores, summary
from histoscribe.section import Section

if TYPE_CHECKING:
    import pandas as pd


def score_spots(section: Section, problem: MapProblem, found: FactorMap, *, genes: int) -> "Mapping[str, pd.DataFrame]":
    """Score a map's first genes on the spots that it left out; nothing where it left none out."""
    if found.held is None:
        return {}
    colours = spot_colours(section.require_image(), section.xy_px, diameter_um=footprints_of(section).diameter_um)
    return {"spots": spot_scores(problem, found.held, colours, genes=genes)}


def add_sum_errors(table: "pd.DataFrame", maps: Maps, genes: Sequence[str]) -> "pd.DataFrame":
    """Add how far the balanced maps' sums under spots are from the counts, for the named genes."""
    errors = {
        gene: spot_sum_error(maps.stored.counts[:, [maps.genes.index(gene)]].toarray()[:, 0], maps.spot_sums(gene))
        for gene in genes
    }
    own = table["method"] == MAP
    return table.assign(spot_sum_error=table["gene"].map(errors).where(own))


def score_bins(maps: Maps, bins: Section) -> "pd.DataFrame":
    """Score maps in square bins finer than the spots that they were made of; `bins` as `hd_section` gives them."""
    image, stored = bins.require_image(), maps.stored
    array = bins.spots.obs[["array_row", "array_col"]].to_numpy(np.int64)
    order = np.lexsort((array[:, 1], array[:, 0]))
    counts = sparse.csr_matrix(bins.spots.X, dtype=np.float64)[order]
    xy_px = bins.xy_px[order]
    fine = FineBins(
        xy_px=xy_px,
        array=array[order],
        counts=counts,
        library=library_size(counts),
        names=tuple(str(name) for name in bins.spots.var_names),
        side_um=footprints_of(bins).diameter_um,
    )
    size = stored.diameter_um
    colours = tuple(spot_colours(image, at, diameter_um=size) for at in (stored.xy_px, xy_px))
    return bin_scores(maps, fine, colours=(colours[0], colours[1]))


def mean_pearson(table: "pd.DataFrame") -> dict[str, float]:
    """Mean over genes of the Pearson correlation of ln(1 + counts per 10,000), by method."""
    return {row["method"]: row["pearson"] for row in summary(table) if row["stratum"] == 0 and row["pearson"]}
