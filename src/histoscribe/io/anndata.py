"""AnnData files (h5ad) as scanpy and squidpy write them: spots in `obsm["spatial"]`, pictures in `uns["spatial"]`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from histoscribe.errors import InputError, listing
from histoscribe.io.assemble import Parts, add_pitch, assemble
from histoscribe.io.frames import Frame, find_frame, inside, open_picture, stated_frame
from histoscribe.io.h5ad import counts_of, open_h5ad
from histoscribe.io.lattice import NOMINAL_SPOT_UM, VISIUM, hd_lattice, neighbour_pitch_px, spot_diameter_mpp
from histoscribe.io.reading import Reading, Request, Thumbnail
from histoscribe.io.spaceranger import FACTORS, find, positive
from histoscribe.io.tables import missing, off_tissue_note, on_tissue, read_json, require_unique
from histoscribe.section import Lattice
from histoscribe.slide.image import RGB, ArraySource, SlideImage
from histoscribe.store.received import is_there

_LIBRARY = ("library_id", "sample", "sample_id", "batch", "section")
_MOST_INDEX = 2**31  # of a lattice; anything larger is no row or column


class H5AD:
    """Reader of h5ad files."""

    name = "anndata"

    def recognise(self, path: Path) -> str | None:
        """Return the reason why `path` is an AnnData file, or None."""
        return "its name ends in .h5ad" if path.suffix == ".h5ad" and not path.is_dir() else None

    def sections(self, path: Path) -> list[str]:
        """Names of the libraries of a file that holds several."""
        libraries = _libraries(open_h5ad(path))
        return sorted(libraries) if len(libraries) > 1 else []

    def read(self, request: Request) -> Reading:
        """Read an h5ad; `request.section` chooses among several libraries, `request.image` replaces its pictures.

        Counts are `X`, or `layers["counts"]` or `raw` where `X` was transformed; where nothing holds counts the
        genes are left out and a note says so.

        Raises
        ------
        InputError
            Where the file is damaged, has no coordinates, or holds several libraries that cannot be separated.
        """
        path = request.path
        if path is None:
            raise InputError("an h5ad is read from its path", expected="path", fix="give path, or spots and counts")
        if not is_there(path):
            raise missing(path)
        why = self.recognise(path)
        if why is None:
            raise InputError("this is not an h5ad file", where=path, expected="a file whose name ends in .h5ad")
        return _read(request, path, why)


FORMAT = H5AD()


def _read(request: Request, path: Path, why: str) -> Reading:
    adata = open_h5ad(path)
    require_unique(adata.obs_names.astype(str), path)
    adata, library, notes = _choose_library(adata, request, path)
    spots, note = counts_of(adata, path)
    notes += [note] if note else []
    xy_px = coordinates(adata, path)
    factors = {**_factors_beside(request, path), **_named(library, "scalefactors", path)}
    scales = {
        name: positive(factors, f"tissue_{name}_scalef", path)
        for name in ("hires", "lowres")
        if f"tissue_{name}_scalef" in factors
    }
    kept = on_tissue_of(adata, path)
    add_lattice_indices(spots, adata.obs)
    spots.obsm["spatial"] = xy_px
    spots = spots[kept].copy()
    lattice, platform = guess_lattice(spots, factors, path)
    small, compared = (None, []) if request.image is None else _thumbnail(library, scales, path)
    image, frame, more = _picture(request, library, scales, xy_px[kept], path, small=small)
    parts = Parts(
        format="anndata",
        why=why,
        platform=platform,
        spots=spots,
        lattice=lattice,
        image=image,
        image_scale=frame.factor,
        scales=scales,
        off_tissue_xy_px=xy_px[~kept],
        files=[path],
        notes=[*notes, *off_tissue_note(kept), *more, *compared],
        thumbnail=small,
    )
    pitch = add_pitch(parts)
    if "microns_per_pixel" in factors:
        parts.mpp_by_source["scalefactors microns_per_pixel"] = positive(factors, "microns_per_pixel", path)
    if lattice is VISIUM and "spot_diameter_fullres" in factors:
        diameter = positive(factors, "spot_diameter_fullres", path)
        parts.mpp_by_source["scalefactors spot diameter"] = spot_diameter_mpp(diameter, pitch, VISIUM.pitch_um)
    return assemble(parts, request)


def _libraries(adata: AnnData) -> dict[str, Mapping[str, Any]]:
    spatial = adata.uns.get("spatial", {})
    if not isinstance(spatial, Mapping):
        return {}
    return {str(name): value for name, value in spatial.items() if isinstance(value, Mapping)}


def _named(library: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    """Return one of the dictionaries of a library in `uns`; empty where there is none."""
    value = library.get(name, {})
    if not isinstance(value, Mapping):
        raise InputError(
            f"uns['spatial'][...][{name!r}] is no dictionary",
            where=path,
            expected="names and values",
            found=type(value),
        )
    return {str(key): one for key, one in value.items()}


def _choose_library(adata: AnnData, request: Request, path: Path) -> tuple[AnnData, Mapping[str, Any], list[str]]:
    libraries = _libraries(adata)
    if len(libraries) < 2:
        return adata, next(iter(libraries.values()), {}), []
    column = next((name for name in _LIBRARY if name in adata.obs and set(libraries) & set(adata.obs[name])), None)
    if request.section not in libraries or column is None:
        raise InputError(
            "the file holds several sections",
            where=path,
            expected=f"`section` naming one of them, and a column of obs ({listing(_LIBRARY)}) of these names",
            found=f"sections: {listing(sorted(libraries), 40)}; obs: {listing(adata.obs.columns, 12)}",
            fix="name the section, or write one h5ad per section",
        )
    rows = (adata.obs[column].astype(str) == request.section).to_numpy()
    return adata[rows].copy(), libraries[request.section], [f"one of {len(libraries)} sections of {path.name}"]


def coordinates(adata: AnnData, path: Path) -> NDArray[np.float64]:
    """Return `obsm["spatial"]` as finite (n, 2), x before y; raises InputError where it is not there."""
    if "spatial" not in adata.obsm:
        raise InputError(
            "the spots have no coordinates",
            where=path,
            expected='obsm["spatial"], x before y, in pixels of the full-resolution image',
            found=f"obsm: {listing(adata.obsm)}; obs: {listing(adata.obs.columns, 12)}",
            fix="set obsm['spatial'], or give a table of spots (barcode, x, y) and this file as counts",
        )
    try:
        xy = np.asarray(adata.obsm["spatial"])
        xy = xy.astype(np.float64, casting="safe" if xy.dtype.kind == "c" else "unsafe")
    except (TypeError, ValueError) as error:
        raise InputError('obsm["spatial"] does not hold numbers', where=path, found=str(error)[:120]) from error
    if xy.ndim != 2 or xy.shape[1] < 2:
        raise InputError('obsm["spatial"] has the wrong shape', where=path, expected="(n, 2)", found=xy.shape)
    bad = ~np.isfinite(xy[:, :2]).all(axis=1)
    if bad.any():
        raise InputError(
            f"{int(bad.sum()):,} spots have no finite coordinates", where=path, found=listing(adata.obs_names[bad], 3)
        )
    return xy[:, :2]


def on_tissue_of(adata: AnnData, path: Path) -> NDArray[np.bool_]:
    """Spots on tissue by the column `in_tissue`, (n,), all without that column; raises InputError where none are."""
    return on_tissue(adata.obs["in_tissue"], path) if "in_tissue" in adata.obs else np.ones(adata.n_obs, bool)


def add_lattice_indices(spots: AnnData, obs: pd.DataFrame) -> None:
    """Copy array rows and columns into `spots.obs` as whole numbers, -1 where there is none."""
    for name in ("array_row", "array_col"):
        if name in obs:
            values = pd.to_numeric(obs[name].astype(str), errors="coerce").to_numpy(np.float64)
            known = np.isfinite(values) & (np.abs(values) < _MOST_INDEX)
            spots.obs[name] = np.where(known, values, -1).astype(np.int64)


def _factors_beside(request: Request, path: Path) -> dict[str, Any]:
    """Scale factors of a JSON beside the picture that was given; a file without pictures has none of its own."""
    if request.image is None:
        return {}
    for folder in dict.fromkeys((request.image.parent, path.parent, path.parent / "spatial")):
        found = find(folder, FACTORS)
        if len(found) == 1:
            return read_json(found[0])
    return {}


def guess_lattice(spots: AnnData, factors: Mapping[str, Any], path: Path) -> tuple[Lattice | None, str]:
    """Return the assay's lattice and platform by the vendor's scale factors or the lattice indices; None if unclear."""
    if "bin_size_um" in factors:
        return hd_lattice(positive(factors, "bin_size_um", path)), "visium_hd"
    pitch = neighbour_pitch_px(spots.obsm["spatial"])
    if "spot_diameter_fullres" in factors and pitch:
        ratio = positive(factors, "spot_diameter_fullres", path) / pitch
        low, high = min(NOMINAL_SPOT_UM) / VISIUM.pitch_um, max(NOMINAL_SPOT_UM) / VISIUM.pitch_um
        if 0.9 * low <= ratio <= 1.1 * high:
            return VISIUM, "visium"
    if {"array_row", "array_col"} <= set(spots.obs.columns) and spots.n_obs >= 20:
        row, column = (spots.obs[name].to_numpy(np.int64) for name in ("array_row", "array_col"))
        # 10x counts columns of its hexagonal lattice by half steps, so row and column are both even or both odd
        if (row >= 0).all() and ((row + column) % 2 == 0).all() and _is_hexagonal(row, column, spots.obsm["spatial"]):
            return VISIUM, "visium"
    return None, "generic"


def _is_hexagonal(row: NDArray[np.int64], column: NDArray[np.int64], xy_px: NDArray[np.float64]) -> bool:
    design = np.column_stack([column, row, np.ones(len(row))]).astype(np.float64)
    solution, _, rank, _ = np.linalg.lstsq(design, xy_px, rcond=None)  # (3, 2)
    step_column, step_row = np.linalg.norm(solution[:2], axis=1)
    return bool(rank == 3 and abs(step_row / step_column / np.sqrt(3) - 1) < 0.05)


def _picture(
    request: Request,
    library: Mapping[str, Any],
    scales: Mapping[str, float],
    xy_px: NDArray[np.float64],
    path: Path,
    *,
    small: Thumbnail | None,
) -> tuple[SlideImage | None, Frame, list[str]]:
    if request.image is not None:
        image = open_picture(request.image, request)
        if request.scale is not None:
            frame = stated_frame(request.scale, scales, request.image)
        else:
            frame = find_frame(image, scales, xy_px, full_size_px=None if small is None else small.full_size_px)
        return image, frame, [f"image: {request.image.name}, {frame.name} frame ({frame.why})"]
    pictures = _named(library, "images", path)
    stored = [name for name in ("fullres", "hires", "lowres") if name in pictures]
    names: list[str] = [request.scale] if request.scale else [*stored]
    return _stored_picture(names, pictures, scales, xy_px, path=path)


def _thumbnail(
    library: Mapping[str, Any], scales: Mapping[str, float], path: Path
) -> tuple[Thumbnail | None, list[str]]:
    """Return the sharpest of the small pictures in `uns` whose scale is known, and notes on those that show nothing."""
    pictures, notes = _named(library, "images", path), []
    for name in ("hires", "lowres"):
        if name not in pictures or name not in scales:
            continue
        try:
            image = SlideImage(ArraySource([rgb_of(np.asarray(pictures[name]), path)]))
        except InputError as error:
            notes.append(f"the {name} picture in uns was not compared with the one given ({error.problem})")
        else:
            return Thumbnail(name, image, scales[name]), notes
    return None, notes


def _stored_picture(
    names: list[str],
    pictures: Mapping[str, Any],
    scales: Mapping[str, float],
    xy_px: NDArray[np.float64],
    *,
    path: Path,
) -> tuple[SlideImage | None, Frame, list[str]]:
    """Open the first of the named pictures of `uns` in which the spots lie, or the last where they lie in none."""
    notes: list[str] = []
    for name in names:
        if name not in pictures or (name != "fullres" and name not in scales):
            raise InputError(
                f"the {name} picture cannot be placed",
                where=path,
                expected=f"uns['spatial'][...]: images[{name!r}] and scalefactors['tissue_{name}_scalef']",
                found=f"images: {listing(pictures)}; factors: {listing(scales)}",
            )
        factor, picture = 1.0 if name == "fullres" else scales[name], np.asarray(pictures[name])
        require_picture(picture, path)
        share = inside(xy_px * factor, picture.shape)
        if share >= 0.9 or name == names[-1]:
            image = SlideImage(ArraySource([rgb_of(picture, path)]))
            return image, Frame(name, factor, "from uns"), [*notes, f"image: the {name} picture in uns['spatial']"]
        notes.append(f"the {name} picture in uns was passed over: only {share:.0%} of the spots lie inside it")
    return None, Frame("fullres", 1.0, "no picture"), []


def require_picture(picture: NDArray[Any], path: Path) -> None:
    """Refuse an array without the axes of a picture, (h, w) or (h, w, 3 or 4); raises InputError."""
    flat = picture.ndim == 2
    if 0 in picture.shape or not (flat or (picture.ndim == 3 and picture.shape[2] in (3, 4))):
        raise InputError("a picture has the wrong shape", where=path, expected="(h, w, 3)", found=picture.shape)


def rgb_of(picture: NDArray[Any], path: Path) -> RGB:
    """Return an array as (h, w, 3) uint8: from uint8 or floats of 0 to 1, grey, RGB or RGBA; raises InputError."""
    require_picture(picture, path)
    if picture.ndim == 2:
        picture = np.repeat(picture[:, :, None], 3, axis=2)
    picture = picture[:, :, :3]
    if picture.dtype == np.uint8:
        return picture
    if not np.issubdtype(picture.dtype, np.floating) or not np.isfinite(picture).all():
        raise InputError("a picture holds no colours", where=path, expected="uint8, or 0 to 1", found=picture.dtype)
    if picture.min() < 0 or picture.max() > 1:
        raise InputError(
            "a picture has values outside 0 to 1", where=path, found=f"{picture.min():.3g} to {picture.max():.3g}"
        )
    rgb: RGB = np.rint(picture * 255).astype(np.uint8)
    return rgb
