"""Maps of a phantom whose expression is known everywhere: pseudo-Visium spots in, 16 um out.

Scored on counts drawn in 16 um bins (ln(1 + counts per 10,000), genes that the picture shows), beside the ceiling that
sampling noise sets there, and on the truth itself. Genes that nothing in the picture shows must not be sharpened.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from scipy import sparse

from histoscribe.expression.normalise import log_per_10k
from histoscribe.io import read
from histoscribe.io.reading import Request
from histoscribe.maps import baselines, metrics
from histoscribe.maps.problem import counted
from histoscribe.maps.read import Maps
from histoscribe.maps.store import read_map
from histoscribe.phantom import Phantom, make_phantom, write_spaceranger
from histoscribe.run.maps import FEATURES, MapSettings, build_map_encoder, features_stage, maps_stage
from histoscribe.slide.tissue import tissue_mask

BIN_UM = 16
CARD = Path(__file__).parent / "cards" / "resnet50v2_s3.toml"


def fine_truth(phantom: Phantom) -> tuple[np.ndarray, np.ndarray, np.ndarray, sparse.csr_matrix]:
    """Centres of the 16 um bins on tissue (b, 2), which bins, their expected share per 10,000, and drawn counts."""
    layout = phantom.layout(BIN_UM)
    kept = phantom.on_tissue(layout)
    width, height = (int(side // BIN_UM) * BIN_UM for side in phantom.size_um)
    fine = phantom.expression_map(0, 0, width, height, bin_um=BIN_UM)
    expected = fine.factors.reshape(-1, fine.factors.shape[-1])[kept] @ fine.loadings  # (b, g)
    kept_in_tissue = expected.sum(axis=1) > 0
    index = np.flatnonzero(kept)[kept_in_tissue]
    expected = expected[kept_in_tissue]
    share = 1e4 * expected / expected.sum(axis=1, keepdims=True)
    return layout.xy_um[index], index, share, phantom.bin_counts(BIN_UM)[index]


def graph_of(phantom: Phantom, index: np.ndarray) -> sparse.csr_matrix:
    columns, rows = (int(side // BIN_UM) for side in phantom.size_um)
    tissue = np.zeros(rows * columns, bool)
    tissue[index] = True
    return metrics.grid_graph(tissue.reshape(rows, columns))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--size", type=float, default=3200.0)
    parser.add_argument("--encoder", default=str(CARD))
    parser.add_argument("--genes", type=int, default=300)
    given = parser.parse_args()
    spots_of = make_phantom(given.seed, size_um=given.size, n_genes=given.genes)
    bins_of = make_phantom(given.seed, kind="visium_hd", size_um=given.size, n_genes=given.genes)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        write_spaceranger(spots_of, folder / "section")
        section = read(Request(path=folder / "section")).section
        settings = MapSettings(genes="all", um=float(BIN_UM), encoder=given.encoder)
        (folder / "maps").mkdir()
        encoder, mask = build_map_encoder(settings), tissue_mask(section.require_image())
        features_stage(folder, section, mask, settings, encoder=encoder)
        maps_stage(folder / "maps", section, mask, settings, encoder=encoder, features=folder / FEATURES)
        score(spots_of, bins_of, section, Maps(read_map(folder / "maps")))


def score(spots_of: Phantom, bins_of: Phantom, section, maps: Maps) -> None:
    xy_um, index, share, drawn = fine_truth(bins_of)
    graph, var = graph_of(bins_of, index), spots_of.programmes.var.loc[list(maps.genes)]
    order = [list(spots_of.programmes.var.index).index(gene) for gene in maps.genes]
    share, drawn = share[:, order], drawn[:, order]
    measured = log_per_10k(drawn).toarray()
    truth = np.log1p(share)
    ceiling = metrics.thinning_ceiling(sparse.csr_matrix(drawn, dtype=np.float64))
    flat = (np.floor(xy_um[:, 1] / BIN_UM) * maps.grid.columns + np.floor(xy_um[:, 0] / BIN_UM)).astype(int)
    place = np.searchsorted(maps.stored.cells, flat)
    place = np.minimum(place, len(maps.stored.cells) - 1)
    known = maps.stored.cells[place] == flat
    print(f"bins_mapped {known.mean():.4f} share")
    xy_um, measured, truth, place = xy_um[known], measured[known], truth[known], place[known]
    graph = graph[known][:, known]
    expected = np.log1p(maps.stored.factors.per_10k(rows=place))
    balanced = np.column_stack([maps.to_anndata([g], unit="log").X[place, 0] for g in maps.genes])
    counts, library = counted(section)
    values = log_per_10k(counts[:, [list(section.spots.var_names).index(g) for g in maps.genes]], library=library)
    values = values.toarray().astype(np.float64)
    pitch = maps.stored.pitch_um
    found = {
        "dense": expected,
        "dense_balanced": balanced,
        "nearest": baselines.nearest_spot(section.xy_um, values, xy_um),
        "gaussian": baselines.gaussian_smoothing(section.xy_um, values, xy_um, pitch_um=pitch),
        "kriging": baselines.kriging(section.xy_um, values, xy_um, pitch_um=pitch),
    }
    shown = var["from_image"].to_numpy()
    hidden = (var["family"] == "hidden").to_numpy()
    means = {}
    for name, prediction in found.items():
        noisy, clean = metrics.pearson(measured, prediction), metrics.pearson(truth, prediction)
        moran = metrics.moran_ratio(truth, prediction, graph)
        means[name] = np.nanmean(noisy[shown])
        print(f"{name}_pearson_measured {means[name]:.4f} r")
        print(f"{name}_pearson_truth {np.nanmean(clean[shown]):.4f} r")
        print(f"{name}_hidden_truth {np.nanmean(clean[hidden]):.4f} r")
        print(f"{name}_moran_shown {np.nanmedian(moran[shown]):.3f} times")
        print(f"{name}_moran_hidden {np.nanmedian(moran[hidden]):.3f} times")
    top = float(np.nanmean(ceiling[shown]))
    attainable = float(np.nanmean(metrics.pearson(measured, truth)[shown]))
    print(f"ceiling_thinning {top:.4f} r")
    print(f"ceiling_truth_itself {attainable:.4f} r")
    print(f"dense_of_truth_itself {means['dense'] / attainable:.3f} share")
    print(f"dense_of_ceiling {means['dense'] / top:.3f} share")
    best = max(means[name] for name in ("nearest", "gaussian", "kriging"))
    print(f"dense_over_best_baseline {means['dense'] / best:.3f} times")


if __name__ == "__main__":
    main()
