"""AnnData files (h5ad) as scanpy and squidpy write them: places in `obsm["spatial"]`, pictures in `uns["spatial"]`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError, listing
from histoscribe.io.assemble import Parts, add_pitch, assemble
from histoscribe.io.frames import Frame, find_frame, inside, open_picture, stated_frame
from histoscribe.io.lattice import NOMINAL_SPOT_UM, VISIUM, hd_lattice, neighbour_pitch_px, spot_diameter_mpp
from histoscribe.io.matrix import count_fault, unique_genes
from histoscribe.io.reading import Reading, Request
from histoscribe.io.spaceranger import FACTORS, find, positive
from histoscribe.io.tables import missing, read_json, require_unique
from histoscribe.section import Lattice
from histoscribe.slide.image import RGB, ArraySource, SlideImage

_LIBRARY = ("library_id", "sample", "sample_id", "batch", "section")


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
            Where the file is damaged, has no coordinates, or holds several libraries that cannot be told apart.
        """
        path = request.path
        if path is None:
            raise InputError("an h5ad is read from its path", expected="path", mend="give path, or spots and counts")
        if not path.exists():
            raise missing(path)
        why = self.recognise(path)
        if why is None:
            raise InputError("this is not an h5ad file", where=path, expected="a file whose name ends in .h5ad")
        return _read(request, path, why)


FORMAT = H5AD()


def open_h5ad(path: Path) -> AnnData:
    """Read an h5ad whole; raises InputError where it is damaged or something else."""
    from anndata._io.specs.registry import IORegistryError  # not exported, yet raised for unknown elements
    from anndata.io import read_h5ad

    if not path.is_file():
        raise missing(path)
    try:
        return read_h5ad(path)
    except (
        OSError,
        KeyError,
        ValueError,
        TypeError,
        AttributeError,
        RuntimeError,
        IndexError,
        IORegistryError,
    ) as error:
        raise InputError(
            "the h5ad file is damaged, cut short or of an unknown layout",
            where=path,
            found=f"{path.stat().st_size:,} bytes; {str(error).splitlines()[0][:200] if str(error) else error!r}",
            mend="copy it again, or write it again with a recent anndata",
        ) from error


def counts_of(adata: AnnData, path: Path) -> tuple[AnnData, str | None]:
    """Raw counts of an AnnData with their genes, (n, g) CSR, and what a user should know of where they were found."""
    raw = adata.raw
    places: list[tuple[str, Any, pd.DataFrame]] = [("X", adata.X, adata.var)]
    places += [
        (f"layers[{name!r}]", adata.layers[name], adata.var)
        for name in ("counts", "raw_counts")
        if name in adata.layers
    ]
    places += [("raw", raw.X, raw.var)] if raw is not None else []
    why_not = []
    for place, values, var in places:
        if values is None or not values.shape[1]:
            continue
        matrix = sparse.csr_matrix(values, dtype=np.float32)
        fault = count_fault(matrix.data)
        if fault:
            why_not.append(f"{place} holds {fault}")
            continue
        names, note = unique_genes([str(name) for name in var.index])
        table = AnnData(X=matrix, obs=pd.DataFrame(index=adata.obs_names.astype(str)), var=pd.DataFrame(index=names))
        table.var["gene_ids"] = _gene_ids(var)
        notes = [f"counts are from {place}: {'; '.join(why_not)}"] if why_not else []
        return table, "; ".join([*notes, *([note] if note else [])]) or None
    table = AnnData(X=sparse.csr_matrix((adata.n_obs, 0), dtype=np.float32))
    table.obs_names = adata.obs_names.astype(str)
    reason = "; ".join(why_not) or "the file holds no matrix"
    return table, f"the genes were left out, for nothing in {path.name} is raw counts: {reason}"


def _gene_ids(var: pd.DataFrame) -> NDArray[Any]:
    for name in ("gene_ids", "gene_id", "ensembl_id", "ENSEMBL"):
        if name in var:
            return var[name].astype(str).to_numpy()
    return var.index.astype(str).to_numpy()


