"""Claim: `histoscribe nuclei` stays under 2 GB at 20,000 x 20,000 pixels. What grows is the table of the nuclei.

Slides of two sizes at 0.5 um/px, a disc of tissue on glass, drawn tile by tile from one patch of a phantom; each is
worked on by the command as a user types it, in a process of its own. `--sides 3000 6000` makes it a quick check.
"""

import argparse
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import numpy as np
import pandas as pd
import tifffile

from histoscribe.nuclei.export import write_geojson
from histoscribe.nuclei.table import COLUMNS, PARTS, write_part
from histoscribe.phantom import make_phantom

MPP, PATCH_PX, TILE_PX = 0.5, 1024, 512


def draw(path: Path, side: int) -> None:
    """Write a tiled BigTIFF: a disc of the phantom's tissue, patch beside patch, on white glass."""
    patch = make_phantom(0, size_um=2800, n_domains=6).image.read(2300, 2300, PATCH_PX, PATCH_PX)

    def tiles():
        for y in range(0, side, TILE_PX):
            for x in range(0, side, TILE_PX):
                rows, columns = np.ogrid[y : y + TILE_PX, x : x + TILE_PX]
                tissue = patch[rows % PATCH_PX, columns % PATCH_PX]
                inside = (rows - side / 2) ** 2 + (columns - side / 2) ** 2 < (0.42 * side) ** 2
                yield np.where(inside[..., None], tissue, np.uint8(242))

    tifffile.imwrite(
        path,
        tiles(),
        shape=(side, side, 3),
        dtype=np.uint8,
        tile=(TILE_PX, TILE_PX),
        photometric="rgb",
        compression="jpeg",
        bigtiff=True,
        resolution=(1e4 / MPP, 1e4 / MPP),
        resolutionunit="CENTIMETER",
    )


def measured(folder: Path) -> tuple[float, int]:
    """Seconds that the command took, and the nuclei that it found."""
    call = [sys.executable, "-m", "histoscribe", "nuclei", str(folder / "slide.tif"), "--out", str(folder / "r")]
    start = perf_counter()
    output = subprocess.run(call, check=True, capture_output=True, text=True).stdout
    found = re.search(r"([\d,]+) nuclei", output)
    if found is None:
        raise SystemExit(output)
    return perf_counter() - start, int(found[1].replace(",", ""))


def million() -> float:
    """Gigabytes by which the memory grows while the GeoJSON of a million nuclei of 24 corners is written."""
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / PARTS).mkdir()
        for block in range(500):
            table = pd.DataFrame({name: rng.random(2000, np.float32) for name in COLUMNS})
            table["nucleus"] = np.arange(2000) + 2000 * block
            outlines = [rng.random((24, 2)) * 5e4 for _ in range(2000)]
            write_part(folder / PARTS / f"{block:08d}.parquet", table, outlines)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        write_geojson(folder)
        return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 / 1e9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[8_000, 20_000])
    sides = sorted(parser.parse_args().sides)  # the peak of all children so far is that of the largest
    print(f"geojson_of_a_million {million():.2f} GB", flush=True)
    peaks = []
    for side in sides:
        with tempfile.TemporaryDirectory() as scratch:
            folder = Path(scratch)
            draw(folder / "slide.tif", side)
            seconds, nuclei = measured(folder)
        peaks.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e9)
        print(f"nuclei_{side} {nuclei} nuclei")
        print(f"seconds_{side} {seconds:.0f} s")
        print(f"speed_{side} {np.pi * (0.42 * side * MPP / 1e3) ** 2 / seconds:.2f} mm2/s")
        print(f"peak_{side} {peaks[-1]:.2f} GB", flush=True)
    print(f"peak_ratio {peaks[-1] / peaks[0]:.2f} times the smallest slide's")


if __name__ == "__main__":
    main()
