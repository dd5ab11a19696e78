"""The pictures of a SpatialData store: which is a section's, its colours by name, and where its spots lie in it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError, listing
from histoscribe.io.frames import inside
from histoscribe.io.reading import Request, Thumbnail
from histoscribe.section import raster_source
from histoscribe.slide.channels import colour_order
from histoscribe.slide.image import SlideImage

BINS = re.compile(r"square_(\d{3})um")
# spatialdata-io's names, best first; its CytAssist picture is of another instrument
_SUFFIXES = {"fullres": "_full_image", "hires": "_hires_image", "lowres": "_lowres_image"}
_UNDER = 0.5  # share of the spots that lie inside a picture of theirs; preflight judges the rest


def stored_picture(
    sdata: Any, region: str, request: Request, path: Path, xy_px: NDArray[np.float64]
) -> tuple[SlideImage | None, NDArray[np.float64], list[str]]:
    """Return the picture of a region and the spots in its pixels, (n, 2)."""
    name, notes = _choose_image(sdata, region, request, path, xy_px=xy_px)
    if name is None:
        return None, xy_px, [*notes, "the store holds no picture"]
    image = _slide_image(sdata.images[name], name, path)
    return image, _into(sdata, region, name, path, xy_px), [*notes, f"image: {name!r} of the store"]


def stored_thumbnail(sdata: Any, region: str, path: Path) -> tuple[Thumbnail | None, list[str]]:
    """Return the store's own picture of a region, where it is placed by a scale alone, and notes on others."""
    own = _own_images(sdata, region)
    if len(own) > 1:  # of other samples too, where none is named after this one
        own = [f"{sample_of(region)}{_SUFFIXES[kind]}" for kind in ("hires", "lowres", "fullres")]
    notes = []
    for name in own:
        if name not in sdata.images:
            continue
        corners = np.array([[0.0, 0.0], [1000.0, 0.0], [0.0, 1000.0]])
        try:
            origin, right, down = _into(sdata, region, name, path, corners)
            image = _slide_image(sdata.images[name], name, path)
        except InputError as error:
            notes.append(f"image {name!r} of the store was not compared with the one given ({error.problem})")
            continue
        factor = (right - origin)[0] / 1000.0
        upright = np.eye(2) * 1000.0 * factor
        # the corner of a pixel and its middle differ by half a pixel
        if factor > 0 and np.abs(origin).max() < 1 and np.allclose([right - origin, down - origin], upright, rtol=1e-3):
            return Thumbnail(name, image, factor), notes
    return None, notes


def sample_of(region: str) -> str:
    """Return the sample that shapes are named after, without the size of their bins."""
    return BINS.sub("", region).rstrip("_")


def _own_images(sdata: Any, region: str) -> list[str]:
    """Names of the pictures of a region's sample, by its whole name; those of no sample where none is named after it.

    Pictures that are named after another sample of the store are never taken.
    """
    names = [name for name in sdata.images if not name.endswith("_cytassist_image")]
    sample = sample_of(region)
    exact = [name for name in names if _belongs(name, sample)]
    others = {sample_of(one) for one in sdata.shapes} - {sample}
    others = {one for one in others if one and not sample.startswith(one)}
    free = [name for name in names if not any(_belongs(name, one) or name.startswith(f"{one}_") for one in others)]
    return exact or [name for name in free if name.startswith(f"{sample}_")] or free


def _belongs(image: str, sample: str) -> bool:
    return image in (sample, *(f"{sample}{suffix}" for suffix in _SUFFIXES.values()))


def _choose_image(
    sdata: Any, region: str, request: Request, path: Path, *, xy_px: NDArray[np.float64]
) -> tuple[str | None, list[str]]:
    """Choose the picture of a region: of its sample's name, of colours, in a shared system, under its spots."""
    names = _own_images(sdata, region)
    if request.scale in _SUFFIXES:
        names = [name for name in names if name.endswith(_SUFFIXES[request.scale])]
    faults = {name: _fault(sdata, region, name, path, xy_px=xy_px) for name in names}
    fitting = [name for name in names if faults[name] is None]
    notes = [f"image {name!r} of the store was passed over: {fault.problem}" for name, fault in faults.items() if fault]
    for suffix in _SUFFIXES.values():
        best = [name for name in fitting if name.endswith(suffix)]
        if best:
            fitting = best
            break
    if len(fitting) == 1:
        return fitting[0], notes
    if not sdata.images or (not names and request.scale is None):
        others = ["the store holds pictures of other samples only"] if sdata.images else []
        return None, others
    if names and not fitting:
        raise next(fault for fault in faults.values() if fault is not None)
    raise InputError(
        "the store does not say which picture is the section's",
        where=path,
        expected=f"one H&E image for the shapes {region!r}",
        found=f"images that could be it: {listing(fitting)}; all images: {listing(sdata.images)}",
        fix="give scale (fullres, hires or lowres), the picture as image, or a store with one picture",
    )


