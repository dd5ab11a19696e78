"""Claim: niche divides 702,000 bins of 8 um x 2,000 genes within 60 s and 4 GB on two cores, in linear time.

The section is simulated: six curved layers, each with its own genes, some 40 molecules a bin. Time is that of the
method, after the counts were read; memory is the peak of the whole process, the counts themselves included.
"""

import argparse
import resource
from time import perf_counter

import numpy as np
from scipy import sparse

from histoscribe.domains.metrics import adjusted_rand_index
from histoscribe.domains.niche import niche
from histoscribe.graph.lattice import lattice_graph

BIN_UM, DOMAINS, DEPTH = 8.0, 6, 40.0
SIZES = (10_000, 50_000, 200_000, 702_000)


def simulated(n: int, genes: int, seed: int = 0):
    """Simulate counts (n, genes) CSR float32, places (n, 2) in microns and the domain of each bin."""
    side = int(np.sqrt(n))
    row, column = np.divmod(np.arange(n), side)
    unit = np.column_stack([column, row]) / side
    truth = np.clip((unit[:, 1] + 0.06 * np.sin(7 * unit[:, 0])) * DOMAINS, 0, DOMAINS - 1).astype(np.int64)
    random = np.random.default_rng(seed)
    base = random.lognormal(0, 1, genes)
    level = base * np.where(random.random((DOMAINS, genes)) < 0.1, 4.0, 1.0)
    level *= DEPTH / level.sum(axis=1, keepdims=True)
    parts = []
    for first in range(0, n, 20_000):
        domain = truth[first : first + 20_000]
        rows = []
        for k in range(DOMAINS):  # molecules one by one: no dense table of bins and genes
            at = np.flatnonzero(domain == k)
            count = random.poisson(DEPTH, len(at))
            gene = random.choice(genes, count.sum(), p=level[k] / level[k].sum())
            rows.append((np.repeat(at, count), gene))
        i, j = (np.concatenate(side) for side in zip(*rows, strict=True))
        part = sparse.coo_matrix((np.ones(len(i), np.float32), (i, j)), shape=(len(domain), genes)).tocsr()
        parts.append(part)
    return sparse.vstack(parts, format="csr"), np.column_stack([column, row]) * BIN_UM, truth


def peak_gb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--genes", type=int, default=2000)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES)
    arguments = parser.parse_args()
    seconds = []
    for n in arguments.sizes:
        counts, xy_um, truth = simulated(n, arguments.genes)
        graph = lattice_graph(xy_um, kind="square", pitch_um=BIN_UM)
        start = perf_counter()
        found = niche({"counts": counts}, graph=graph, xy_um=xy_um, n_domains=DOMAINS, seed=0)
        seconds.append(perf_counter() - start)
        print(f"niche_{n}_seconds {seconds[-1]:.1f} s")
        print(f"niche_{n}_peak {peak_gb():.2f} GB")
        print(f"niche_{n}_ari {adjusted_rand_index(found.labels, truth):.3f}", flush=True)
    slope = np.polyfit(np.log(arguments.sizes), np.log(seconds), 1)[0] if len(seconds) > 1 else float("nan")
    print(f"niche_slope {slope:.2f} log s per log bin")
    print(f"niche_702000_seconds {seconds[-1]:.1f} s")


if __name__ == "__main__":
    main()
