"""Maps of a phantom with known expression everywhere: pseudo-Visium spots 100 um apart in, bins of 16 um out.

The whole map is scored, between the spots as under them, bin by bin on tissue, twice: against counts drawn in the bins
beside the ceiling that their sampling noise sets, and against the true expression itself, where the ceiling is 1. The
truth scored as if it were a map says how much of the thinning ceiling any map could reach, and so how far above the
best baseline. Baselines get the same spots. Genes that do not depend on the picture must not be sharpened.
"""

import argparse
import os
import tempfile
from pathlib import Path

import numpy as np
from scipy import sparse

from histoscribe.expression.normalise import log_per_10k
from histoscribe.io.reading import Request
from histoscribe.maps import baselines, metrics
from histoscribe.maps.problem import counted
from histoscribe.maps.read import Maps
from histoscribe.maps.scores import Places, scored, spot_colours, summary
from histoscribe.phantom import Phantom, make_phantom, write_spaceranger
from histoscribe.run.inputs import Input, read_input
from histoscribe.run.maps.plan import plan_maps
from histoscribe.run.maps.scores import add_sum_errors
from histoscribe.run.maps.settings import MapSettings
from histoscribe.run.maps.stages import cells_stage, learnt_map
from histoscribe.run.section.files import CELLS
from histoscribe.section import Section

CARD = Path(__file__).parent / "cards" / "resnet50v2_s3.toml"
WITHOUT_PICTURE = ("nearest", "gaussian", "kriging")


