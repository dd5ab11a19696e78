"""Hidden spots of real sections: every other spot (both halves in turn) and whole blocks, against all baselines.

Mean Pearson over the 200 most abundant genes, ln(1 + counts per 10,000). Nothing of a hidden spot takes part: genes'
components, ridge strengths and intervals come from the others. The headline is the lowest ratio to kriging over the
bulb sections.
"""

import argparse
import os
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np

from histoscribe.encoders import build_encoder, load_card
from histoscribe.io import read
from histoscribe.io.reading import Request
from histoscribe.maps import baselines, metrics
from histoscribe.maps.cells import read_cell_features, write_cell_features
from histoscribe.maps.dense import DenseMapper
from histoscribe.maps.hide import blocks, checkerboard
from histoscribe.maps.local import NAMES
from histoscribe.maps.mapper import MapProblem
from histoscribe.maps.problem import model_grid
from histoscribe.run.maps import MapSettings, map_problem
from histoscribe.slide.tissue import tissue_mask

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("HISTOSCRIBE_TEST_DATA", HERE.parents[1] / "shared" / "data"))
CARD = HERE / "cards" / "resnet50v2_s3.toml"
SECTIONS = ("MOB1", "MOB2", "MOB3", "C2", "C3", "C4", "C5", "C6")
BLOCK_PITCHES = 4


def request(name: str) -> Request:
    if name.startswith("MOB"):
        folder = DATA / "st" / "mob_stutility"
        return Request(
            section=name,
            image=folder / f"{name}.jpg",
            counts=folder / f"{name}.tsv.gz",
            spots=folder / f"alignment_table_{name}.tsv",
        )
    folder = DATA / "her2st"
    return Request(
        section=name,
        image=folder / "images" / f"{name}.jpg",
        counts=folder / "counts" / f"{name}.tsv.gz",
        spots=folder / "spots" / f"{name}_selection.tsv",
    )


def scores(problem: MapProblem, hidden: np.ndarray, chosen: np.ndarray) -> dict[str, float]:
    """Mean Pearson on the hidden spots by method, and the coverage of the map's intervals."""
    values = problem.log_values()[:, chosen].astype(np.float64)
    seen = ~hidden
    places = problem.xy_um[seen], values[seen], problem.xy_um[hidden]
    colour = np.asarray(problem.footprint @ problem.features[:, -len(NAMES) :], np.float64)
    found = DenseMapper().fit(problem.take(seen))
    footprint = problem.footprint[hidden]
    dense = found.at(footprint, chosen)
    predictions = {
        "nearest": baselines.nearest_spot(*places),
        "gaussian": baselines.gaussian_smoothing(*places, pitch_um=problem.pitch_um),
        "ridge_colour": baselines.ridge(colour[seen], values[seen], colour[hidden]),
        "kriging": baselines.kriging(*places, pitch_um=problem.pitch_um),
        "dense": dense,
    }
    result = {name: float(np.nanmean(metrics.pearson(values[hidden], p))) for name, p in predictions.items()}
    spread = (footprint @ found.spread)[:, None]
    low, high = dense + spread * found.interval[0, chosen], dense + spread * found.interval[1, chosen]
    return result | {"coverage": metrics.coverage(values[hidden], np.maximum(low, 0), high)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sections", nargs="+", default=list(SECTIONS))
    parser.add_argument("--encoder", default=str(CARD))
    parser.add_argument("--um", type=float, default=16.0)
    parser.add_argument("--features", type=Path, help="folder in which features are kept from run to run")
    given = parser.parse_args()
    encoder = build_encoder(load_card(given.encoder))
    ratios, covered = {}, []
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
        for section_name in given.sections:
            section = read(request(section_name)).section
            image = section.require_image()
            grid = model_grid(image, um=given.um)
            problem, _ = map_problem(section, tissue_mask(image), MapSettings(genes="top:200", um=given.um), grid=grid)
            folder = (given.features or Path(name)) / section_name
            folder.mkdir(parents=True, exist_ok=True)
            write_cell_features(image, grid, problem.cells, folder, encoder=encoder)
            problem = replace(problem, features=read_cell_features(folder, problem.cells))
            chosen = np.arange(200)
            row, col = (section.spots.obs[c].to_numpy() for c in ("array_row", "array_col"))
            board = checkerboard(row, col)
            square = blocks(section.xy_um, block_um=BLOCK_PITCHES * problem.pitch_um)
            ceiling = float(np.nanmean(metrics.thinning_ceiling(problem.counts[:, :200], library=problem.library)))
            print(f"{section_name}_ceiling {ceiling:.4f} r")
            for label, halves in (("checkerboard", (board, ~board)), ("blocks", (square, ~square))):
                found = [scores(problem, hidden, chosen) for hidden in halves]
                mean = {key: float(np.mean([half[key] for half in found])) for key in found[0]}
                for key, value in mean.items():
                    print(
                        f"{section_name}_{label}_{key} {value:.4f} {'share' if key == 'coverage' else 'r'}", flush=True
                    )
                ratio = mean["dense"] / mean["kriging"]
                print(f"{section_name}_{label}_over_kriging {ratio:.3f} times", flush=True)
                if label == "checkerboard":
                    ratios[section_name] = ratio
                    covered.append(mean["coverage"])
    print(f"coverage_checkerboard {np.mean(covered):.3f} share")
    bulbs = [ratio for name, ratio in ratios.items() if name.startswith("MOB")] or list(ratios.values())
    print(f"lowest_over_kriging {min(bulbs):.3f} times")


if __name__ == "__main__":
    main()
