"""Visium folders of Space Ranger 1 to 4, on slides of 6.5 and 11 mm, whole or cut down to the files of one section."""

import re
from pathlib import Path
from typing import Any

from histoscribe.errors import InputError
from histoscribe.io.assemble import Parts, add_pitch, assemble
from histoscribe.io.lattice import VISIUM, spot_diameter_mpp
from histoscribe.io.pictures import choose_picture, thumbnail_of
from histoscribe.io.reading import Reading, Request
from histoscribe.io.spaceranger import FACTORS, POSITIONS, Folder, find, locate, positive, read_factors, read_spots
from histoscribe.io.tables import contents, missing
from histoscribe.store.received import is_there

_HD_FOLDER = re.compile(r"square_\d{3}um")


class Visium:
    """Reader of Visium folders."""

    name = "visium"

    def recognise(self, path: Path) -> str | None:
        """Return the reason why `path` is a Visium section, or None."""
        folder = locate(path)
        if folder is None or _HD_FOLDER.fullmatch(folder.base.name) or _is_hd(folder):
            return None
        for pattern in (POSITIONS, FACTORS):
            for found in find(folder.spatial, pattern):
                return f"it holds {found.relative_to(folder.base.parent).as_posix()}"
        return f"it holds a 10x matrix and a folder {folder.spatial.name}"

    def read(self, request: Request) -> Reading:
        """Read a Visium section; positions are scaled to the picture that was opened.

        Raises
        ------
        InputError
            Where a file is missing, damaged, or does not fit the others.
        """
        if request.path is None and request.spots is not None:
            beside = Folder(request.spots.parent, request.spots.parent)
            return read_folder(request, beside, f"{request.spots.name} is a table of positions")
        if request.path is None:
            raise InputError("a Visium section is read from its folder", expected="path", fix="give path")
        if not is_there(request.path):
            raise missing(request.path)
        why, folder = self.recognise(request.path), locate(request.path)
        if why is None or folder is None:
            raise InputError(
                "this is not a Visium folder",
                where=request.path,
                expected="a folder with spatial/tissue_positions.csv and spatial/scalefactors_json.json",
                found=contents(request.path),
            )
        return read_folder(request, folder, why)


FORMAT = Visium()


def read_folder(request: Request, folder: Folder, why: str) -> Reading:
    """Read the section from the files in `folder`."""
    spots = read_spots(folder, request)
    scales, factors, factor_path = read_factors(folder)
    if factor_path is not None:
        spots.files.append(factor_path)
    image, frame, notes = choose_picture(request, folder, scales, spots.table.obsm["spatial"])
    parts = Parts(
        format="visium",
        why=why,
        platform="visium",
        spots=spots.table,
        lattice=VISIUM,
        image=image,
        image_scale=frame.factor,
        scales=scales,
        off_tissue_xy_px=spots.off_tissue_xy_px,
        files=spots.files,
        notes=[*spots.notes, *notes],
        thumbnail=thumbnail_of(folder, scales, image, request),
        join=spots.join,
    )
    pitch = add_pitch(parts)
    parts.mpp_by_source |= factor_mpp(factors, pitch, factor_path)
    return assemble(parts, request)


def factor_mpp(factors: dict[str, Any], pitch_px: float | None, path: Path | None) -> dict[str, float]:
    """Microns per full-resolution pixel by the scale factor file."""
    found = {}
    if "microns_per_pixel" in factors:
        found["scalefactors microns_per_pixel"] = positive(factors, "microns_per_pixel", path)
    if "spot_diameter_fullres" in factors:
        diameter = positive(factors, "spot_diameter_fullres", path)
        found["scalefactors spot diameter"] = spot_diameter_mpp(diameter, pitch_px, VISIUM.pitch_um)
    return found


def _is_hd(folder: Folder) -> bool:
    """Whether the scale factors are of Visium HD; a damaged file is no evidence here and is refused when read."""
    return any(b"bin_size_um" in _start(path) for path in find(folder.spatial, FACTORS) if path.is_file())


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(65536)
