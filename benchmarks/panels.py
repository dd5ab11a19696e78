"""Claim: on panels of 20 to 300 genes, no domain method is worse than plain smoothing with a mixture.

Panels are drawn from DLPFC 151510 (500 genes) and, among its 2,000 most abundant genes, from three labelled breast
sections. Counts alone; the number of domains is that of the labels. Beside every method stands the plain way: log of
counts per 10,000, 20 principal components, the mean over two rings of neighbours, a mixture of Gaussians.

    python benchmarks/panels.py
    python benchmarks/panels.py --methods niche --draws 5
"""

import argparse
import os

import numpy as np
from anndata.io import read_h5ad
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from threadpoolctl import threadpool_limits

from her2st_domains import PITCH_UM, section
from histoscribe.domains import DOMAINS
from histoscribe.domains.metrics import adjusted_rand_index
from histoscribe.expression.normalise import log_per_10k
from histoscribe.graph.lattice import lattice_graph
from histoscribe.graph.smooth import neighbour_mean
from histoscribe.graph.spacing import pitch_of
from support.domains import data_file, known

SIZES = (20, 50, 80, 150, 300)
COMPONENTS = 20
METHODS = {"niche": {}, "niche_leiden": {"clustering": "leiden"}, "efnst": {}}


def sections():
    """Yield name, counts (n, g), places in microns, graph and labels."""
    spots = read_h5ad(data_file("visium/dlpfc/151510/151510_500genes.h5ad"))
    xy_um = spots.obsm["spatial"] * (100.0 / pitch_of(np.asarray(spots.obsm["spatial"], np.float64)))
    yield (
        "151510",
        sparse.csr_matrix(spots.X),
        xy_um,
        lattice_graph(xy_um, kind="hex", pitch_um=100.0),
        known(spots.obs["layer"]),
    )
    for name in ("A1", "B1", "C1"):
        counts, _, xy_um, truth = section(name)
        abundant = np.sort(np.argsort(-np.asarray(counts.sum(axis=0)).ravel(), kind="stable")[:2000])
        yield name, counts[:, abundant], xy_um, lattice_graph(xy_um, kind="square", pitch_um=PITCH_UM), truth


def plain(counts: sparse.csr_matrix, graph: sparse.csr_matrix, k: int) -> np.ndarray:
    """Smoothed principal components, divided by a mixture."""
    logged = log_per_10k(counts).toarray()
    parts = PCA(min(COMPONENTS, logged.shape[1] - 1), random_state=0).fit_transform(logged)
    for _ in range(2):
        parts = neighbour_mean(graph, parts)
    return GaussianMixture(k, covariance_type="tied", n_init=5, random_state=0).fit_predict(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--draws", type=int, default=3)
    arguments = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    threadpool_limits(limits=1)
    found: dict[tuple[int, str], list[float]] = {}
    for name, counts, xy_um, graph, truth in sections():
        labelled = np.array([label is not None for label in truth])
        k = len(set(truth[labelled]))
        for size in (*SIZES, counts.shape[1]):
            for draw in range(arguments.draws if size < counts.shape[1] else 1):
                genes = np.sort(np.random.default_rng(draw).choice(counts.shape[1], size, replace=False))
                panel = counts[:, genes]
                labels = {"plain": plain(panel, graph, k)}
                for method in arguments.methods:
                    run = DOMAINS.get(method.partition("_")[0])
                    places = {"graph": graph, "xy_um": xy_um, "n_domains": k, "seed": 0}
                    labels[method] = run({"counts": panel}, **places, **METHODS[method]).labels
                for method, own in labels.items():
                    score = adjusted_rand_index(own[labelled], truth[labelled])
                    found.setdefault((size if size in SIZES else 0, method), []).append(score)
            key = size if size in SIZES else 0
            last = arguments.draws if key else 1
            means = [f"{m} {np.mean(found[key, m][-last:]):.3f}" for m in ("plain", *arguments.methods)]
            print(f"panels_{name}_{size} {', '.join(means)} ARI", flush=True)
    for (size, method), scores in sorted(found.items()):
        print(f"panels_mean_{size or 'all'}_{method} {np.mean(scores):.3f} ARI")


if __name__ == "__main__":
    main()