class Truth:
    """Bins on tissue: centres, which cells of the raster, expected shares per 10,000 and drawn counts."""

    def __init__(self, phantom: Phantom, bin_um: int) -> None:
        layout = phantom.layout(bin_um)
        kept = phantom.on_tissue(layout)
        columns, rows = (int(side // bin_um) for side in phantom.size_um)
        fine = phantom.expression_map(0, 0, columns * bin_um, rows * bin_um, bin_um=bin_um)
        expected = fine.factors.reshape(-1, fine.factors.shape[-1])[kept] @ fine.loadings  # (b, g)
        full = expected.sum(axis=1) > 0
        index = np.flatnonzero(kept)[full]
        self.xy_um, self.shape, self.index = layout.xy_um[index], (rows, columns), index
        self.per_10k = 1e4 * expected[full] / expected[full].sum(axis=1, keepdims=True)
        self.drawn = sparse.csr_matrix(phantom.bin_counts(bin_um)[index], dtype=np.float64)

    def places(self, bins: np.ndarray, genes: list[int], *, exact: bool) -> Places:
        """Take some bins and genes: their true expression, or the counts drawn there."""
        tissue = np.zeros(self.shape[0] * self.shape[1], bool)
        tissue[self.index[bins]] = True
        tissue = tissue.reshape(self.shape)
        graph = metrics.grid_graph(tissue)
        if exact:
            return Places(np.log1p(self.per_10k[bins][:, genes]), graph, np.ones(len(genes)), tissue)
        drawn = self.drawn[bins]
        library = np.asarray(drawn.sum(axis=1)).ravel()
        drawn = sparse.csr_matrix(drawn[:, genes])
        ceiling = metrics.thinning_ceiling(drawn, library=library)
        return Places(log_per_10k(drawn, library=library).toarray(), graph, ceiling, tissue)


def map_of(read: Input, settings: MapSettings, folder: Path) -> Maps:
    plan = plan_maps(read, settings)
    cells_stage(folder / CELLS, read, plan)
    return Maps(learnt_map(read.section, read.mask, plan, done=folder))


def predictions(section: Section, maps: Maps, xy_um: np.ndarray, place: np.ndarray) -> dict[str, np.ndarray]:
    counts, library = counted(section)
    order = [list(section.spots.var_names).index(gene) for gene in maps.genes]
    values = log_per_10k(counts[:, order], library=library).toarray().astype(np.float64)
    pitch, spots, size = maps.stored.pitch_um, section.xy_um, maps.stored.diameter_um
    under = spot_colours(section.require_image(), section.xy_px, diameter_um=size)
    here = spot_colours(section.require_image(), xy_um / section.mpp, diameter_um=size)
    return {
        "map": np.log1p(maps.stored.factors.per_10k(rows=place)),
        "map_balanced": maps.to_anndata(maps.genes, unit="log").X[place],
        "nearest": baselines.nearest_spot(spots, values, xy_um),
        "gaussian": baselines.gaussian_smoothing(spots, values, xy_um, pitch_um=pitch),
        "kriging": baselines.kriging(spots, values, xy_um, pitch_um=pitch),
        "ridge_colour": baselines.ridge(under, values, here),
    }


def report(prefix: str, rows: list[dict], names: tuple[str, ...]) -> None:
    for row in rows:
        for name in names:
            if row.get(name) is not None:
                print(f"{prefix}_{row['method']}_{name} {row[name]:.4f} {'times' if name == 'moran_ratio' else 'r'}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--size", type=float, default=3200.0)
    parser.add_argument("--encoder", default=str(CARD))
    parser.add_argument("--genes", type=int, default=300)
    parser.add_argument("--um", type=int, default=16)
    given = parser.parse_args()
    spots_of = make_phantom(given.seed, size_um=given.size, n_genes=given.genes)
    bins_of = make_phantom(given.seed, kind="visium_hd", size_um=given.size, n_genes=given.genes)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        folder = Path(name)
        write_spaceranger(spots_of, folder / "section")
        read = read_input(Request(path=folder / "section"))
        settings = MapSettings(genes="all", um=float(given.um), encoder=given.encoder)
        score(spots_of, Truth(bins_of, given.um), read.section, map_of(read, settings, folder))


def score(phantom: Phantom, truth: Truth, section: Section, maps: Maps) -> None:
    report(
        "left_out_spots", summary(maps.scores)[:5], ("pearson", "pearson_raw", "spearman", "moran_ratio", "coverage")
    )
    sums = add_sum_errors(maps.scores, maps, maps.genes[:40])["spot_sum_error"].max()
    print(f"spot_sum_error {sums:.2e} share")
    um = maps.grid.um
    flat = (np.floor(truth.xy_um[:, 1] / um) * maps.grid.columns + np.floor(truth.xy_um[:, 0] / um)).astype(int)
    place = np.minimum(np.searchsorted(maps.stored.cells, flat), len(maps.stored.cells) - 1)
    known = np.flatnonzero(maps.stored.cells[place] == flat)
    print(f"bins_mapped {len(known) / len(flat):.4f} share")
    found = predictions(section, maps, truth.xy_um[known], place[known])
    var = phantom.programmes.var.loc[list(maps.genes)]
    order = [list(phantom.programmes.var.index).index(gene) for gene in maps.genes]
    sets = {
        "all": (var["family"] != "constant").to_numpy(),
        "hidden": (var["family"] == "hidden").to_numpy(),
        "cell_type": (var["family"] == "cell_type").to_numpy(),
        "shown": var["from_image"].to_numpy(),
    }
    for label, chosen in sets.items():
        genes = [order[k] for k in np.flatnonzero(chosen)]
        report_set(label, truth, known, genes, {name: values[:, chosen] for name, values in found.items()})


def report_set(label: str, truth: Truth, known: np.ndarray, genes: list[int], found: dict[str, np.ndarray]) -> None:
    abundance = np.asarray(truth.drawn[:, genes].mean(axis=0)).ravel()
    exact, drawn = (truth.places(known, genes, exact=way) for way in (True, False))
    itself = {"truth_itself": np.log1p(truth.per_10k[known][:, genes])}
    names = ("pearson", "pearson_raw", "spearman", "ssim", "moran_ratio")
    true_rows = summary(scored(exact, found, abundance=abundance))
    rows = summary(scored(drawn, itself | found, abundance=abundance))
    for way, table in (("true", true_rows), ("drawn", rows)):
        report(f"{label}_{way}", [row for row in table if row["stratum"] == 0], names)
        for row in table:
            if row["stratum"] and row["method"] in ("map", "kriging"):
                print(f"{label}_{way}_stratum{row['stratum']}_{row['method']}_pearson {row['pearson']:.4f} r")
    for way, table in (("true", true_rows), ("drawn", rows)):
        pearson = {row["method"]: row["pearson"] for row in table if row["stratum"] == 0}
        best = max(pearson[name] for name in WITHOUT_PICTURE)
        ceiling = next(row["ceiling"] for row in table if row["stratum"] == 0)
        print(f"{label}_{way}_ceiling {ceiling:.4f} r")
        print(f"{label}_{way}_map_of_ceiling {pearson['map'] / ceiling:.3f} share")
        print(f"{label}_{way}_most_over_best_baseline {pearson.get('truth_itself', 1.0) / best:.3f} times")
        print(f"{label}_{way}_map_over_best_baseline {pearson['map'] / best:.3f} times")


if __name__ == "__main__":
    main()
