"""What Visium and Visium HD share: the files that Space Ranger writes, where they may lie, and how they are joined."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError, listing
from histoscribe.io.counts import Counts
from histoscribe.io.features import unquoted
from histoscribe.io.matrix import read_10x_mtx, read_counts
from histoscribe.io.reading import Join, Request
from histoscribe.io.tables import (
    archives,
    contents,
    entries,
    first_line,
    integers,
    missing,
    numbers,
    read_json,
    read_parquet,
    read_table,
    require_columns,
    require_unique,
    unpacked,
)
from histoscribe.store.files import real_path
from histoscribe.store.received import is_there

COLUMNS = ("barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres")
POSITIONS = re.compile(r"(?P<prefix>.*?)tissue_positions(_list)?\.(csv|tsv|txt|parquet)(\.gz)?")
FACTORS = re.compile(r"(?P<prefix>.*?)scalefactors_json\.json(\.gz)?")
MATRICES = tuple(
    re.compile(rf"(?P<prefix>.*?){kind}_feature_bc_matrix{suffix}")
    for kind in ("filtered", "raw")
    for suffix in (r"\.h5(\.gz)?", "")
)
CELLS = "segmented_outputs"  # of Space Ranger 4
_MOST_FACTOR = 1e9  # no scale and no diameter in pixels is larger, nor smaller than one over it
_ENDING = re.compile(r"-\d+$")
_LOOSE_MATRIX = re.compile(r"(?P<prefix>.*?)matrix\.mtx(\.gz)?")


@dataclass(frozen=True, slots=True)
class Folder:
    """Where one section's files lie: `base` holds the matrix, `spatial` positions, scale factors and pictures."""

    base: Path
    spatial: Path
    # folders above `base` in which pictures of the section may lie
    above: tuple[Path, ...] = ()


@dataclass(slots=True, eq=False)
class Spots:
    """Spots on tissue with their counts, and the centres of those off tissue; vendor's full-resolution pixels."""

    table: AnnData
    off_tissue_xy_px: NDArray[np.float64]
    files: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    join: Join | None = None


def locate(path: Path) -> Folder | None:
    """Find the folders of a section in a run folder, its `outs`, its `spatial`, or a flat folder; None if not there."""
    if not path.is_dir():
        return None
    base = path.parent if path.name == "spatial" and find(path, POSITIONS) else path
    for candidate in (base, base / "outs"):
        # the full-resolution image is often put into the run folder, beside `outs`
        above = (real_path(candidate).parent,) if real_path(candidate).name == "outs" else ()
        for spatial in (candidate / "spatial", candidate):
            if find(spatial, POSITIONS) or find(spatial, FACTORS):
                return Folder(candidate, spatial, above)
        if (candidate / "spatial").is_dir() and any(find(candidate, pattern) for pattern in MATRICES):
            return Folder(candidate, candidate / "spatial", above)
    return None


def find(folder: Path, pattern: re.Pattern[str]) -> list[Path]:
    """Entries of a folder with a fully matching name, sorted; an absent folder has none."""
    if not folder.is_dir():
        return []
    return [entry for entry in entries(folder) if pattern.fullmatch(entry.name)]


def one(paths: list[Path], what: str) -> Path | None:
    """Return the only path, or None; raises InputError where files of several samples lie together."""
    if len(paths) > 1:
        raise InputError(
            f"the folder holds several {what}",
            where=paths[0].parent,
            expected="the files of one section",
            found=listing(path.name for path in paths),
            fix="put each section into a folder of its own, or name the files in a sample sheet",
        )
    return paths[0] if paths else None


def positions_file(folder: Folder) -> Path:
    """Return the table of positions, the csv where a sample has both csv and Parquet.

    Raises
    ------
    InputError
        Where there is none, those of several samples, or two that differ.
    """
    paths = find(folder.spatial, POSITIONS)
    prefixes = {match["prefix"] for path in paths if (match := POSITIONS.fullmatch(path.name))}
    if len(prefixes) > 1:
        one(paths, "tables of positions")
    if not paths:
        raise InputError(
            "the table of spot positions is missing",
            where=folder.spatial,
            expected="tissue_positions.csv, tissue_positions.parquet or tissue_positions_list.csv",
            found=contents(folder.spatial),
            fix="copy it from the run's outs/spatial folder",
        )
    _require_alike(list(dict.fromkeys([*paths, *find(folder.base, POSITIONS)])))
    return paths[0]


def _require_alike(paths: list[Path]) -> None:
    """Refuse tables of positions that differ: it is not known which of them is the section's."""
    if len(paths) < 2:
        return
    tables = [read_positions(path).set_index("barcode") for path in paths]
    for path, table in zip(paths[1:], tables[1:], strict=True):
        shared = tables[0].index.intersection(table.index)
        apart = (tables[0].loc[shared] - table.loc[shared]).abs().max(axis=1) >= 1  # pixels may be rounded
        alone = len(tables[0]) + len(table) - 2 * len(shared)
        if apart.any() or alone:
            raise InputError(
                f"{paths[0].name} and {path.name} are different tables of positions",
                where=path.parent,
                expected="one table, or the same spots at the same places in both",
                found=f"{int(apart.sum()):,} spots at other places or with another in_tissue, {alone:,} in one only",
                fix="remove the one that is not of this run, or name the right one as spots in a sample sheet",
            )


