"""Claim: checking a whole slide takes under 10 s of one core and under 1 GB.

A phantom of 40,000 x 40,000 pixels, a tiled JPEG pyramid as scanners write it, with 3,000 spots. Prints the seconds of
processor time, which other work on the machine hardly changes, and the peak memory. `--side 8000` is a quick check.
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

TILE, MPP = 512, 0.25
GLASS, TISSUE = np.array([242, 242, 242]), np.array([205, 140, 180])


def is_tissue(x: np.ndarray, y: np.ndarray, side: int) -> np.ndarray:
    """Draw a disc of which a corner is missing, so that no turn fits as well."""
    disc = (y - side * 0.45) ** 2 + (x - side * 0.5) ** 2 < (0.36 * side) ** 2
    return disc & ~((x > side * 0.6) & (y > side * 0.5))


def tiles(side: int, step: int) -> Iterator[np.ndarray]:
    """Tiles of the level that is `step` times smaller."""
    grain = np.random.default_rng(0).integers(-40, 40, (TILE, TILE, 1))
    whole = {True: (TISSUE + grain).astype(np.uint8), False: np.full((TILE, TILE, 3), 242, np.uint8)}
    for top in range(0, side // step, TILE):
        for left in range(0, side // step, TILE):
            y, x = np.ogrid[top : top + TILE, left : left + TILE]
            inside = is_tissue(x * step, y * step, side)
            if inside.all() or not inside.any():
                yield whole[bool(inside.all())]
            else:
                yield np.where(inside[..., None], whole[True], GLASS).astype(np.uint8)


def draw(path: Path, side: int) -> None:
    options = {"dtype": np.uint8, "tile": (TILE, TILE), "photometric": "rgb", "compression": "jpeg"}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        for k, step in enumerate((1, 4, 16, 64)):
            level = {"subifds": 3} if k == 0 else {"subfiletype": 1}
            per_cm = 1e4 / (MPP * step)
            file.write(
                tiles(side, step), shape=(side // step, side // step, 3), resolution=(per_cm, per_cm),
                resolutionunit="CENTIMETER", **level, **options,
            )  # fmt: skip


def spots(path: Path, side: int) -> None:
    axis = np.arange(side * 0.1, side * 0.9, side / 90)
    x, y = (part.ravel() for part in np.meshgrid(axis, axis))
    chosen = is_tissue(x, y, side)
    lines = [f"s{k},{a:.1f},{b:.1f}" for k, (a, b) in enumerate(zip(x[chosen], y[chosen], strict=True))]
    path.write_text("barcode,x,y\n" + "\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=40_000)
    side = parser.parse_args().side
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "slide.tif", side)
        spots(folder / "spots.csv", side)
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        from histoscribe.io import Request, read
        from histoscribe.io.preflight import preflight

        found = preflight(read(Request(section="s", image=folder / "slide.tif", spots=folder / "spots.csv")))
        seconds = time.process_time() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(f"check_slide_{side} {seconds:.1f} s of one core, peak {peak / 1024:.0f} MB ({before / 1024:.0f} MB before)")
    if found.refused or seconds > 10 or peak > 1024**2:
        raise SystemExit("the claim does not hold")


if __name__ == "__main__":
    main()
