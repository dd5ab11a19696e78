"""Visium HD: the `binned_outputs` of Space Ranger 3 and later, one folder per bin size."""

import re
from dataclasses import replace
from pathlib import Path

from histoscribe.errors import ConfigError, InputError, listing
from histoscribe.io.assemble import Parts, add_pitch, assemble
from histoscribe.io.lattice import hd_lattice
from histoscribe.io.pictures import choose_picture, thumbnail_of
from histoscribe.io.reading import Reading, Request
from histoscribe.io.spaceranger import Folder, locate, positive, read_factors, read_spots
from histoscribe.io.tables import contents, entries, missing
from histoscribe.store.files import real_path
from histoscribe.store.received import is_there

BIN_FOLDER = re.compile(r"square_(\d{3})um")
_DEFAULT_UM = 8


class VisiumHD:
    """Reader of Visium HD bins."""

    name = "visium_hd"

    def recognise(self, path: Path) -> str | None:
        """Return the reason why `path` is a Visium HD section, or None."""
        bins = _bins(path)
        return f"it holds bins of {listing(sorted(bins))} um" if bins else None

    def read(self, request: Request) -> Reading:
        """Read the bins of `request.bin_um`, 8 um where None; where only one size is present, that one.

        Raises
        ------
        InputError
            Where a file is missing, damaged, or does not fit the others.
        ConfigError
            Where there are no bins of the size that was asked for.
        """
        if request.path is None:
            raise InputError("a Visium HD section is read from its folder", expected="path", fix="give path")
        if not is_there(request.path):
            raise missing(request.path)
        bins = _bins(request.path)
        if not bins:
            raise InputError(
                "this is not a Visium HD folder",
                where=request.path,
                expected="a folder binned_outputs with square_002um, square_008um or square_016um",
                found=contents(request.path),
            )
        bin_um, notes = _choose(bins, request)
        return _read_bins(request, bins[bin_um], bin_um, notes)


FORMAT = VisiumHD()


def _bins(path: Path) -> dict[int, Path]:
    """Folders of bins by the side of a bin in microns."""
    if not path.is_dir():
        return {}
    itself = BIN_FOLDER.fullmatch(real_path(path).name)
    if itself:
        return {int(itself[1]): path}
    for place in (path, path / "binned_outputs", path / "outs" / "binned_outputs"):
        if place.is_dir():
            found = {int(m[1]): entry for entry in entries(place) if (m := BIN_FOLDER.fullmatch(entry.name))}
            if found:
                return found
    return {}


def _choose(bins: dict[int, Path], request: Request) -> tuple[int, list[str]]:
    if request.bin_um is None and len(bins) == 1 and _DEFAULT_UM not in bins:
        (only,) = bins
        return only, [f"bins of {only} um were read: there are no others"]
    wanted = request.bin_um or _DEFAULT_UM
    if wanted not in bins:
        raise ConfigError(
            f"there are no bins of {wanted} um",
            where=request.path,
            found=f"bins of {listing(sorted(bins))} um",
            fix="give bin_um, one of those found",
        )
    return wanted, []


def _read_bins(request: Request, base: Path, bin_um: int, notes: list[str]) -> Reading:
    folder = locate(base)
    if folder is None:
        raise InputError(
            "the folder of bins holds no positions",
            where=base,
            expected="spatial/tissue_positions.parquet",
            found=contents(base),
        )
    # the run's own spatial folder and images lie above binned_outputs
    above = tuple(
        p for p in (real_path(base).parents[1], request.path) if real_path(base).parent.name == "binned_outputs" and p
    )
    folder = Folder(folder.base, folder.spatial, tuple(dict.fromkeys(above)))
    spots = read_spots(folder, request)
    scales, factors, factor_path = read_factors(folder)
    if factor_path is not None:
        spots.files.append(factor_path)
    if "bin_size_um" in factors and positive(factors, "bin_size_um", factor_path) != bin_um:
        raise InputError(
            "the scale factors are of other bins",
            where=factor_path,
            expected=f"bin_size_um {bin_um}",
            found=factors["bin_size_um"],
        )
    image, frame, more = choose_picture(request, folder, scales, spots.table.obsm["spatial"])
    parts = Parts(
        format="visium_hd",
        why=f"it holds bins of {bin_um} um",
        platform="visium_hd",
        spots=spots.table,
        lattice=hd_lattice(float(bin_um)),
        image=image,
        image_scale=frame.factor,
        scales=scales,
        off_tissue_xy_px=spots.off_tissue_xy_px,
        files=spots.files,
        notes=[*notes, *spots.notes, *more],
        thumbnail=thumbnail_of(folder, scales, image, request),
        join=spots.join,
    )
    add_pitch(parts)
    if "microns_per_pixel" in factors:
        parts.mpp_by_source["scalefactors microns_per_pixel"] = positive(factors, "microns_per_pixel", factor_path)
    if "spot_diameter_fullres" in factors:
        side = positive(factors, "spot_diameter_fullres", factor_path)
        parts.mpp_by_source["scalefactors spot diameter"] = bin_um / side
    return assemble(parts, replace(request, bin_um=bin_um))
