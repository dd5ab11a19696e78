"""The last step that all readers share: spots into the picture's pixels, microns per pixel, and the Reading."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, InputError
from histoscribe.io.lattice import fitted_pitch_px, neighbour_pitch_px
from histoscribe.io.reading import Join, Reading, Request, Thumbnail
from histoscribe.section import Lattice, Section
from histoscribe.slide.image import SlideImage
from histoscribe.store.files import real_path

# from the user, the vendor or the assay's geometry, hence preferred to a picture's tags
_TRUSTED = ("given", "stored by histoscribe", "scalefactors microns_per_pixel", "spot pitch")


@dataclass(slots=True, eq=False)
class Parts:
    """What a reader found, in the vendor's own pixels.

    Parameters
    ----------
    format, why, platform
        As in Reading and Section.
    spots
        `obsm["spatial"]` (n, 2), x before y, in the vendor's pixels.
    lattice
        The assay's, or None.
    image, image_scale
        The opened picture, and the factor from the vendor's pixels to its own.
    mpp_by_source
        Microns per vendor's pixel; `add_pitch` adds the spot pitch.
    scales, off_tissue_xy_px, files, notes, thumbnail, join
        As in Reading, but coordinates in the vendor's pixels.
    """

    format: str
    why: str
    platform: str
    spots: AnnData
    lattice: Lattice | None = None
    image: SlideImage | None = None
    image_scale: float = 1.0
    mpp_by_source: dict[str, float] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    off_tissue_xy_px: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    thumbnail: Thumbnail | None = None
    join: Join | None = None

    @property
    def xy_px(self) -> NDArray[np.float64]:
        """Centres of the spots in the vendor's pixels, (n, 2)."""
        xy: NDArray[np.float64] = self.spots.obsm["spatial"]
        return xy


def assemble(parts: Parts, request: Request) -> Reading:
    """Scale the spots into the opened picture, choose its microns per pixel and make the section.

    Raises
    ------
    InputError
        Where the parts of the section do not fit, or no source gives microns per pixel of its image.
    """
    sources = {name: mpp / parts.image_scale for name, mpp in parts.mpp_by_source.items()}
    if request.mpp is not None:
        sources = {"given": _positive(request.mpp), **sources}
    image = parts.image
    if image is not None:
        sources |= {name: mpp for name, mpp in image.mpp_by_source.items() if name not in sources}
        image = replace(image, mpp=chosen_mpp(sources, image))
        if image.path is not None and image.path not in parts.files:
            parts.files.append(image.path)
    else:
        parts.notes.append("there is no image")
    parts.spots.obsm["spatial"] = parts.xy_px * parts.image_scale
    section = Section.from_anndata(
        parts.spots,
        name=section_name(request),
        image=image,
        platform=parts.platform,
        patient=request.patient,
        lattice=parts.lattice,
    )
    return Reading(
        section=section,
        format=parts.format,
        why=parts.why,
        files=tuple(parts.files),
        mpp_by_source=sources,
        scales=parts.scales,
        image_scale=parts.image_scale,
        off_tissue_xy_px=np.asarray(parts.off_tissue_xy_px, np.float64).reshape(-1, 2) * parts.image_scale,
        notes=tuple(parts.notes),
        thumbnail=parts.thumbnail,
        scale_stated=request.scale is not None,
        join=parts.join,
    )


def reassemble(section: Section, request: Request, *, format: str, why: str, files: Sequence[Path] = ()) -> Reading:
    """Return the reading of a section that histoscribe made before: its picture, its scale and its names are known."""
    request = replace(request, section=request.section or section.name, patient=request.patient or section.patient)
    parts = Parts(
        format=format,
        why=why,
        platform=section.platform,
        spots=section.spots,
        lattice=section.lattice,
        image=None if section.image is None else replace(section.image, path=None),  # all its files are named below
        mpp_by_source={"stored by histoscribe": section.mpp},
        files=list(files),
    )
    add_pitch(parts)
    return assemble(parts, request)


def add_pitch(parts: Parts) -> float | None:
    """Record microns per vendor's pixel by the spot pitch; returns the pitch in pixels, None where it is unknown."""
    if parts.lattice is None:
        return None
    obs, pitch = parts.spots.obs, None
    if {"array_row", "array_col"} <= set(obs.columns):
        row, column = (obs[name].to_numpy(np.int64) for name in ("array_row", "array_col"))
        pitch = fitted_pitch_px(parts.xy_px, row, column, kind=parts.lattice.kind)
        if pitch is None and parts.spots.n_obs >= 3:
            parts.notes.append("the pixel coordinates do not follow the array rows and columns")
    if pitch is None:
        pitch = neighbour_pitch_px(parts.xy_px)
    if pitch:
        parts.mpp_by_source["spot pitch"] = parts.lattice.pitch_um / pitch
    return pitch


def _positive(mpp: float) -> float:
    if not (np.isfinite(mpp) and mpp > 0):
        raise ConfigError("mpp must be a positive number of microns per pixel", where="mpp", found=mpp)
    return float(mpp)


def chosen_mpp(sources: dict[str, float], image: SlideImage) -> float:
    """Return microns per pixel by the most trusted source; raises InputError where there is none."""
    for name in (*_TRUSTED, *sources):
        if name in sources:
            return sources[name]
    raise InputError(
        "it is not known how many microns a pixel of this image spans",
        where=image.path,
        expected="a spot lattice, a resolution in the image's tags, or a stated value",
        fix="give mpp, microns per pixel of this image",
    )


def section_name(request: Request) -> str:
    """Return the stated name, or one derived from the path that is safe as a folder's name."""
    stated = request.alias or request.section
    if stated is not None:
        return stated
    if request.anonymous:
        return "section"  # until the input's hash is known
    source = request.path or request.spots or request.counts or request.image
    if source is None:
        return "section"
    source = real_path(source)
    while source.name in {"outs", "spatial", "binned_outputs"} or re.fullmatch(r"square_\d{3}um", source.name):
        source = source.parent
    stem = re.sub(r"(\.(gz|h5ad|h5|hdf5|zarr|csv|tsv|txt|parquet))+$", "", source.name)
    return re.sub(r"[^A-Za-z0-9._-]+", "-", stem).lstrip("-._")[:100] or "section"
