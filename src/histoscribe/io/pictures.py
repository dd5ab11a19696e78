"""Choosing a Space Ranger section's picture: the one given, a full-resolution image beside it, hires, lowres."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError, listing
from histoscribe.io.frames import INSIDE, Frame, find_frame, fits_size, inside, open_picture, stated_frame
from histoscribe.io.reading import Request, Thumbnail
from histoscribe.io.spaceranger import Folder, find, one
from histoscribe.io.tables import contents
from histoscribe.slide.image import SlideImage
from histoscribe.store.files import real_path

_PICTURE = re.compile(r".*\.(tif|tiff|btf|jpg|jpeg|svs|ndpi)", re.IGNORECASE)
# beside the positions lie Space Ranger's own PNG files, and those that users add; elsewhere a PNG is mostly a plot
_BESIDE_POSITIONS = re.compile(rf"{_PICTURE.pattern}|.*\.png", re.IGNORECASE)
_PACKED = re.compile(r".*\.(png|jpg|jpeg|tif|tiff)\.(gz|zip)", re.IGNORECASE)
# Space Ranger's pictures with spots or frames drawn in, and pictures of another instrument
_NOT_TISSUE = re.compile(
    r"tissue_(hires|lowres)_image|detected_tissue|aligned_|fiducial|cytassist|mask|thumb|label|macro"
)


def named(name: str) -> re.Pattern[str]:
    """Pattern of the file names of Space Ranger's picture `name`, "hires" or "lowres"."""
    return re.compile(rf".*?tissue_{name}_image\.(png|jpg|jpeg|tif|tiff)", re.IGNORECASE)


def choose_picture(
    request: Request, folder: Folder, scales: Mapping[str, float], xy_px: NDArray[np.float64]
) -> tuple[SlideImage | None, Frame, list[str]]:
    """Open the section's picture and say which frame it is in.

    Parameters
    ----------
    request
        Its `image` and `scale` are used where given.
    folder
        Where to look otherwise.
    scales
        Factors from full-resolution pixels, by name.
    xy_px
        Centres of the spots on tissue in full-resolution pixels, (n, 2).

    Returns
    -------
    The picture or None, its frame, and notes for the user.

    Raises
    ------
    InputError
        Where a picture is damaged, two of one kind lie together, or its frame has no scale factor.
    """
    beside = {name: path for name in ("hires", "lowres") if (path := _find_named(folder, name)) is not None}
    if request.image is not None:
        image = open_picture(request.image, request)
        if request.scale is not None:
            frame = stated_frame(request.scale, scales, request.image)
        else:
            frame = find_frame(image, scales, xy_px, full_size_px=_full_size(beside, scales, request))
        return image, frame, [f"image: {request.image.name}, {frame.name} frame ({frame.why})"]
    if request.scale in {"hires", "lowres"}:
        return _open_named(request, str(request.scale), beside, scales, folder)
    full, notes = _full_resolution(request, folder, beside, scales, xy_px)
    notes += _packed(folder, beside)
    if full is not None and full.path is not None:
        return full, Frame("fullres", 1.0, "beside the folder"), [*notes, f"image: {full.path.name}, full resolution"]
    if request.scale is not None:
        raise InputError(
            f"no {request.scale} image was found in the folder",
            where=folder.base,
            found=f"{contents(folder.base)}; {folder.spatial.name} holds: {contents(folder.spatial)}",
            fix="give the image beside the folder, for example in the column `image` of a sample sheet",
        )
    for name in beside:
        picture, frame, more = _open_named(request, name, beside, scales, folder)
        return picture, frame, notes + more
    return None, Frame("fullres", 1.0, "no picture"), notes


def thumbnail_of(
    folder: Folder, scales: Mapping[str, float], picture: SlideImage | None, request: Request
) -> Thumbnail | None:
    """Open the vendor's smaller picture, the sharpest that is not the section's picture itself; None where none is."""
    for name in ("hires", "lowres"):
        path = _find_named(folder, name)
        itself = path is None or picture is None or picture.path is None or real_path(picture.path) == real_path(path)
        if name in scales and path is not None and not itself:
            return Thumbnail(name, open_picture(path, request), scales[name])
    return None


