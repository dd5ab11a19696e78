"""Scores of a map gene by gene, beside baselines: on held-out spots, and in fine bins where the truth is known.

Every method predicts the same places from the same spots. A table of scores has one row per gene and method:

    gene, abundance (mean counts per spot or bin), stratum (1 the rarest quarter of the genes, 4 the most abundant)
    method          map (expected), nearest, gaussian, kriging, ridge_colour; in bins also map_balanced
    pearson         of ln(1 + counts per 10,000)
    pearson_raw     of counts per 10,000
    spearman        the same for both
    moran_ratio     Moran's I over that of the truth, corrected for sampling noise: above 1 is smoother than the truth
    ssim            only in bins, where the fine truth is known
    ceiling         highest `pearson` that sampling noise allows
    coverage        share of held-out spots within their 90 % interval, found on the other folds; the map's alone
    spot_sum_error  largest relative error of the balanced map's sums under spots; the map's alone
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.expression.normalise import log_per_10k
from histoscribe.graph.knn import knn_graph
from histoscribe.maps import baselines, metrics
from histoscribe.maps.interval import held_out_interval
from histoscribe.maps.mapper import HeldOut, MapProblem
from histoscribe.maps.read import Maps
from histoscribe.slide.image import SlideImage
from histoscribe.slide.tiles import read_tiles

Float = NDArray[np.float64]
Matrix = NDArray[np.float32]

MAP, BALANCED = "map", "map_balanced"
SCORES = ("pearson", "pearson_raw", "spearman", "moran_ratio", "ssim")
MOST_GENES = 2_000  # that are scored: the most abundant of those asked for
_STRATA = 4
_TILE_PX = 8
_NEIGHBOUR_PITCHES = 1.5


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Where maps are compared with what was measured.

    Parameters
    ----------
    truth
        (m, t) ln(1 + counts per 10,000).
    graph
        (m, m) neighbours of the places.
    ceiling
        (t,) highest correlation with `truth` that sampling noise allows; 1 where it holds none.
    tissue
        (rows, columns) bool, True at the places, which are numbered row by row; None where they form no raster.
    """

    truth: NDArray[Any]
    graph: sparse.csr_matrix
    ceiling: Float
    tissue: NDArray[np.bool_] | None = None

    def score(self, predicted: NDArray[Any]) -> dict[str, Float]:
        """Score a prediction (m, t) of ln(1 + counts per 10,000): (t,) by name."""
        found = {
            "pearson": metrics.pearson(self.truth, predicted),
            "pearson_raw": metrics.pearson(np.expm1(self.truth), np.expm1(predicted)),
            "spearman": metrics.spearman(self.truth, predicted),
            "moran_ratio": metrics.moran_ratio(self.truth, predicted, self.graph, reliability=self.ceiling**2),
        }
        if self.tissue is not None:
            found["ssim"] = np.array([_ssim(t, p, self.tissue) for t, p in zip(self.truth.T, predicted.T, strict=True)])
        return found


def _ssim(truth: NDArray[Any], predicted: NDArray[Any], tissue: NDArray[np.bool_]) -> float:
    """SSIM of two sets of values at the True cells of a raster, (m,) each."""
    rasters = np.zeros((2, *tissue.shape))
    rasters[:, tissue] = truth, predicted
    return metrics.ssim(rasters[0], rasters[1], tissue)


