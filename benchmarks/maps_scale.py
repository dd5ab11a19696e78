"""Time and memory of maps after features: 6.5 x 6.5 mm, Visium spots, 2,000 genes, cells of 8 um.

The features are drawn, not computed, for the encoder's pass is timed elsewhere; everything after it is real: learning
with held-out folds, factors of every cell, the stored map, and genes decoded and balanced. Marks: 300 s and 3 GB.
"""

import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import ndimage, sparse

from histoscribe.maps.dense import DenseMapper
from histoscribe.maps.footprint import footprint_operator
from histoscribe.maps.grid import Grid
from histoscribe.maps.mapper import MapProblem
from histoscribe.maps.read import read_maps
from histoscribe.maps.store import StoredMap, write_map

SIDE_UM, UM, MPP, GENES, WIDTH = 6500.0, 8.0, 0.5, 2000, 73
PITCH_UM, SPOT_UM = 100.0, 55.0


def problem() -> tuple[MapProblem, np.ndarray]:
    rng = np.random.default_rng(0)
    cells = int(SIDE_UM / UM)
    grid = Grid(cells, cells, UM, MPP)
    features = np.empty((grid.size, WIDTH), np.float32)
    for k in range(WIDTH):
        noise = rng.normal(size=grid.shape).astype(np.float32)
        features[:, k] = ndimage.gaussian_filter(noise, 1 + k % 12).ravel()
    row, column = (a.ravel() for a in np.mgrid[: int(6400 / 86.6), : int(6400 / PITCH_UM)])
    xy_um = np.column_stack([(column + 0.5 * (row % 2)) * PITCH_UM, row * 86.6]) + 60
    footprint = footprint_operator(xy_um / MPP, grid, diameter_um=SPOT_UM)
    under = footprint @ features
    under /= under.std(axis=0)
    rate = np.exp(0.4 * under @ rng.normal(0, 0.3, (WIDTH, GENES)) + rng.normal(0, 1, GENES))
    counts = sparse.csr_matrix(rng.poisson(rate).astype(np.float64))
    library = np.asarray(counts.sum(axis=1)).ravel()
    genes = tuple(f"G{k}" for k in range(GENES))
    made = MapProblem(grid, np.arange(grid.size), footprint, xy_um, counts, library, genes, features)
    return made, xy_um / MPP


def main() -> None:
    made, xy_px = problem()
    print(f"spots {len(made)} spots")
    print(f"cells {len(made.cells)} cells")
    start, cpu = time.perf_counter(), time.process_time()
    found = DenseMapper().fit(made)
    learnt = time.perf_counter()
    print(f"learn {learnt - start:.1f} s")
    print(f"learn_cpu {time.process_time() - cpu:.1f} s")
    with tempfile.TemporaryDirectory() as name:
        stored = StoredMap("scale", made.grid, made.cells, found, made.genes, xy_px, made.counts, made.library, SPOT_UM)
        write_map(Path(name), stored)
        size = sum(path.stat().st_size for path in Path(name).rglob("*") if path.is_file()) / 1e6
        print(f"stored {size:.1f} MB")
        maps = read_maps(name)
        decode = time.perf_counter()
        for gene in maps.genes[:10]:
            maps.gene(gene)
        print(f"decode {(time.perf_counter() - decode) / 10:.2f} s/gene")
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")
    print(f"learn_and_store {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
