"""The autoencoder: how long it trains on a picture of 600 x 508 pixels, and how good its map of a phantom is.

The phantom is known everywhere. Pseudo-Visium spots go in; the map is scored in 16 um bins, on counts drawn
there and on the truth itself, genes that depend on the picture, beside the ceiling and the baselines without a picture.
The headline is the ratio to the best of them.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import sparse

from histoscribe.expression.normalise import log_per_10k
from histoscribe.io import read
from histoscribe.io.reading import Request
from histoscribe.maps import baselines, metrics
from histoscribe.maps.autoencoder import AutoencoderMapper
from histoscribe.maps.mapper import MapProblem
from histoscribe.maps.problem import chosen_genes, counted, footprints_of, map_cells, model_grid
from histoscribe.phantom import Phantom, make_phantom, write_spaceranger
from histoscribe.section import Lattice, Section
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.tissue import tissue_mask

BIN_UM = 16
SEED_SHAPE = (508, 600)  # rows, columns
SEED_GENES = 4
SECTION_UM, REDUCED = 6500.0, 4


def problem_of(section: Section, *, genes: str, um: float) -> MapProblem:
    image = section.require_image()
    counts, library = counted(section)
    asked = chosen_genes(genes, section.spots.var_names, counts)
    grid = model_grid(image, um=um)
    cells, footprint = map_cells(section, grid, tissue_mask(image))
    return MapProblem(
        grid=grid,
        cells=cells,
        footprint=footprint,
        xy_um=section.xy_um,
        counts=counts[:, [list(section.spots.var_names).index(gene) for gene in asked]],
        library=library,
        genes=tuple(asked),
        image=image,
        pitch_um=footprints_of(section).pitch_um,
    )


def section_of(phantom: Phantom) -> Section:
    with tempfile.TemporaryDirectory() as name:
        write_spaceranger(phantom, Path(name) / "section")
        section = read(Request(path=Path(name) / "section")).section
        image = section.require_image()
        # pixels are read after the folder is gone
        pixels = image.read(0, 0, image.width, image.height)
    return Section.from_anndata(
        section.spots,
        name=section.name,
        image=SlideImage(ArraySource([pixels]), mpp=section.mpp),
        platform="visium",
        lattice=section.lattice,
    )


def training_time(seed: int) -> None:
    """Train on a section of 6.5 mm at the size of the original program's picture."""
    rows, columns = SEED_SHAPE
    mpp = SECTION_UM / columns
    phantom = make_phantom(seed, size_um=SECTION_UM, mpp=mpp / REDUCED, n_genes=60)
    fine = phantom.image.read(0, 0, columns * REDUCED, rows * REDUCED)
    whole = fine.reshape(rows, REDUCED, columns, REDUCED, 3).mean(axis=(1, 3)).round().astype(np.uint8)
    spots = phantom.spots()
    spots.obsm["spatial"] = spots.obsm["spatial"] / REDUCED
    section = Section.from_anndata(
        spots[spots.obsm["spatial"][:, 1] < rows - 4].copy(),
        name="seed_size",
        image=SlideImage(ArraySource([whole]), mpp=mpp),
        platform="visium",
        lattice=Lattice("hex", 100.0, 55.0),
    )
    problem = problem_of(section, genes=f"top:{SEED_GENES}", um=8.0)
    begun, used = time.perf_counter(), time.process_time()
    found = AutoencoderMapper(seed=seed).fit(problem)
    print(f"seed_size_spots {len(problem)} spots")
    print(f"seed_size_held_out {found.evidence['held_out_pearson_200']:.3f} r")
    print(f"seed_size_picture_ssim {found.evidence['picture_ssim']} share")
    print(f"seed_size_cpu {time.process_time() - used:.0f} s")
    print(f"seed_size_training {time.perf_counter() - begun:.0f} s")


