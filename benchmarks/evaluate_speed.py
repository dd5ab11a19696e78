"""Claim: five real sections are evaluated, from image files, with all heads of vectors, in under 5 minutes.

Five her2st sections of one patient, one left out at a time (leaky, for the time only). The command is timed as a
user types it, in its own process, into a new folder.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from support.sections import HERE, her2st_c2

SECTIONS = ("C2", "C3", "C4", "C5", "C6")
HEADS = "knn,ridge,lowrank,mlp"


def write_sheet(folder: Path) -> Path:
    """Sample sheet of the sections, with their tables of cell types."""
    data = Path(her2st_c2().path).parents[1]
    rows = ["section,patient,format,counts,spots,image,abundance"]
    for name in SECTIONS:
        files = (f"counts/{name}.tsv.gz", f"spots/{name}_selection.tsv", f"images/{name}.jpg")
        files += (f"props/major/{name}-proportion.tsv",)
        rows.append(",".join([name, "C", "st", *(str(data / file) for file in files)]))
    sheet = folder / "sheet.csv"
    sheet.write_text("\n".join(rows) + "\n")
    return sheet


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads", default=HEADS)
    parser.add_argument("--stain", default="none", help="none, macenko or reinhard, fitted in each fold")
    arguments = parser.parse_args()
    card = HERE / "cards" / "resnet50v2_s3.toml"
    with tempfile.TemporaryDirectory() as folder:
        sheet, out = write_sheet(Path(folder)), Path(folder) / "out"
        command = [sys.executable, "-m", "histoscribe", "evaluate", str(sheet), "--by", "section", "--quiet"]
        command += ["--heads", arguments.heads, "--stain", arguments.stain, "--encoder", str(card), "--out", str(out)]
        start = perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds = perf_counter() - start
        scores = json.loads((out / "scores.json").read_text())
    for name, head in scores["heads"].items():
        print(f"{name}_pearson {head['average']['mean_pearson']:.3f} correlation")
        print(f"{name}_pearson_given_depth {head['average']['mean_pearson_given_depth']:.3f} correlation")
    print(f"evaluate_peak_memory {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20:.2f} GiB")
    print(f"evaluate_cpu {resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime:.0f} s")
    print(f"evaluate_five_sections {seconds:.0f} s")


if __name__ == "__main__":
    main()
