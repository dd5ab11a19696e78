"""Claim: what the five systems do runs by the command line on real sections, on two cores and without a network.

Each road is the commands that a user of that system would type. Every command is run in a process of its own and timed
(seconds by the clock and of the processor, largest memory); the last lines of what it printed are kept below it.

    python benchmarks/roads.py                       # all five, about half an hour on two cores
    python benchmarks/roads.py --roads picture efnst
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from support.expression import PATIENT_C, request_of
from support.sections import HERE

DATA = Path(os.environ.get("HISTOSCRIBE_TEST_DATA", HERE.parents[1] / "shared" / "data"))
BACKBONE = HERE / "cards" / "mobilenetv2_100.toml"


def run(*arguments: object, keep: int = 3) -> None:
    """Run one command of the command line, print its time and memory and the last lines of what it said."""
    command = [str(argument) for argument in arguments]
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-m", "histoscribe", *command], capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    shown = " ".join(Path(part).name if os.sep in part else part for part in command)
    print(f"$ histoscribe {shown}")
    print(f"  {time.perf_counter() - start:.0f} s, {cpu:.0f} CPU s, exit {done.returncode}", flush=True)
    for line in said[-keep:]:
        print(f"  | {line.replace(str(Path(tempfile.gettempdir())), '')[:150]}")
    if done.returncode:
        sys.exit(f"the command failed: {' '.join(command)}")


def sheet(folder: Path, names: tuple[str, ...], *, cell_types: bool = False) -> Path:
    """Write a sample sheet of sections, with their cell types as CSV beside it."""
    rows = []
    for name in names:
        request = request_of(name)
        row = {"section": name, "patient": request.patient, "format": "st", "spots": request.spots}
        row |= {"counts": request.counts, "image": request.image, "scale": request.scale or ""}
        if cell_types:
            table = pd.read_csv(DATA / "her2st" / "props" / "major" / f"{name}-proportion.tsv", sep="\t", index_col=0)
            table.index.name = "barcode"
            row["abundance"] = folder / f"{name}_cell_types.csv"
            table.to_csv(row["abundance"])
        rows.append(row)
    path = folder / "sheet.csv"
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def picture(folder: Path) -> None:
    """ST-AIseg: domains from the picture and its nuclei, communities of a graph by cosine, and the tiles."""
    source = sheet(folder, ("C3",))
    chosen = ("--method", "histology", "--encoder", "morphology", "--nuclei", "classical", "--tile-um", "auto")
    graph = ("--clustering", "louvain", "--edge-weight", "cosine", "--neighbours", 9, "--components", 50)
    run("run", source, "--out", folder / "out", *chosen, *graph, "--weights.position", 0.1)
    run("tiles", source, "--out", folder / "tiles", "--tile-um", "auto")


def multiscale(folder: Path) -> None:
    """HEVisum: ranks of cell types by tiles of several scales, stacked, an ensemble of the folds, and a new slide."""
    source = sheet(folder, PATIENT_C[:-1], cell_types=True)
    new = folder / "new"
    new.mkdir()
    chosen = ("--target", "abundance", "--encoder", "morphology", "--off-tissue", "drop", "--background", "white")
    heads = ("--heads", "ridge,multiscale", "--stacks", "ridge", "--by", "section")
    run("evaluate", source, "--out", folder / "scores", *chosen, *heads, keep=6)
    run("fit", source, "--out", folder / "model", *chosen, "--head", "stack", "--by", "section", "--ensemble", "folds")
    run("predict", folder / "model", sheet(new, PATIENT_C[-1:]), "--out", folder / "predicted")


def reconstruction(folder: Path) -> None:
    """VisiumHistologyReconstruction: quality control, markers of the domains, maps by the autoencoder."""
    source = sheet(folder, ("MOB1",))
    # 1,000 genes were measured on this section: no spot has the published 200 of a whole transcriptome at its edge
    limits = ("--qc", "published", "--min-genes-per-spot", 50)
    run("run", source, "--out", folder / "out", "--encoder", "morphology", "--map", "markers")
    run("map", source, "--out", folder / "maps", "--method", "autoencoder", "--genes", "markers:2", *limits, keep=6)


def networks(folder: Path) -> None:
    """35 cell types: a network trained further on tiles, from published weights, on ranks of cell types."""
    source = sheet(folder, PATIENT_C[:3], cell_types=True)
    (folder / "finetune.toml").write_text(
        f'[head_options.finetune]\nbackbone = "{BACKBONE}"\ntile_px = 64\nepochs = 5\nlearning_rate = 5e-4\n'
    )
    chosen = ("--target", "abundance", "--encoder", "morphology", "--by", "section", "--heads", "finetune")
    run("evaluate", source, "--out", folder / "scores", *chosen, "--config", folder / "finetune.toml", keep=6)


def efnst(folder: Path) -> None:
    """EfNST: domains from picture and counts by its networks, and the agreement with the annotated layers."""
    source = DATA / "visium" / "dlpfc" / "151510" / "151510_500genes.h5ad"
    run("domains", source, "--out", folder / "out", "--method", "efnst", "--n-domains", 7, "--efnst.epochs", 40)
    run("score", folder / "out", "--labels", source, "--column", "layer", keep=6)


ROADS = {
    "picture": picture,
    "multiscale": multiscale,
    "reconstruction": reconstruction,
    "networks": networks,
    "efnst": efnst,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--roads", nargs="+", choices=ROADS, default=list(ROADS))
    for name in parser.parse_args().roads:
        print(f"\n== {ROADS[name].__doc__}")
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as folder:
            ROADS[name](Path(folder))
        print(f"road_{name} {time.perf_counter() - start:.0f} s", flush=True)
    print(f"\nlargest_memory {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6:.2f} GB")


if __name__ == "__main__":
    main()
