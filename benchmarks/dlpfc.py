"""Claim: on DLPFC 151510 with 500 genes, niche gives the same domains for every seed; its ARI is beside its floors.

Targets: a spread of 0.01 over 20 seeds, reached (0: niche is deterministic); a mean of 0.60 at the true number of
layers, not reached (0.58); a chosen number within one of seven, reached (seven). The genes were chosen on this very
section, and some of niche's settings (components, weights, mixtures, the vote, the rule for the number) by its layers
and the labels of five breast sections, so the score is optimistic; only another slice is a fair test. --gene-share
shows what fewer genes would have given.
"""

import argparse
from time import perf_counter

import numpy as np
from anndata.io import read_h5ad
from threadpoolctl import threadpool_limits

from histoscribe.domains.metrics import depth_numbers, score_domains, seed_pair_ari
from histoscribe.domains.niche import cut_niche, embed_niche
from histoscribe.graph.lattice import lattice_graph
from histoscribe.graph.spacing import pitch_of
from support.domains import data_file, genes_drawn, known


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--gene-share", type=float, default=1.0, help="share of the genes that every seed draws")
    arguments = parser.parse_args()
    spots = read_h5ad(data_file("visium/dlpfc/151510/151510_500genes.h5ad"))
    xy_um = spots.obsm["spatial"] * (100.0 / pitch_of(np.asarray(spots.obsm["spatial"], np.float64)))
    graph = lattice_graph(xy_um, kind="hex", pitch_um=100.0)
    truth = known(spots.obs["layer"])
    layers = len({label for label in truth if label is not None})
    threadpool_limits(limits=1)  # as niche() does
    start = perf_counter()
    found = []
    for seed in range(arguments.seeds):
        if seed == 0 or arguments.gene_share < 1:
            genes = genes_drawn(spots.n_vars, arguments.gene_share, seed=seed)
            embedding = embed_niche({"counts": spots.X[:, genes]}, graph=graph, xy_um=xy_um, n_domains=layers)
        found.append(cut_niche(embedding, n_domains=layers, seed=seed).labels)
        if seed == 0:
            print(f"dlpfc_seconds {perf_counter() - start:.1f} s")
    depth = depth_numbers(spots.X, list(spots.var_names))
    scores = [
        score_domains(labels, truth, xy_um=xy_um, graph=graph, colour=None, depth=depth, seed=0) for labels in found
    ]
    ari = [one["ari"]["score"] for one in scores]
    for floor in ("coordinates", "depth"):
        print(f"dlpfc_floor_{floor} {scores[0]['ari'][floor]:.3f} ARI")
    for key, unit in (("nmi", "NMI"), ("boundary", "F1")):
        best = max(scores[0][key]["coordinates"], scores[0][key]["depth"])
        print(f"dlpfc_{key} {np.mean([one[key]['score'] for one in scores]):.3f} {unit} (best floor {best:.3f})")
    if len(found) > 1:
        print(f"dlpfc_seed_pair {seed_pair_ari(found):.3f} ARI")
    choice = cut_niche(embedding, n_domains=None, seed=0).evidence["choice"]
    curve = ", ".join(f"{k}: {value:.2f}" for k, value in zip(choice["numbers"], choice["stability"], strict=True))
    print(f"dlpfc_stability {curve}")
    print(f"dlpfc_chosen {choice['chosen']} domains of {layers}, admissible {choice['admissible']}")
    print(f"dlpfc_sd {np.std(ari):.4f} ARI")
    print(f"dlpfc_mean {np.mean(ari):.3f} ARI")


if __name__ == "__main__":
    main()