def _find_named(folder: Folder, name: str) -> Path | None:
    for place in dict.fromkeys((folder.spatial, folder.base, *folder.above, *(p / "spatial" for p in folder.above))):
        path = one(find(place, named(name)), f"{name} pictures")
        if path is not None:
            return path
    return None


def _packed(folder: Folder, beside: Mapping[str, Path]) -> list[str]:
    """Name the pictures that lie there compressed, as GEO has them, where the picture itself does not."""
    found = [path for place in (folder.spatial, folder.base) for path in find(place, _PACKED)]
    return [
        f"{path.name} is compressed and was not read: unpack it"
        for path in dict.fromkeys(found)
        if not any(f"tissue_{name}" in path.name for name in beside)
    ]


def _open_named(
    request: Request, name: str, beside: Mapping[str, Path], scales: Mapping[str, float], folder: Folder
) -> tuple[SlideImage, Frame, list[str]]:
    if name not in beside:
        raise InputError(
            f"there is no {name} picture", where=folder.spatial, found=contents(folder.spatial), fix="give the image"
        )
    if name not in scales:
        raise InputError(
            f"the scale factor that places the spots in {beside[name].name} is missing",
            where=folder.spatial,
            expected=f"tissue_{name}_scalef in scalefactors_json.json",
            found=f"factors: {listing(scales)}; files: {contents(folder.spatial)}",
            fix="copy scalefactors_json.json from the run's outs/spatial folder, or give image and scale",
        )
    image = open_picture(beside[name], request)
    note = f"image: {beside[name].name}, the {name} picture; no full-resolution image was given"
    return image, Frame(name, scales[name], "by its name"), [note]


def _full_size(
    beside: Mapping[str, Path], scales: Mapping[str, float], request: Request, given: Path | None = None
) -> tuple[float, float] | None:
    """Width and height of the full-resolution image, from a smaller picture of it and its scale factor."""
    given = given or request.image
    for name, path in beside.items():
        if name in scales and (given is None or real_path(path) != real_path(given)):
            small = open_picture(path, request)
            return small.width / scales[name], small.height / scales[name]
    return None


def _full_resolution(
    request: Request,
    folder: Folder,
    beside: Mapping[str, Path],
    scales: Mapping[str, float],
    xy_px: NDArray[np.float64],
) -> tuple[SlideImage | None, list[str]]:
    """Open the full-resolution image beside the matrix or the positions, if exactly one picture there can be it."""
    places = dict.fromkeys((folder.base, *folder.above), _PICTURE) | {folder.spatial: _BESIDE_POSITIONS}
    paths = [path for place, pattern in places.items() for path in find(place, pattern)]
    paths = [path for path in paths if not _NOT_TISSUE.search(path.name.lower())]
    fitting: list[SlideImage] = []
    notes = []
    for path in paths:
        try:
            image = open_picture(path, request)
        except InputError as error:
            notes.append(f"{path.name} lies beside the section but is no readable picture ({error.problem})")
            continue
        size = _full_size(beside, scales, request, path)
        if size is None and inside(xy_px, image.shape) < INSIDE:
            notes.append(
                f"{path.name} lies beside the section but is not its full-resolution image: spots lie outside it"
            )
        elif size is None or fits_size(image, size, 1.0):
            fitting.append(image)
        else:
            notes.append(
                f"{path.name} lies beside the section but is not its full-resolution image: it has {image.width} x "
                f"{image.height} pixels, the positions are of {size[0]:.0f} x {size[1]:.0f}"
            )
    if len(fitting) == 1:
        return fitting[0], notes
    if fitting:
        names = listing(image.path.name for image in fitting if image.path)
        notes.append(f"several pictures could be the full-resolution image ({names}); give one to use it")
    return None, notes
