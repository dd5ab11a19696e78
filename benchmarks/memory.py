"""Peak memory of preflight, mask, tiles and embedding: a 20,000 x 20,000 image, and one of twice the side.

Each size runs in a process of its own on the same 3,000 spots per 20,000 x 20,000 pixels, drawn as a tiled BigTIFF.
`--sides 4000 8000` makes it a quick check.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

MPP = 0.5


def draw(path: Path, side: int) -> None:
    """Draw a tissue-like picture, written tile by tile: a disc of pink with purple grains on white glass."""
    import tifffile

    tile = 512
    rng = np.random.default_rng(0)
    grain = rng.integers(-40, 40, (tile, tile, 1), np.int16)
    rows = np.arange(side)

    def tiles():
        for y in range(0, side, tile):
            for x in range(0, side, tile):
                yy, xx = rows[y : y + tile, None], rows[None, x : x + tile]
                inside = ((yy - side / 2) ** 2 + (xx - side / 2) ** 2 < (0.42 * side) ** 2)[..., None]
                colour = np.where(inside, np.array([205, 140, 180]), np.array([242, 242, 242]))
                patch = colour + np.where(inside, grain[: yy.size, : xx.size], 0)
                full = np.full((tile, tile, 3), 242, np.uint8)
                full[: yy.size, : xx.size] = patch.clip(0, 255)
                yield full

    tifffile.imwrite(
        path,
        tiles(),
        shape=(side, side, 3),
        dtype=np.uint8,
        tile=(tile, tile),
        photometric="rgb",
        compression="jpeg",
        bigtiff=True,
        resolution=(1e4 / MPP, 1e4 / MPP),
        resolutionunit="CENTIMETER",
    )


def spots(path: Path, side: int) -> None:
    """Write 3,000 spots per 20,000 x 20,000 pixels on a square grid inside the disc."""
    step = 20_000 / np.sqrt(3000 / (np.pi * 0.4**2))
    axis = np.arange(side * 0.1, side * 0.9, step)
    xy = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    xy = xy[((xy - side / 2) ** 2).sum(1) < (0.4 * side) ** 2]
    lines = [f"s{i},{x:.2f},{y:.2f}" for i, (x, y) in enumerate(xy)]
    path.write_text("barcode,x,y\n" + "\n".join(lines) + "\n")


def work(folder: Path) -> None:
    """Run what is measured, in its own process, and print the peak."""
    import resource

    from histoscribe.encoders import EmbedSettings, build_encoder, embed, load_card
    from histoscribe.io import read
    from histoscribe.io.preflight import preflight
    from histoscribe.io.reading import Request

    reading = read(Request(section="slide", image=folder / "slide.tif", spots=folder / "spots.csv"))
    preflight(reading).raise_if_refused()
    encoder = build_encoder(load_card("morphology"))
    embed(
        reading.section.require_image(),
        reading.section.xy_px,
        encoder,
        tile_um=112.0,
        folder=folder / "embedding.zarr",
        settings=EmbedSettings(),
    )
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sides", nargs=2, type=int, default=[20_000, 40_000])
    parser.add_argument("--work", type=Path)
    given = parser.parse_args()
    if given.work:
        work(given.work)
        return
    peaks = []
    for side in given.sides:
        with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as name:
            folder = Path(name)
            draw(folder / "slide.tif", side)
            spots(folder / "spots.csv", side)
            done = subprocess.run(
                [sys.executable, __file__, "--work", str(folder)], check=True, capture_output=True, text=True
            )
        peaks.append(float(done.stdout.split()[-1]))
        print(f"peak_{side} {peaks[-1]:.2f} GB")
    print(f"peak_ratio {peaks[1] / peaks[0]:.2f} times")


if __name__ == "__main__":
    main()
