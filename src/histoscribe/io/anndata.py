"""AnnData files (h5ad) as scanpy and squidpy write them: spots in `obsm["spatial"]`, pictures in `uns["spatial"]`."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from histoscribe.errors import InputError, listing
from histoscribe.io.assemble import Parts, add_pitch, assemble
from histoscribe.io.frames import Frame, find_frame, open_picture, stated_frame
from histoscribe.io.h5ad import counts_of, open_h5ad
from histoscribe.io.lattice import NOMINAL_SPOT_UM, VISIUM, hd_lattice, neighbour_pitch_px, spot_diameter_mpp
from histoscribe.io.merged import choose_section, find_sections, library_of_all, safe_name
from histoscribe.io.reading import Reading, Request, Thumbnail
from histoscribe.io.spaceranger import FACTORS, find, positive
from histoscribe.io.tables import missing, off_tissue_note, on_tissue, read_json, require_unique, unpacked
from histoscribe.io.uns_pictures import Library, same_picture
from histoscribe.section import Lattice
from histoscribe.slide.image import SlideImage
from histoscribe.store.received import is_there

_MOST_INDEX = 2**31  # of a lattice; anything larger is no row or column


class H5AD:
    """Reader of h5ad files."""

    name = "anndata"

    def recognise(self, path: Path) -> str | None:
        """Return the reason why `path` is an AnnData file, or None."""
        ends = path.name.endswith((".h5ad", ".h5ad.gz"))
        return "its name ends in .h5ad" if ends and not path.is_dir() else None

    def sections(self, path: Path) -> list[str]:
        """Names of the sections of a file that holds several."""
        return self.sections_by(path, None)

    def sections_by(self, path: Path, column: str | None) -> list[str]:
        """Names of the sections by a column of `obs`; by what is found to tell them apart where None."""
        with unpacked(path) as file:
            adata = open_h5ad(file)
        found = find_sections(adata, _libraries(adata), column=column, where=path)
        return [] if found is None else found.names

    def read(self, request: Request) -> Reading:
        """Read an h5ad; `request.section` chooses among several sections, `request.image` replaces its pictures.

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
        beside = (path.parent, path.parent / "spatial")
        with unpacked(path) as file:
            adata = open_h5ad(file)
        return reading_of(adata, request, where=path, why=why, files=[path], beside=beside)


FORMAT = H5AD()


def reading_of(
    adata: AnnData, request: Request, *, where: Path, why: str, files: Sequence[Path] = (), beside: Sequence[Path] = ()
) -> Reading:
    """Read an AnnData object, which is left as it is; see `H5AD.read`.

    Parameters
    ----------
    where
        What messages call it: its file, or a name for what is in memory.
    why
        Why it is taken for one.
    files
        Those that it was read from.
    beside
        Folders in which the scale factors of a picture that is given may lie, after the picture's own.
    """
    path = where
    adata, stored, notes = _choose(adata, request, path)
    request = request if request.section is None else replace(request, section=safe_name(request.section))
    require_unique(adata.obs_names.astype(str), path)
    spots, note = counts_of(adata, path)
    notes += [note] if note else []
    xy_px = coordinates(adata, path)
    library = Library.of(stored, path, beside=_factors_beside(request, beside))
    kept = on_tissue_of(adata, path)
    frame_name, evidence = library.frame_of_spots(xy_px[kept], path)
    if evidence:
        xy_px = xy_px / library.scales[frame_name]
        notes.append(f"obsm['spatial'] is in pixels of the {frame_name} picture: {evidence}")
    spots.obsm["spatial"] = xy_px
    spots = spots[kept].copy()
    add_lattice_indices(spots, adata.obs[kept], path)
    factors = library.factors
    lattice, platform = guess_lattice(spots, factors, path)
    small, compared = (None, []) if request.image is None else library.thumbnail(path)
    image, frame, more = _picture(request, library, xy_px[kept], path, small=small)
    parts = Parts(
        format="anndata",
        why=why,
        platform=platform,
        spots=spots,
        lattice=lattice,
        image=image,
        image_scale=frame.factor,
        scales=library.scales,
        off_tissue_xy_px=xy_px[~kept],
        files=list(files),
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


def _choose(adata: AnnData, request: Request, path: Path) -> tuple[AnnData, Mapping[str, Any], list[str]]:
    """Return the spots of the section that is asked for, its own library of `uns["spatial"]`, and notes."""
    libraries = _libraries(adata)
    sections = find_sections(adata, libraries, column=request.section_column, where=path)
    choice = choose_section(sections, request, path)
    if choice is None:
        own = library_of_all(adata.obs, libraries) if len(libraries) > 1 else next(iter(libraries), None)
        return adata, libraries.get(own or "", {}), []
    chosen, name, note = adata[choice.rows].copy(), choice.label, choice.note
    if name not in libraries:
        others = "uns['spatial'] holds pictures of other sections only, which were not used"
        return chosen, {}, [note, *([others] if libraries else [])]
    twins = [one for one in libraries if one != name and same_picture(libraries[name], libraries[one], path)]
    if twins and request.image is None and sections is not None and len(sections.evidence) > 1:
        raise InputError(
            f"uns['spatial'] has one and the same picture for the sections {listing([name, *twins])}",
            where=path,
            expected="the picture of each section",
            fix="give this section's own picture in the column image of a sample sheet",
        )
    return chosen, libraries[name], [note]


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


def add_lattice_indices(spots: AnnData, obs: pd.DataFrame, path: Path) -> None:
    """Copy array rows and columns of any type into `spots.obs` as whole numbers; nothing where none is known.

    Raises
    ------
    InputError
        Where those of some spots are no whole numbers.
    """
    for name in ("array_row", "array_col"):
        if name not in obs:
            continue
        values = pd.to_numeric(obs[name].astype(str), errors="coerce").to_numpy(np.float64)
        known = np.isfinite(values) & (np.abs(values) < _MOST_INDEX) & (values == np.rint(values))
        if not known.any():
            continue
        if not known.all():
            raise InputError(
                f"{name} of {int((~known).sum()):,} of {len(known):,} spots is no whole number",
                where=path,
                expected="the row and column of each spot on the array",
                found=listing(sorted(set(obs[name].astype(str)[~known])), 5),
                fix="correct them, or leave the columns array_row and array_col out and give mpp",
            )
        spots.obs[name] = values.astype(np.int64)


def _factors_beside(request: Request, beside: Sequence[Path]) -> dict[str, Any]:
    """Scale factors of a JSON beside the picture that was given; a file without pictures has none of its own."""
    if request.image is None:
        return {}
    for folder in dict.fromkeys((request.image.parent, *beside)):
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
    request: Request, library: Library, xy_px: NDArray[np.float64], path: Path, *, small: Thumbnail | None
) -> tuple[SlideImage | None, Frame, list[str]]:
    if request.image is None:
        return library.open(request.scale, xy_px, path)
    image = open_picture(request.image, request)
    if request.scale is not None:
        frame = stated_frame(request.scale, library.scales, request.image)
    else:
        frame = find_frame(image, library.scales, xy_px, full_size_px=None if small is None else small.full_size_px)
    return image, frame, [f"image: {request.image.name}, {frame.name} frame ({frame.why})"]