def spot_scores(problem: MapProblem, held: HeldOut, colours: Float, *, genes: int) -> pd.DataFrame:
    """Score a map on its held-out spots, beside baselines that learnt from the same spots; see the table above.

    Parameters
    ----------
    colours
        (n, p) of `spot_colours`.
    genes
        How many of the problem's first genes are scored, but at most the `MOST_GENES` most abundant of them.
    """
    chosen = most_abundant(problem.counts[:, :genes], MOST_GENES)
    known = np.flatnonzero(held.fold >= 0)
    counts = sparse.csr_matrix(problem.counts[:, chosen])
    values = log_per_10k(counts, library=problem.library).toarray().astype(np.float64)
    predictions = {MAP: held.values[:, chosen]} | _baselines(problem, values, held.fold, colours)
    graph = knn_graph(problem.xy_um[known], k=6, max_um=_NEIGHBOUR_PITCHES * problem.pitch_um)
    ceiling = metrics.thinning_ceiling(sparse.csr_matrix(counts[known]), library=problem.library[known])
    places = Places(values[known], graph, ceiling)
    abundance = np.asarray(counts.mean(axis=0)).ravel()
    table = scored(places, {name: v[known] for name, v in predictions.items()}, abundance=abundance)
    table.insert(0, "gene", np.tile(np.asarray(problem.genes, object)[chosen], len(predictions)))
    own = table["method"] == MAP
    table.loc[own, "coverage"] = cross_coverage(values, held.values[:, chosen], held)
    return table


def scored(places: Places, predictions: Mapping[str, NDArray[Any]], *, abundance: Float) -> pd.DataFrame:
    """Score predictions (m, t) by method: one row per method and gene, without the genes' names."""
    strata = np.empty(len(abundance), np.int64)
    for number, part in enumerate(np.array_split(np.argsort(abundance, kind="stable"), _STRATA), start=1):
        strata[part] = number
    parts = [
        pd.DataFrame(
            {"abundance": abundance, "stratum": strata, "method": name}
            | places.score(prediction)
            | {"ceiling": places.ceiling}
        )
        for name, prediction in predictions.items()
    ]
    return pd.concat(parts, ignore_index=True)


@dataclass(frozen=True, slots=True, eq=False)
class FineBins:
    """What was measured in square bins finer than the spots that a map was made of.

    Parameters
    ----------
    xy_px
        (b, 2) centres in level-0 pixels.
    array
        (b, 2) row and column of each bin, without doubles.
    counts, library
        (b, g) CSR of the genes `names`, and (b,) molecules over all genes.
    names
        (g,) genes.
    side_um
        Side of a bin.
    """

    xy_px: Float
    array: NDArray[np.int64]
    counts: sparse.csr_matrix
    library: Float
    names: tuple[str, ...]
    side_um: float

    def places(self, genes: list[str]) -> Places:
        """Take some genes of the bins as places, in raster order: the bins must be sorted by row, then column."""
        counts = sparse.csr_matrix(self.counts[:, [self.names.index(gene) for gene in genes]])
        array = self.array - self.array.min(axis=0)
        tissue = np.zeros(array.max(axis=0) + 1, bool)
        tissue[array[:, 0], array[:, 1]] = True
        truth = log_per_10k(counts, library=self.library).toarray()
        return Places(truth, metrics.grid_graph(tissue), metrics.thinning_ceiling(counts, library=self.library), tissue)


def bin_scores(maps: Maps, bins: FineBins, *, colours: tuple[Float, Float], most_genes: int = 200) -> pd.DataFrame:
    """Score a map, expected and balanced, in bins finer than its spots, beside baselines from the same spots.

    Parameters
    ----------
    colours
        `spot_colours` of the map's spots, (n, p), and of the bins, (b, p).
    most_genes
        The most abundant genes of map and bins are scored.
    """
    stored = maps.stored
    shared = [k for k, name in enumerate(maps.genes) if name in set(bins.names)]
    chosen = np.asarray(shared)[most_abundant(stored.counts[:, shared], most_genes)]
    genes = [maps.genes[k] for k in chosen]
    values = log_per_10k(stored.counts[:, chosen], library=stored.library).toarray().astype(np.float64)
    spots, at = stored.xy_px * stored.grid.mpp, bins.xy_px * stored.grid.mpp
    predictions: dict[str, NDArray[Any]] = {
        MAP: maps.at(bins.xy_px, genes, unit="log", balanced=False, square_um=bins.side_um),
        BALANCED: maps.at(bins.xy_px, genes, unit="log", square_um=bins.side_um),
        "nearest": baselines.nearest_spot(spots, values, at),
        "gaussian": baselines.gaussian_smoothing(spots, values, at, pitch_um=stored.pitch_um),
        "kriging": baselines.kriging(spots, values, at, pitch_um=stored.pitch_um),
        "ridge_colour": baselines.ridge(colours[0], values, colours[1]),
    }
    places = bins.places(genes)
    abundance = np.asarray(bins.counts[:, [bins.names.index(gene) for gene in genes]].mean(axis=0)).ravel()
    table = scored(places, {k: np.maximum(np.nan_to_num(v), 0) for k, v in predictions.items()}, abundance=abundance)
    table.insert(0, "gene", np.tile(np.asarray(genes, object), len(predictions)))
    return table