def read_positions(path: Path) -> pd.DataFrame:
    """Read a table of positions of any Space Ranger version.

    Returns
    -------
    Columns barcode, in_tissue, array_row, array_col (int64), x_px and y_px (float64, full-resolution pixels).

    Raises
    ------
    InputError
        Where columns are missing, a value is no number, barcodes repeat, or a spot on tissue has a negative place.
    """
    if path.name.lower().endswith((".parquet", ".parquet.gz")):
        with unpacked(path) as file:
            frame = read_parquet(file)
    else:
        first = first_line(path).lower()
        frame = read_table(path, header=None if "barcode" in first or "in_tissue" in first else COLUMNS)
    frame.columns = frame.columns.str.lower()
    require_columns(frame, COLUMNS, path)
    barcodes = frame["barcode"].astype(str).map(unquoted)
    require_unique(pd.Index(barcodes), path)
    table = pd.DataFrame({"barcode": barcodes.to_numpy()})
    for name in ("in_tissue", "array_row", "array_col"):
        table[name] = integers(frame, name, path)
    table["x_px"] = numbers(frame, "pxl_col_in_fullres", path)
    table["y_px"] = numbers(frame, "pxl_row_in_fullres", path)
    _check_positions(table, path)
    return table


def _check_positions(table: pd.DataFrame, path: Path) -> None:
    strange = sorted(set(table["in_tissue"].unique()) - {0, 1})
    if strange:
        raise InputError(
            "column 'in_tissue' holds something else than 0 and 1",
            where=path,
            found=listing(strange),
            fix="the columns may be out of order",
        )
    on_tissue = table["in_tissue"] == 1
    if not on_tissue.any():
        raise InputError("no spot lies on tissue", where=path, expected="in_tissue = 1 for some spots")
    if (table[["array_row", "array_col"]] < 0).any(axis=None):
        raise InputError("array rows or columns are negative", where=path, expected="indices from 0")
    below = table.loc[on_tissue & ((table["x_px"] < 0) | (table["y_px"] < 0)), "barcode"]
    if len(below):
        raise InputError(
            f"{len(below):,} spots on tissue have negative pixel coordinates",
            where=path,
            expected="pixels of the full-resolution image, counted from its upper left corner",
            found=listing(below, 3),
        )


def read_factors(folder: Folder) -> tuple[dict[str, float], dict[str, Any], Path | None]:
    """Return scale factors {"hires": ..., "lowres": ...}, the whole JSON, and its path; empty where there is none."""
    path = one(find(folder.spatial, FACTORS), "scale factor files")
    if path is None:
        return {}, {}, None
    values = read_json(path)
    scales = {}
    for name in ("hires", "lowres"):
        if f"tissue_{name}_scalef" in values:
            scales[name] = positive(values, f"tissue_{name}_scalef", path)
    return scales, values, path


def positive(values: Mapping[str, Any], key: str, path: Path | None) -> float:
    """Return a positive number of a JSON or of `uns`; raises InputError where it is something else."""
    value = values[key]
    if isinstance(value, np.ndarray) and value.size == 1:  # as h5ad files of other programs have it
        value = value.ravel()[0]
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = np.nan
    if isinstance(value, bool | np.bool_) or not 1 / _MOST_FACTOR < number < _MOST_FACTOR:
        raise InputError(f"{key!r} is not a positive number", where=path, found=repr(value)[:100])
    return number


def read_matrix(folder: Folder, request: Request) -> tuple[Counts | None, str]:
    """Read the counts that were asked for or lie in the folder, and their kind: "filtered", "raw", "given"."""
    if request.counts is not None:
        return read_counts(request.counts), "given"
    for pattern in MATRICES:
        found = [p for p in find(folder.base, pattern) if p.is_dir() == pattern.pattern.endswith("x")]
        path = one([p for p in found if p.suffix != ".gz" or p.with_suffix("") not in found], "matrices")
        if path is not None:
            kind = "filtered" if "filtered_" in path.name else "raw"
            return (read_10x_mtx(path) if path.is_dir() else read_counts(path)), kind
    path = one(find(folder.base, _LOOSE_MATRIX), "matrices")
    if path is not None and (match := _LOOSE_MATRIX.fullmatch(path.name)):
        return read_10x_mtx(folder.base, prefix=match["prefix"]), "given"
    return None, "none"


