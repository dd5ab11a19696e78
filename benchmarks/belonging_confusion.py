"""Claim: a picture that does not belong to its spots is refused or put right, and one that does is left alone.

Prints a confusion table, with the vendor's smaller picture and without: how many perturbed inputs are refused, warned
of or said to be open, how many are placed rightly, by themselves or with `align`, and what happens to the untouched.
Eight real sections, whose lowres picture serves as the full-resolution one and its half as the vendor's, and
eight phantoms. `--sections 2` makes it a quick check.
"""

import argparse
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from histoscribe.io import read
from histoscribe.io.frames import find_frame
from histoscribe.io.placing import placed
from histoscribe.io.preflight import preflight
from histoscribe.io.preflight_counts import join_finding
from histoscribe.io.reading import Join, Reading, Thumbnail
from histoscribe.phantom import make_phantom, write_spaceranger
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.turns import EIGHT, Turn
from support.domains import data_file

REAL = (
    *(f"visium/dlpfc/{name}" for name in ("151507", "151510", "151669", "151673", "151676")),
    "visium/breast_block_a_section_1", "visium/mouse_brain_v1", "visium/mouse_cytassist",
)  # fmt: skip
SCALES = (0.25, 0.5, 0.7, 0.9, 1.25, 1.5)
PARTS = ((0.9, 1.0), (0.75, 1.0), (0.6, 1.0), (0.7, 0.7))  # share of each side, scale
SHIFTS = (1, 3, 10, 25, 50)  # pitches
OF_SMALL_PICTURES = {"spot size", "counts", "empty spots", "dead spots", "constant genes"}
LEVELS = ("refused", "warning", "open", "ok")


@dataclass
class Truth:
    """Where spots belong in a perturbed picture: `turn`, after a part at `corner` was scaled."""

    turn: Turn = EIGHT[0]
    corner: tuple[float, float] = (0.0, 0.0)
    scale: tuple[float, float] = (1.0, 1.0)


def of_pixels(pixels: np.ndarray) -> SlideImage:
    return SlideImage(ArraySource([np.ascontiguousarray(pixels)]), path=Path("given.tif"))


def resized(pixels: np.ndarray, factor: float) -> np.ndarray:
    size = [max(1, round(side * factor)) for side in pixels.shape[1::-1]]
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def of_folder(path: Path) -> tuple[Reading, np.ndarray]:
    """Read a section from its small picture, as if that were the full-resolution one, without its thumbnail."""
    reading = read(path)
    image = reading.section.require_image()
    pixels = image.read(0, 0, image.width, image.height)
    return replace(reading, image_scale=1.0, scales={}, join=None), pixels


def sections(folder: Path, n: int) -> list[tuple[str, Reading, np.ndarray]]:
    found = [(Path(name).name, *of_folder(data_file(name))) for name in REAL[:n]]
    for seed in range(1, n + 1):
        phantom = make_phantom(seed, size_um=(1600.0, 1300.0), mpp=2.0, n_genes=40, n_domains=2 + seed % 4)
        found.append((f"phantom {seed}", *of_folder(write_spaceranger(phantom, folder / f"p{seed}"))))
    return found


def given(reading: Reading, pixels: np.ndarray, whole: np.ndarray, *, small: bool) -> Reading:
    """Read a section as where a user gives this picture; `whole` is the right one."""
    image = of_pixels(pixels)
    thumbnail = Thumbnail("lowres", of_pixels(resized(whole, 0.5)), 0.5) if small else None
    frame = find_frame(
        image, {"lowres": 0.5}, reading.section.xy_px, full_size_px=whole.shape[1::-1] if small else None
    )
    mpp = reading.section.mpp / frame.factor
    spots = reading.section.spots.copy()
    spots.obsm["spatial"] = reading.section.xy_px * frame.factor
    section = replace(reading.section, spots=spots, image=replace(image, mpp=mpp))
    return replace(
        reading,
        section=section,
        image_scale=frame.factor,
        scales={"lowres": 0.5},
        mpp_by_source={"spot pitch": mpp},
        off_tissue_xy_px=reading.off_tissue_xy_px * frame.factor,
        thumbnail=thumbnail,
    )


def perturbed(pixels: np.ndarray, rng: np.random.Generator) -> list[tuple[str, np.ndarray, Truth]]:
    height, width = pixels.shape[:2]
    cases = [("untouched", pixels, Truth())]
    cases += [("another scale", resized(pixels, s), Truth(scale=(s, s))) for s in SCALES]
    cases += [("turned or mirrored", turn.pixels(pixels), Truth(turn)) for turn in EIGHT[1:]]
    for k, (share, scale) in enumerate(PARTS):
        size = int(width * share), int(height * share)
        left, top = (int(rng.integers(0, whole - side + 1)) for whole, side in zip((width, height), size, strict=True))
        part = resized(pixels[top : top + size[1], left : left + size[0]], scale)
        turn = EIGHT[0] if k % 2 == 0 else EIGHT[int(rng.integers(8))]
        exact = part.shape[1] / size[0], part.shape[0] / size[1]
        cases.append(("a part cut out", turn.pixels(part), Truth(turn, (left, top), exact)))
    return cases