def _fault(sdata: Any, region: str, name: str, path: Path, *, xy_px: NDArray[np.float64]) -> InputError | None:
    """Say why a picture cannot be that of a region: its channels, where it lies, or that the spots lie beside it."""
    try:
        image = _slide_image(sdata.images[name], name, path)
        share = inside(_into(sdata, region, name, path, xy_px), image.shape)
    except InputError as error:
        return error
    if share >= _UNDER:
        return None
    return InputError(
        f"only {share:.0%} of the spots lie inside it",
        where=f"{path}: image {name!r}",
        expected=f"the picture of the shapes {region!r}",
        found=f"{image.width:,} x {image.height:,} pixels; the store's images: {listing(sdata.images)}",
        fix="give the H&E picture as image, or correct the transformation",
    )


def _slide_image(element: Any, name: str, path: Path) -> SlideImage:
    source = raster_source(element, where=path, channels=_colours(element, name, path))
    channels, kind = source.levels[0].shape[0], source.levels[0].dtype
    if channels != 3 or kind != np.uint8:
        raise InputError(
            f"image {name!r} is no colour picture of 8 bits",
            where=path,
            expected="uint8 with channels r, g, b",
            found=f"{channels} channels of {kind}",
            fix="give the H&E picture as image",
        )
    return SlideImage(source)


def _colours(element: Any, name: str, path: Path) -> tuple[int, ...]:
    """Which channels are red, green and blue, by their names; raises InputError where they are stains of another kind.

    Channels without names, three or four of them, are red, green, blue and opacity.
    """
    from spatialdata.models import get_channel_names

    names = [str(one).strip().lower() for one in get_channel_names(element)]
    order = colour_order(names)
    if order is not None:
        return order
    raise InputError(
        f"image {name!r} is no H&E: its channels are not red, green and blue",
        where=path,
        expected="channels r, g, b, in any order",
        found=f"{len(names)} channels: {listing(names)}",
        fix="give the H&E picture as image",
    )


def _into(sdata: Any, region: str, image: str, path: Path, xy_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Transform points from a region's own coordinates into an image's pixels, (n, 2).

    Every coordinate system that both share must lead to the same places.
    """
    ways = _matrices(sdata.shapes[region]), _matrices(sdata.images[image])
    shared = sorted(set(ways[0]) & set(ways[1]))
    if not shared:
        raise InputError(
            f"the store does not say how the shapes {region!r} lie in the image {image!r}",
            where=path,
            expected="a coordinate system that both share",
            found=f"shapes: {listing(ways[0])}; image: {listing(ways[1])}",
            fix="set a transformation of both to one coordinate system",
        )
    places = []
    for system in shared:
        matrix = np.linalg.inv(ways[1][system]) @ ways[0][system]  # (3, 3)
        places.append(xy_px @ matrix[:2, :2].T + matrix[:2, 2])  # (n, 2)
    spread = max(float(np.abs(place - places[0]).max()) for place in places)
    if spread > 1:
        raise InputError(
            f"the coordinate systems {listing(shared)} place the spots differently, by up to {spread:.0f} pixels",
            where=path,
            fix=f"remove the wrong transformation of {region!r} or {image!r}",
        )
    return places[0]


def _matrices(element: Any) -> dict[str, NDArray[np.float64]]:
    """Affine matrices, (3, 3) for x before y, of an element's transformations by coordinate system."""
    from spatialdata.transformations import get_transformation

    axes = ("x", "y")
    ways = get_transformation(element, get_all=True)
    return {
        str(system): np.asarray(way.to_affine_matrix(input_axes=axes, output_axes=axes)) for system, way in ways.items()
    }