def _read(request: Request, path: Path, why: str) -> Reading:
    adata = open_h5ad(path)
    require_unique(adata.obs_names.astype(str), path)
    adata, library, notes = _choose_library(adata, request, path)
    spots, note = counts_of(adata, path)
    notes += [note] if note else []
    xy_px = coordinates(adata, path)
    factors = {**_factors_beside(request, path), **dict(library.get("scalefactors", {}))}
    scales = {
        name: positive(factors, f"tissue_{name}_scalef", path)
        for name in ("hires", "lowres")
        if f"tissue_{name}_scalef" in factors
    }
    on_tissue = _on_tissue(adata, path)
    for name in ("array_row", "array_col"):
        if name in adata.obs:
            spots.obs[name] = pd.to_numeric(adata.obs[name], errors="coerce").fillna(-1).to_numpy(np.int64)
    spots.obsm["spatial"] = xy_px
    spots = spots[on_tissue].copy()
    lattice, platform = guess_lattice(spots, factors)
    image, frame, more = _picture(request, library, scales, xy_px[on_tissue], path)
    parts = Parts(
        format="anndata",
        why=why,
        platform=platform,
        spots=spots,
        lattice=lattice,
        image=image,
        image_scale=frame.factor,
        scales=scales,
        off_tissue_xy_px=xy_px[~on_tissue],
        files=[path],
        notes=[*notes, *more],
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


def _choose_library(adata: AnnData, request: Request, path: Path) -> tuple[AnnData, Mapping[str, Any], list[str]]:
    libraries = _libraries(adata)
    if len(libraries) < 2:
        return adata, next(iter(libraries.values()), {}), []
    column = next((name for name in _LIBRARY if name in adata.obs and set(libraries) & set(adata.obs[name])), None)
    if request.section not in libraries or column is None:
        raise InputError(
            "the file holds several sections",
            where=path,
            expected=f"`section` naming one of them, and a column of obs ({listing(_LIBRARY)}) that tells its spots",
            found=f"sections: {listing(sorted(libraries), 40)}; obs: {listing(adata.obs.columns, 12)}",
            mend="name the section, or write one h5ad per section",
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
            mend="set obsm['spatial'], or give a table of spots (barcode, x, y) and this file as counts",
        )
    try:
        xy = np.asarray(adata.obsm["spatial"], np.float64)
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


def _on_tissue(adata: AnnData, path: Path) -> NDArray[np.bool_]:
    if "in_tissue" not in adata.obs:
        return np.ones(adata.n_obs, bool)
    on_tissue: NDArray[np.bool_] = adata.obs["in_tissue"].astype(str).isin(["1", "1.0", "True"]).to_numpy()
    if not on_tissue.any():
        raise InputError("no spot lies on tissue", where=path, expected="obs['in_tissue'] = 1 for some spots")
    return on_tissue


def _factors_beside(request: Request, path: Path) -> dict[str, Any]:
    """Scale factors of a JSON beside the picture that was given; a file without pictures has none of its own."""
    if request.image is None:
        return {}
    for folder in dict.fromkeys((request.image.parent, path.parent, path.parent / "spatial")):
        found = find(folder, FACTORS)
        if len(found) == 1:
            return read_json(found[0])
    return {}


def guess_lattice(spots: AnnData, factors: Mapping[str, Any]) -> tuple[Lattice | None, str]:
    """Return the assay's lattice and platform by the vendor's scale factors or the lattice indices, if they tell."""
    if "bin_size_um" in factors:
        return hd_lattice(float(factors["bin_size_um"])), "visium_hd"
    pitch = neighbour_pitch_px(spots.obsm["spatial"])
    if "spot_diameter_fullres" in factors and pitch:
        ratio = float(factors["spot_diameter_fullres"]) / pitch
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
) -> tuple[SlideImage | None, Frame, list[str]]:
    if request.image is not None:
        image = open_picture(request.image)
        stated = request.scale is not None
        frame = stated_frame(str(request.scale), scales, request.image) if stated else find_frame(image, scales, xy_px)
        return image, frame, [f"image: {request.image.name}, {frame.name} frame ({frame.why})"]
    pictures = {str(name): value for name, value in dict(library.get("images", {})).items()}
    stored = [name for name in ("fullres", "hires", "lowres") if name in pictures]
    names: list[str] = [request.scale] if request.scale else [*stored]
    return _stored_picture(names, pictures, scales, xy_px, path=path)


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
        share = inside(xy_px * factor, picture.shape)
        if share >= 0.9 or name == names[-1]:
            image = SlideImage(ArraySource([rgb_of(picture, path)]))
            return image, Frame(name, factor, "from uns"), [*notes, f"image: the {name} picture in uns['spatial']"]
        notes.append(f"the {name} picture in uns was passed over: only {share:.0%} of the spots lie inside it")
    return None, Frame("fullres", 1.0, "no picture"), []


def rgb_of(picture: NDArray[Any], path: Path) -> RGB:
    """Return an array as (h, w, 3) uint8: from uint8 or floats of 0 to 1, grey, RGB or RGBA; raises InputError."""
    if picture.ndim == 2:
        picture = np.repeat(picture[:, :, None], 3, axis=2)
    if picture.ndim != 3 or picture.shape[2] not in (3, 4) or 0 in picture.shape:
        raise InputError("a picture has the wrong shape", where=path, expected="(h, w, 3)", found=picture.shape)
    picture = picture[:, :, :3]
    if picture.dtype == np.uint8:
        return picture
    if not np.issubdtype(picture.dtype, np.floating) or not np.isfinite(picture).all():
        raise InputError("a picture holds no colours", where=path, expected="uint8, or 0 to 1", found=picture.dtype)
    if picture.min() < 0 or picture.max() > 1:
        raise InputError(
            "a picture's values leave 0 to 1", where=path, found=f"{picture.min():.3g} to {picture.max():.3g}"
        )
    rgb: RGB = np.rint(picture * 255).astype(np.uint8)
    return rgb
