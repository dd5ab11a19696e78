"""Time and memory of `histoscribe map` after features: 6.5 x 6.5 mm at 0.5 um/px, 2,000 genes, cells of 8 um.

The features are random, not computed, as the encoder is timed elsewhere; everything after it is real: learning
with held-out folds, scores of all 2,000 genes beside four baselines, factors of every cell, and the writing of the
stored map, the SpatialData with its picture, the bins and the page. Targets: 300 s and 3 GB. Processor time is printed
beside the clock's, because it does not depend on other load.
"""

import os
import resource
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from scipy import ndimage, sparse

from histoscribe.maps.dense import DenseMapper
from histoscribe.maps.mapper import MapProblem
from histoscribe.maps.problem import model_grid
from histoscribe.maps.read import Maps
from histoscribe.maps.store import StoredMap, read_map
from histoscribe.run.maps.scores import score_spots
from histoscribe.run.maps.settings import MapSettings
from histoscribe.run.maps.stages import map_problem, write_files
from histoscribe.section import Lattice, Section
from histoscribe.slide.image import SlideImage
from histoscribe.slide.tissue import TissueMask

SIDE_UM, UM, MPP, GENES, WIDTH = 6500.0, 8.0, 0.5, 2000, 73
PITCH_UM, SPOT_UM = 100.0, 55.0


@dataclass(frozen=True)
class Wallpaper:
    """A picture of any size that repeats one block of pixels, so that it takes no memory."""

    side: int
    block: np.ndarray

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of every level."""
        return tuple((self.side // 2**k, self.side // 2**k) for k in range(5))

    def read(self, x: int, y: int, width: int, height: int, level: int) -> np.ndarray:
        """Window of a level."""
        size, step = len(self.block), 2**level
        rows, columns = ((np.arange(start, start + n) * step) % size for start, n in ((y, height), (x, width)))
        return self.block[rows[:, None], columns]


def simulated() -> tuple[Section, TissueMask, np.ndarray]:
    """Section, its tissue, and drawn features of all its cells, (c, p)."""
    rng = np.random.default_rng(0)
    side = int(SIDE_UM / MPP)
    block = ndimage.gaussian_filter(rng.normal(170, 200, (512, 512, 3)), (2, 2, 0), mode="wrap").clip(60, 250)
    image = SlideImage(Wallpaper(side, block.astype(np.uint8)), mpp=MPP)
    cells = -(-side * MPP // UM)
    shape = int(cells), int(cells)
    features = np.empty((shape[0] * shape[1], WIDTH), np.float32)
    for k in range(WIDTH):
        features[:, k] = ndimage.gaussian_filter(rng.normal(size=shape).astype(np.float32), 1 + k % 12).ravel()
    row, column = (a.ravel() for a in np.mgrid[: int(6400 / 86.6), : int(6400 / PITCH_UM)])
    xy_um = np.column_stack([(column + 0.5 * (row % 2)) * PITCH_UM, row * 86.6]) + 60
    at = (xy_um // UM).astype(int) @ [1, shape[1]]
    under = features[at] / features.std(axis=0)
    rate = np.exp(0.4 * under @ rng.normal(0, 0.3, (WIDTH, GENES)) + rng.normal(0, 1, GENES))
    obs = pd.DataFrame({"array_row": row, "array_col": 2 * column + row % 2}, index=[f"S{k}" for k in range(len(row))])
    spots = AnnData(sparse.csr_matrix(rng.poisson(rate).astype(np.float32)), obs=obs)
    spots.var_names = [f"G{k}" for k in range(GENES)]
    spots.obsm["spatial"] = xy_um / MPP
    section = Section.from_anndata(
        spots, name="scale", image=image, platform="visium", lattice=Lattice("hex", PITCH_UM, SPOT_UM)
    )
    return section, TissueMask(np.ones((side // 16, side // 16), bool), 16.0), features


def report(name: str, begun: tuple[float, float]) -> tuple[float, float]:
    now = time.perf_counter(), time.process_time()
    print(f"{name} {now[0] - begun[0]:.1f} s", flush=True)
    print(f"{name}_cpu {now[1] - begun[1]:.1f} s", flush=True)
    return now


def stored_map(section: Section, problem: MapProblem, asked: list[str], begun: tuple[float, float]) -> StoredMap:
    found = DenseMapper().fit(problem)
    begun = report("learn", begun)
    scores = score_spots(section, problem, found, genes=len(asked))
    report("score", begun)
    return StoredMap(
        section.name,
        problem.grid,
        problem.cells,
        replace(found, held=None),
        tuple(asked),
        section.xy_px,
        problem.counts,
        problem.library,
        SPOT_UM,
        scores=scores,
    )


def main() -> None:
    section, mask, features = simulated()
    settings = MapSettings(genes="all", um=UM)
    begun = time.perf_counter(), time.process_time()
    grid = model_grid(section.require_image(), um=UM)
    problem, asked = map_problem(section, mask, settings, grid=grid)
    problem = replace(problem, features=features[problem.cells])
    del features
    print(f"spots {len(problem)} spots")
    print(f"cells {len(problem.cells)} cells")
    stored = stored_map(section, problem, asked, begun)
    del problem
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        writing = time.perf_counter(), time.process_time()
        write_files(Path(name), section, stored)
        report("write", writing)
        report("whole", begun)
        size = {
            part: sum(
                path.stat().st_size for path in Path(name).rglob("*") if path.is_file() and belongs_to(path, part)
            )
            for part in ("map", "maps.zarr", "bins.h5ad")
        }
        for part, size_b in size.items():
            print(f"size_{part} {size_b / 1e6:.1f} MB")
        maps = Maps(read_map(Path(name)))
        decode = time.perf_counter()
        for gene in maps.genes[:10]:
            maps.gene(gene)
        print(f"decode {(time.perf_counter() - decode) / 10:.2f} s/gene")
    print(f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6:.2f} GB")


def belongs_to(path: Path, part: str) -> bool:
    """Whether a file belongs to the SpatialData, the bins, or else to the map itself."""
    place = next((name for name in ("maps.zarr", "bins.h5ad") if name in path.parts), "map")
    return place == part


if __name__ == "__main__":
    main()