def verdict(reading: Reading) -> str:
    """Worst level of what the preflight finds, without what small pictures and missing counts make it say."""
    levels = {finding.level for finding in preflight(reading).findings if finding.name not in OF_SMALL_PICTURES}
    return next(level for level in LEVELS if level in levels)


def is_right(reading: Reading, true: Reading, pixels: np.ndarray, truth: Truth) -> bool:
    """Whether every spot lies within half a pitch of where it belongs."""
    height, width = pixels.shape[:2]
    size = (height, width) if truth.turn.swap else (width, height)
    vendor = dict(zip(true.section.spots.obs_names, true.section.xy_px, strict=True))
    xy = np.array([vendor[name] for name in reading.section.spots.obs_names])
    wanted = truth.turn.points((xy - truth.corner) * truth.scale, size)
    pitch = true.section.lattice.pitch_um / true.section.mpp * min(truth.scale)
    return bool(np.linalg.norm(reading.section.xy_px - wanted, axis=1).max() < pitch / 2)


def moved(reading: Reading, by_px: np.ndarray) -> Reading:
    spots = reading.section.spots.copy()
    spots.obsm["spatial"] = reading.section.xy_px + by_px
    off = reading.off_tissue_xy_px + by_px
    return replace(reading, section=replace(reading.section, spots=spots), off_tissue_xy_px=off)


def counts(readings: list[Reading]) -> Counter:
    """Positions of one real section with the barcodes of another: they share one list, by array row and column."""
    found: Counter = Counter()
    barcodes = [set(reading.section.spots.obs_names) for reading in readings]
    for k, one in enumerate(barcodes):
        for j, other in enumerate(barcodes):
            if k != j and len(one & other) > 100:
                level = join_finding(Join(len(one), len(other), len(one & other))).level
                found[level] += 1
    return found


def main() -> None:
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sections", type=int, default=8, help="real ones, and as many phantoms")
    n = parser.parse_args().sections
    rng = np.random.default_rng(0)
    table: dict[tuple[bool, str], Counter] = defaultdict(Counter)
    with tempfile.TemporaryDirectory() as folder:
        made = sections(Path(folder), n)
        for k, (name, reading, pixels) in enumerate(made):
            cases = perturbed(pixels, rng)
            for j in (k + 1, k + 2):
                other = made[j % n if k < n else n + j % n][2]
                same_size = np.asarray(Image.fromarray(other).resize(pixels.shape[1::-1]))
                cases.append(("another section's picture", same_size, Truth()))
            for small in (True, False):
                for what, picture, truth in cases:
                    row = table[small, what]
                    one = given(reading, picture, pixels, small=small)
                    level = verdict(one)
                    right = is_right(one, reading, picture, truth) and what != "another section's picture"
                    aligned = placed(one)
                    mended = aligned.registration is not None and verdict(aligned) != "refused"
                    row.update([level, "inputs"])
                    row["right at once"] += right
                    row["right with align"] += right or (mended and is_right(aligned, reading, picture, truth))
                    row["wrongly placed"] += mended and not is_right(aligned, reading, picture, truth)
                    row["silent"] += level in ("ok", "open") and not right
                    if what == "untouched" and level in ("refused", "warning"):
                        bad = [f.name for f in preflight(one).findings if f.level == level]
                        print(f"belonging_alarm {name} thumbnail={small}: {level} {bad}", flush=True)
            pitch = reading.section.lattice.pitch_um / reading.section.mpp
            for far in SHIFTS:
                angle = rng.uniform(0, 2 * np.pi)
                one = given(reading, pixels, pixels, small=False)
                row = table[False, f"spots moved by {far} pitches"]
                level = verdict(moved(one, far * pitch * np.array([np.cos(angle), np.sin(angle)])))
                row.update([level, "inputs"])
                row["silent"] += level in ("ok", "open")
            print(f"belonging_done {name}", flush=True)
    columns = ("inputs", *LEVELS, "silent", "right at once", "right with align", "wrongly placed")
    print("| vendor's picture | input | " + " | ".join(columns) + " |")
    for (small, what), row in sorted(table.items(), key=lambda item: not item[0][0]):
        print(f"| {'there' if small else 'none'} | {what} | " + " | ".join(str(row[c]) for c in columns) + " |")
    print("belonging_counts", dict(counts([reading for _, reading, _ in made[:n]])))


if __name__ == "__main__":
    main()