def read_spots(folder: Folder, request: Request) -> Spots:
    """Read positions and counts and join them on their barcodes.

    Raises
    ------
    InputError
        Where a file is missing or damaged, or a filtered matrix holds barcodes that have no position.
    """
    path = request.spots or positions_file(folder)
    if not is_there(path):
        raise missing(path)
    positions = read_positions(path)
    on_tissue = positions["in_tissue"].to_numpy() == 1
    xy_px = positions[["x_px", "y_px"]].to_numpy(np.float64)  # (n, 2)
    counts, kind = read_matrix(folder, request)
    notes: list[str] = []
    join = None
    if counts is None:
        keep = on_tissue
        table = AnnData(X=sparse.csr_matrix((int(keep.sum()), 0), dtype=np.float32))
        notes.append("no matrix of counts was found; the section has no genes")
    else:
        counts = _joined_endings(positions["barcode"].tolist(), counts)
        keep, rows, notes = _join(positions, counts, kind, path)
        counted = int(positions["barcode"].isin(counts.table.obs_names).sum())
        join = None if kind == "raw" else Join(int(on_tissue.sum()), counted, int(keep.sum()))
        table = counts.table[rows].copy()
        notes += counts.notes
    kept = positions.loc[keep]
    table.obs = kept[["array_row", "array_col"]].set_index(pd.Index(kept["barcode"].to_numpy(), dtype=object))
    table.obsm["spatial"] = xy_px[keep]
    notes += unread(folder)
    return Spots(table, xy_px[~on_tissue], [path, *(counts.files if counts else ())], notes, join)


def unread(folder: Folder) -> list[str]:
    """Name what lies beside a section and is not read: archives, as GEO has them, and cells of Space Ranger 4."""
    places = dict.fromkeys((folder.spatial, folder.base, *folder.above))
    packed = [path.name for place in places if place.is_dir() for path in archives(place)]
    notes = [f"{listing(packed)} lies beside the section and was not read: unpack it if it is needed"] if packed else []
    if any((place / CELLS).is_dir() for place in places):
        notes.append(f"{CELLS} lies beside the section and was not read: spots and bins are read, no segmented cells")
    return notes


def _joined_endings(known: list[str], counts: Counts) -> Counts:
    """Give the barcodes of counts the ending that the positions have, where no barcode is the same and all are plain.

    Programs write "AAAC", "AAAC-1" or "AAAC-2" for one spot.
    """
    own = counts.table.obs_names.tolist()
    by_stem = {_ENDING.sub("", barcode): barcode for barcode in known}
    stems = [_ENDING.sub("", barcode) for barcode in own]
    unique = len(by_stem) == len(known) and len(set(stems)) == len(stems)
    if not unique or set(own) & set(known) or not set(stems) & by_stem.keys():
        return counts
    table = counts.table.copy()
    table.obs_names = [by_stem.get(stem, barcode) for stem, barcode in zip(stems, own, strict=True)]
    met = next((stem, barcode) for stem, barcode in zip(stems, own, strict=True) if stem in by_stem)
    note = f"barcodes of counts and positions end differently ({met[1]}, {by_stem[met[0]]}) and were joined without it"
    return replace(counts, table=table, notes=(*counts.notes, note))


def _join(
    positions: pd.DataFrame, counts: Counts, kind: str, path: Path
) -> tuple[NDArray[np.bool_], NDArray[np.intp], list[str]]:
    """Which positions are kept, their rows of the counts, and notes for the user."""
    where, barcodes = counts.files[0], pd.Index(positions["barcode"])
    on_tissue = positions["in_tissue"].to_numpy() == 1
    unknown = counts.table.obs_names.difference(barcodes, sort=False)
    # a raw matrix holds every barcode of the slide, also those beyond the captured picture
    if len(unknown) and (kind != "raw" or 2 * len(unknown) > counts.table.n_obs):
        raise InputError(
            f"{len(unknown):,} of {counts.table.n_obs:,} barcodes of the matrix have no position",
            where=where,
            expected=f"barcodes that stand in {path.name}, such as {barcodes[0]}",
            found=listing(unknown, 3),
            fix="the matrix and the positions are of different sections or bin sizes; copy both from one run",
        )
    rows = counts.table.obs_names.get_indexer(barcodes)  # (positions,), -1 where a spot has no counts
    keep = on_tissue & (rows >= 0)
    if not keep.any():
        raise InputError("no spot on tissue has counts", where=where, found=f"positions of {path.name}")
    notes = []
    if kind == "raw":
        notes.append(
            f"counts are of {where.name}; there is no filtered matrix, so all spots called on tissue were kept"
        )
    if len(unknown):
        notes.append(f"{len(unknown):,} barcodes of the raw matrix have no position and were left out")
    if (on_tissue & (rows < 0)).any():
        notes.append(f"{int((on_tissue & (rows < 0)).sum()):,} spots on tissue without counts were left out")
    if kind != "raw" and (~on_tissue & (rows >= 0)).any():
        count = int((~on_tissue & (rows >= 0)).sum())
        notes.append(f"{count:,} spots with counts are called off tissue and were left out")
    return keep, rows[keep], notes
