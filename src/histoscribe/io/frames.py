"""Which frame a picture is in: the vendor's full-resolution pixels, or those times a scale factor."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, InputError, listing
from histoscribe.io.reading import Request
from histoscribe.slide.image import SlideImage

# a spot or two at the very edge may lie outside
INSIDE = 0.99
_NEARLY = 0.015  # smaller pictures that were cut themselves give the full size no better
_TOLERANCE = 0.005  # a picture scaled to 600 pixels is rounded by up to 1 in 600


@dataclass(frozen=True, slots=True)
class Frame:
    """A picture's frame: its name, the factor from full-resolution pixels to its own, and the evidence."""

    name: str
    factor: float
    why: str


def stated_frame(scale: str, scales: Mapping[str, float], where: Path | None) -> Frame:
    """Frame that the user states: "fullres", "hires", "lowres", a factor "0.2876", or two widths "2000/6954".

    Parameters
    ----------
    scale
        What the user wrote.
    scales
        Factors by name that the vendor's files hold.
    where
        The picture, for messages.

    Raises
    ------
    ConfigError
        Where it is none of these, or the vendor's files hold no such factor.
    """
    name = scale.strip().lower()
    if name == "fullres":
        return Frame("fullres", 1.0, "stated by the user")
    if name in scales:
        return Frame(name, scales[name], "stated by the user")
    if name in {"hires", "lowres"}:
        raise ConfigError(
            f"scale {scale!r} was asked for, but no scale factor of that name is known",
            where=where,
            expected=f"tissue_{name}_scalef in scalefactors_json.json",
            found=f"factors: {listing(scales)}",
            fix="give the factor itself: the picture's width over the width of the full-resolution image",
        )
    number = re.fullmatch(r"([0-9.]+(?:e-?[0-9]+)?)(?:\s*/\s*([0-9.]+))?", name)
    try:
        factor = float(number[1]) / float(number[2] or 1) if number else 0.0
    except (ValueError, ZeroDivisionError):
        factor = 0.0
    if not (np.isfinite(factor) and 1e-4 < factor < 1e4):
        raise ConfigError(
            f"the scale {scale!r} is not understood",
            where=where,
            expected='fullres, hires, lowres, a factor such as 0.2876, or two widths such as "2000/6954"',
        )
    return Frame("stated", factor, f"a factor of {factor:.6g} stated by the user")


def find_frame(
    image: SlideImage,
    scales: Mapping[str, float],
    xy_px: NDArray[np.float64],
    *,
    full_size_px: tuple[float, float] | None = None,
) -> Frame:
    """Find the frame of a picture where the user has not stated it.

    The picture's name decides, then its size and shape against the known full size, then where the spots fit.

    Parameters
    ----------
    image
        The picture.
    scales
        Factors by name that the vendor's files hold.
    xy_px
        Centres of the spots in full-resolution pixels, (n, 2).
    full_size_px
        Width and height of the full-resolution image, where another picture gives it.

    Returns
    -------
    The frame; one that is assumed where the picture has another shape than the full-resolution image. Preflight then
    finds where it lies, or refuses it.
    """
    factors = {"fullres": 1.0, **scales}
    stem = image.path.name.lower() if image.path else ""
    for name in ("hires", "lowres"):
        if f"tissue_{name}" in stem and name in scales:
            return Frame(name, scales[name], f"by its name, {image.path.name if image.path else ''}")
    if full_size_px is not None:
        for name, factor in factors.items():
            if fits_size(image, full_size_px, factor):
                return Frame(name, factor, f"by its size, {image.width} x {image.height} pixels")
        return _by_shape(image, full_size_px, factors)
    for name, factor in sorted(factors.items(), key=lambda item: -item[1]):
        if inside(xy_px * factor, image.shape) >= INSIDE:
            return Frame(name, factor, "the largest frame in which the spots lie inside the image")
    return Frame("fullres", 1.0, "assumed: the spots fit the image in no known frame")


def _by_shape(image: SlideImage, full_size_px: tuple[float, float], factors: Mapping[str, float]) -> Frame:
    """Frame of a picture that is the full-resolution image at a scale of its own, or of a part of it."""
    full = f"{full_size_px[0]:,.0f} x {full_size_px[1]:,.0f}"
    factor = float(np.sqrt(image.width * image.height / np.prod(full_size_px)))
    near = min(factors, key=lambda name: abs(np.log(factor / factors[name])))
    if all(
        abs(side / (whole * factors[near]) - 1) < _NEARLY
        for side, whole in zip((image.width, image.height), full_size_px, strict=True)
    ):
        return Frame(near, factors[near], f"nearly by its size, {image.width} x {image.height} pixels of {full}")
    if fits_size(image, full_size_px, factor):
        return Frame("rescaled", factor, f"by its shape: the full-resolution image of {full} pixels times {factor:.4g}")
    why = f"assumed: its shape is not that of the full-resolution image of {full} pixels"
    return Frame("fullres", 1.0, why)


def fits_size(image: SlideImage, full_size_px: tuple[float, float], factor: float) -> bool:
    """Whether a picture has the size that the full-resolution image has after scaling by `factor`."""
    sides = zip((image.width, image.height), full_size_px, strict=True)
    return all(abs(side - full * factor) <= max(1.5, _TOLERANCE * side) for side, full in sides)


def within(xy_px: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Whether points, (n, 2), lie inside a picture of this height and width, (n,)."""
    found: NDArray[np.bool_] = np.all((xy_px >= 0) & (xy_px < (shape[1], shape[0])), axis=1)
    return found


def inside(xy_px: NDArray[np.float64], shape: tuple[int, ...]) -> float:
    """Share of the points, (n, 2), that lie inside a picture of this height and width."""
    return float(within(xy_px, shape).mean()) if len(xy_px) else 1.0


def open_picture(path: Path, request: Request) -> SlideImage:
    """Open a picture lazily, as the request allows.

    Raises
    ------
    InputError
        Where it is missing, no picture, or damaged and that is not allowed.
    """
    from histoscribe.io.tables import missing
    from histoscribe.slide.open import open_image
    from histoscribe.store.received import is_there

    if not is_there(path):
        raise missing(path)
    if path.is_dir() and path.suffix != ".zarr":
        raise InputError("a picture was expected, this is a folder", where=path)
    return open_image(path, allow_damaged=request.allow_damaged)