def fine_truth(phantom: Phantom) -> tuple[np.ndarray, np.ndarray, sparse.csr_matrix]:
    """Centres of the bins on tissue (b, 2), their expected counts per 10,000, and drawn counts, (b, g) both."""
    layout = phantom.layout(BIN_UM)
    kept = phantom.on_tissue(layout)
    width, height = (int(side // BIN_UM) * BIN_UM for side in phantom.size_um)
    fine = phantom.expression_map(0, 0, width, height, bin_um=BIN_UM)
    expected = fine.factors.reshape(-1, fine.factors.shape[-1])[kept] @ fine.loadings  # (b, g)
    full = expected.sum(axis=1) > 0
    index = np.flatnonzero(kept)[full]
    share = 1e4 * expected[full] / expected[full].sum(axis=1, keepdims=True)
    return layout.xy_um[index], share, phantom.bin_counts(BIN_UM)[index]


def phantom_scores(seed: int, size_um: float, genes: int) -> None:
    spots_of = make_phantom(seed, size_um=size_um, n_genes=genes)
    bins_of = make_phantom(seed, kind="visium_hd", size_um=size_um, n_genes=genes)
    problem = problem_of(section_of(spots_of), genes="all", um=float(BIN_UM))
    begun = time.perf_counter()
    found = AutoencoderMapper(seed=0).fit(problem)
    print(f"phantom_training {time.perf_counter() - begun:.0f} s")
    xy_um, share, drawn = fine_truth(bins_of)
    names = list(spots_of.programmes.var.index)
    order = [names.index(gene) for gene in problem.genes]
    shown = spots_of.programmes.var["from_image"].to_numpy()[order]
    cell = np.floor(xy_um / problem.grid.um).astype(int) @ [1, problem.grid.columns]
    place = np.minimum(np.searchsorted(problem.cells, cell), len(problem.cells) - 1)
    known = problem.cells[place] == cell
    print(f"bins_mapped {known.mean():.4f} share")
    truth = np.log1p(share[known][:, order])
    drawn = drawn[known][:, order]
    measured = log_per_10k(drawn).toarray()
    values, spots_um, at_um = problem.log_values().astype(np.float64), problem.xy_um, xy_um[known]
    predictions = {
        "nearest": baselines.nearest_spot(spots_um, values, at_um),
        "gaussian": baselines.gaussian_smoothing(spots_um, values, at_um, pitch_um=problem.pitch_um),
        "kriging": baselines.kriging(spots_um, values, at_um, pitch_um=problem.pitch_um),
        "autoencoder": np.log1p(found.per_10k(rows=place[known])),
    }
    mean = {}
    for name, prediction in predictions.items():
        mean[name] = float(np.nanmean(metrics.pearson(measured, prediction)[shown]))
        print(f"{name}_pearson_measured {mean[name]:.4f} r")
        print(f"{name}_pearson_truth {np.nanmean(metrics.pearson(truth, prediction)[shown]):.4f} r")
        print(f"{name}_hidden_genes_truth {np.nanmean(metrics.pearson(truth, prediction)[~shown]):.4f} r")
    attainable = float(np.nanmean(metrics.pearson(measured, truth)[shown]))
    ceiling = metrics.thinning_ceiling(sparse.csr_matrix(drawn, dtype=np.float64))[shown]
    print(f"ceiling_thinning {np.nanmean(ceiling):.4f} r")
    print(f"ceiling_truth_itself {attainable:.4f} r")
    print(f"autoencoder_of_truth_itself {mean['autoencoder'] / attainable:.3f} share")
    best = max(mean[name] for name in ("nearest", "gaussian", "kriging"))
    print(f"autoencoder_over_best_baseline {mean['autoencoder'] / best:.3f} times")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--size", type=float, default=2800.0)
    parser.add_argument("--genes", type=int, default=300)
    parser.add_argument("--only", choices=("time", "phantom"))
    given = parser.parse_args()
    if given.only != "phantom":
        training_time(given.seed)
    if given.only != "time":
        phantom_scores(given.seed, given.size, given.genes)


if __name__ == "__main__":
    main()
