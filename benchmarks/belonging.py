"""Claim: real pictures pass for H&E and for themselves; inverted, turned and other ones, and other counts, do not.

Prints how many real pictures are taken for H&E as they are and inverted; the correlations by which a picture is
compared with the vendor's smaller one (a real lowres picture, made twice as large, against itself, turned, and against
those of all other sections); and how counts of DLPFC 151510 meet the positions of other sections.
"""

from collections import Counter

import numpy as np
from PIL import Image

from histoscribe.io import Request, read
from histoscribe.io.preflight_counts import join_finding
from histoscribe.io.preflight_stain import stain_finding
from histoscribe.slide.image import ArraySource, SlideImage
from histoscribe.slide.open import open_image
from histoscribe.slide.registration import register
from histoscribe.slide.tissue import tissue_mask
from histoscribe.slide.turns import EIGHT
from support.domains import data_file

# microns per pixel, roughly: only the mask depends on them
PICTURES = {
    "her2st/images/*": 1.0, "nuclei/monuseg/*.tif": 0.25, "nuclei/stardist_histo.jpg": 0.5,
    "st/mob_stutility/*.jpg": 3.0, "st/xfuse_mob_tiny/image.jpg": 3.0, "visium/*/spatial/tissue_lowres_image.png": 15.0,
    "visium/dlpfc/*/tissue_lowres_image.png": 11.0, "visium/squidpy_crop/test_img.jpg": 0.6,
    "wsi/CMU-1-Small-Region.svs": 0.5, "wsi/tiatoolbox_target_image.png": 0.5, "xenium/*/*.jpg": 5.0,
}  # fmt: skip
LOWRES = ("visium/dlpfc/*/tissue_lowres_image.png", "visium/*/spatial/tissue_lowres_image.png")


def of_pixels(pixels: np.ndarray, mpp: float | None = None) -> SlideImage:
    return SlideImage(ArraySource([np.ascontiguousarray(pixels)]), mpp=mpp)


def stain() -> None:
    found: dict[str, Counter] = {"as_it_is": Counter(), "inverted": Counter()}
    for pattern, mpp in PICTURES.items():
        for path in sorted(data_file(".").glob(pattern)):
            image = open_image(path)
            pixels = image.read(0, 0, image.width, image.height)
            for how, changed in (("as_it_is", pixels), ("inverted", 255 - pixels)):
                one = of_pixels(changed, mpp)
                level = stain_finding(one, tissue_mask(one)).level
                found[how][level] += 1
                if level != {"as_it_is": "ok", "inverted": "refused"}[how]:
                    print(f"belonging_stain_{how} {level}: {path.name}")
    for how, levels in found.items():
        print(f"belonging_stain_{how} {', '.join(f'{n} {level}' for level, n in sorted(levels.items()))}")


def pictures() -> None:
    paths = [path for pattern in LOWRES for path in sorted(data_file(".").glob(pattern))]
    pixels = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    own, turned, other = [], [], []
    for k, small in enumerate(pixels):
        height, width = small.shape[:2]
        large = np.asarray(Image.fromarray(small).resize((2 * width, 2 * height), Image.Resampling.BICUBIC))
        found = register(of_pixels(large), of_pixels(small))
        own.append(found.score)
        turned.append(found.second)
        for j, another in enumerate(pixels):
            if j != k:
                resized = np.asarray(Image.fromarray(another).resize((width, height)))
                other.append(register(of_pixels(resized), of_pixels(small)).score)
    print(f"belonging_picture_own {min(own):.3f} at least, of {len(own)}")
    print(f"belonging_picture_turned {max(turned):.3f} at most")
    print(f"belonging_picture_other {max(other):.3f} at most, turned in any way")


def parts() -> None:
    """Parts of a third of the side and more, scaled and turned: how high they correlate, and how far off they land."""
    rng, scores, apart, off = np.random.default_rng(0), [], [], []
    for path in [path for pattern in LOWRES for path in sorted(data_file(".").glob(pattern))]:
        small = np.asarray(Image.open(path).convert("RGB"))
        large = np.asarray(Image.fromarray(small).resize([3 * side for side in small.shape[1::-1]]))
        for share, scale in ((0.9, 1.0), (0.6, 0.45), (0.35, 0.7)):
            size = np.array([int(share * side) for side in large.shape[1::-1]])
            corner = rng.integers(0, np.array(large.shape[1::-1]) - size + 1)
            cut = Image.fromarray(large[corner[1] : corner[1] + size[1], corner[0] : corner[0] + size[0]])
            part = np.asarray(cut.resize([round(side * scale) for side in size], Image.Resampling.LANCZOS))
            turn = EIGHT[int(rng.integers(8))]
            found = register(of_pixels(turn.pixels(part)), of_pixels(small), scales=[3.0])
            scores.append(found.score)
            apart.append(found.score - found.second)
            xy = np.array([corner, corner + size]) / 3
            true = turn.points((xy * 3 - corner) * part.shape[1::-1] / size, part.shape[1::-1])
            off.append(np.abs(found.points(xy) - true).max() / (3 * scale))
    print(f"belonging_parts {min(scores):.3f} at least, {min(apart):.3f} above all else, of {len(scores)}")
    print(f"belonging_parts_off {max(off):.2f} pixels of the small picture at most, {np.median(off):.2f} in the middle")


def counts() -> None:
    for name in ("151510", "151509", "151507", "151673", "151676"):
        folder = data_file(f"visium/dlpfc/{name}")
        reading = read(Request(path=folder, counts=data_file("visium/dlpfc/151510/151510_500genes.h5ad")))
        found = join_finding(reading.join)
        print(f"belonging_counts_151510_on_{name} {100 * found.evidence['off_tissue_share']:.1f} % ({found.level})")


def main() -> None:
    stain()
    pictures()
    parts()
    counts()


if __name__ == "__main__":
    main()