def cross_coverage(values: NDArray[Any], predicted: NDArray[Any], held: HeldOut) -> Float:
    """Share of held-out spots inside the 90 % interval from all other folds, (t,); NaN with one fold only."""
    inside, judged = np.zeros(values.shape[1]), 0
    for k in np.unique(held.fold[held.fold >= 0]):
        mine, others = held.fold == k, (held.fold != k) & (held.fold >= 0)
        if not others.any():
            continue
        low, high = held_out_interval(values[others] - predicted[others], held.uncertainty[others])
        spread = held.uncertainty[mine, None]
        ends = np.maximum(predicted[mine] + spread * low, 0), predicted[mine] + spread * high
        inside += ((values[mine] >= ends[0]) & (values[mine] <= ends[1])).sum(axis=0)
        judged += int(np.count_nonzero(mine))
    return inside / judged if judged else np.full(values.shape[1], np.nan)


def spot_colours(image: SlideImage, xy_px: Float, *, diameter_um: float) -> Float:
    """Mean and spread of red, green and blue under spots, as optical densities: (n, 6)."""
    tiles = read_tiles(image, xy_px, tile_um=diameter_um, out_px=_TILE_PX)
    density = -np.log((tiles.astype(np.float64) + 1) / 256).reshape(len(tiles), -1, 3)
    return np.hstack([density.mean(axis=1), density.std(axis=1)])


def most_abundant(counts: sparse.csr_matrix, most: int) -> NDArray[np.intp]:
    """Columns of the most abundant genes, in their own order."""
    total = np.asarray(counts.sum(axis=0)).ravel()
    return np.sort(np.argsort(-total, kind="stable")[:most])


def summary(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean scores over genes, for every method in all strata and in each: rows fit for JSON, stratum 0 for all."""
    columns = [name for name in (*SCORES, "ceiling", "coverage", "spot_sum_error") if name in table]
    rows = []
    for stratum in (0, *sorted(table["stratum"].unique())):
        part = table if stratum == 0 else table[table["stratum"] == stratum]
        for method, own in part.groupby("method", sort=False):
            means = {name: _mean(own[name]) for name in columns}
            if means.get("spot_sum_error") is not None:
                means["spot_sum_error"] = float(own["spot_sum_error"].max())
            ends = {"lowest": float(own["abundance"].min()), "highest": float(own["abundance"].max())}
            rows.append({"stratum": int(stratum), "method": str(method), "genes": len(own), **ends, **means})
    return rows


def _mean(values: "pd.Series[float]") -> float | None:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else None


def _baselines(problem: MapProblem, values: Float, fold: NDArray[np.intp], colours: Float) -> dict[str, Matrix]:
    """Predict every fold from the others: (n, t) by method, NaN for spots of no fold."""
    found = {
        name: np.full(values.shape, np.nan, np.float32) for name in ("nearest", "gaussian", "kriging", "ridge_colour")
    }
    for k in np.unique(fold[fold >= 0]):
        seen, hidden = fold != k, fold == k
        places = problem.xy_um[seen], values[seen], problem.xy_um[hidden]
        found["nearest"][hidden] = baselines.nearest_spot(*places)
        found["gaussian"][hidden] = baselines.gaussian_smoothing(*places, pitch_um=problem.pitch_um)
        found["kriging"][hidden] = baselines.kriging(*places, pitch_um=problem.pitch_um)
        found["ridge_colour"][hidden] = baselines.ridge(colours[seen], values[seen], colours[hidden])
    return {name: np.maximum(values, 0) for name, values in found.items()}
