"""Legacy Spatial Transcriptomics: a table of spots with pixels, counts named "XxY", an image; 1k and 2k arrays."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import ConfigError, InputError, listing, nearest
from histoscribe.io.assemble import Parts, add_pitch, assemble
from histoscribe.io.counts import Counts
from histoscribe.io.frames import Frame, find_frame, open_picture, stated_frame
from histoscribe.io.lattice import ST_1K, ST_2K, is_staggered, unstagger
from histoscribe.io.matrix import read_counts
from histoscribe.io.reading import Reading, Request
from histoscribe.io.st_names import darkness_at, fitting_names
from histoscribe.io.tables import (
    contents,
    delimiter,
    entries,
    first_line,
    integers,
    missing,
    numbers,
    read_table,
    require_columns,
    require_unique,
)
from histoscribe.slide.image import SlideImage
from histoscribe.store.received import is_there

COLUMNS = ("x", "y", "pixel_x", "pixel_y")
_TABLE = r"\.(tsv|csv|txt)(\.gz)?"
# her2st, STUtility, the ST spot detector, and tables named after their section
_SPOT_TABLES = tuple(
    re.compile(pattern + _TABLE)
    for pattern in (
        r"(?P<key>.+)_selection",
        r"alignment_table_(?P<key>.+)",
        r"spot_data-(?:selection|all)-(?P<key>.+)",
        r"(?P<key>.+)[-_.]spots?",
        r"(?P<key>)spots?",
    )
)
_PICTURE = re.compile(r".+\.(png|jpg|jpeg|tif|tiff|btf|svs|ndpi)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Files:
    """The files of one section of a folder."""

    spots: Path
    counts: Path | None
    image: Path | None


class LegacyST:
    """Reader of legacy ST sections: loose files, or a folder in which they are named after their section."""

    name = "st"

    def recognise(self, path: Path) -> str | None:
        """Return the reason why `path` holds legacy ST sections, or None."""
        tables = _spot_tables(path)
        for table in tables.values():
            if is_spot_table(table):
                return f"{table.relative_to(path).as_posix()} has the columns {', '.join(COLUMNS)}"
        return None

    def sections(self, path: Path) -> list[str]:
        """Names of the sections in a folder."""
        return sorted(key for key in _spot_tables(path) if key)

    def read(self, request: Request) -> Reading:
        """Read a section.

        `request.section` chooses among the sections of a folder; `request.scale` is the factor from the pixels of the
        spot table to those of a picture that was made smaller, as a number or as two widths, "2000/6954".

        Raises
        ------
        InputError
            Where a file is missing or damaged, or the counts are of another section.
        """
        why = "loose files; the table of spots has lattice and pixel coordinates"
        if request.path is not None:
            if not is_there(request.path):
                raise missing(request.path)
            why = self.recognise(request.path) or ""
            if not why:
                raise InputError(
                    "this is not a folder of legacy ST sections",
                    where=request.path,
                    expected=f"a table of spots with the columns {', '.join(COLUMNS)}",
                    found=contents(request.path),
                )
            request = self._choose(request, request.path)
            why = f"{request.spots.name if request.spots else ''} has the columns {', '.join(COLUMNS)}"
        if request.spots is None:
            raise InputError("a legacy ST section needs its table of spots", expected="spots", fix="give spots")
        return _read(request, request.spots, why)

    def _choose(self, request: Request, path: Path) -> Request:
        tables = _spot_tables(path)
        key = request.section if request.section in tables else None
        if key is None and len(tables) == 1:
            (key,) = tables
        if key is None:
            raise InputError(
                "the folder holds several sections" if request.section is None else f"no section {request.section!r}",
                where=path,
                found=listing(sorted(tables), 40),
                fix=f"name one in `section`; {nearest(request.section or '', tables)}",
            )
        files = _files(path, key, tables[key])
        return replace(
            request,
            section=request.section or key or None,
            spots=request.spots or files.spots,
            counts=request.counts or files.counts,
            image=request.image or files.image,
        )


FORMAT = LegacyST()


def is_spot_table(path: Path) -> bool:
    """Whether a text table has the columns of legacy ST; False for a file that cannot be read."""
    try:
        first = first_line(path)
    except InputError:
        return False
    return set(COLUMNS) <= {name.strip().strip('"') for name in first.split(delimiter(first))}


def _spot_tables(folder: Path) -> dict[str, Path]:
    """Tables of spots by the section they are named after."""
    found: dict[str, Path] = {}
    for place in (folder, folder / "spots"):
        for path in entries(place) if place.is_dir() else ():
            for pattern in _SPOT_TABLES:
                match = pattern.fullmatch(path.name)
                if match:
                    found.setdefault(match["key"], path)
                    break
    return found


def _files(folder: Path, key: str, spots: Path) -> Files:
    counts = re.compile((re.escape(key) + r"([-_.](counts|stdata))?" if key else r"(counts|stdata)") + _TABLE)
    image = re.compile(re.escape(key) + r"([-_. ].*)?\.\w+" if key else r"(image|he|tissue)[^/]*\.\w+", re.IGNORECASE)
    places = [place for place in (folder, folder / "counts", folder / "images") if place.is_dir()]
    found = [entry for place in places for entry in entries(place) if entry.is_file() and entry != spots]
    pictures = [entry for entry in found if _PICTURE.fullmatch(entry.name) and image.fullmatch(entry.name)]
    if len(pictures) > 1:
        raise InputError(
            "several pictures are named after this section",
            where=folder,
            found=listing(picture.name for picture in pictures),
            fix="give the image",
        )
    tables = [entry for entry in found if counts.fullmatch(entry.name)]
    if len(tables) > 1:
        raise InputError(
            "several tables of counts are named after this section",
            where=folder,
            found=listing(table.name for table in tables),
            fix="give the counts",
        )
    return Files(spots, tables[0] if tables else None, pictures[0] if pictures else None)


def _read(request: Request, path: Path, why: str) -> Reading:
    frame = read_table(path)
    require_columns(frame, COLUMNS, path)
    x, y = (integers(frame, name, path) for name in ("x", "y"))
    xy_px = np.column_stack([numbers(frame, name, path) for name in ("pixel_x", "pixel_y")])  # (n, 2)
    barcodes = pd.Index([f"{column}x{row}" for column, row in zip(x, y, strict=True)])
    require_unique(barcodes, path, what="lattice positions")
    selected = _selected(frame, path)
    outside = barcodes[selected & (xy_px < 0).any(axis=1)]
    if len(outside):
        raise InputError(
            f"{len(outside):,} spots have negative pixel coordinates", where=path, found=listing(outside, 3)
        )
    staggered = is_staggered(x, y)
    row, column = unstagger(x, y) if staggered else (y, x)
    counts = read_counts(request.counts) if request.counts is not None else None
    image, frame_of, more = _picture(request, xy_px[selected])
    darkness = None if image is None else partial(darkness_at, image, xy_px * frame_of.factor)
    table, keep, notes = _join(barcodes, selected, counts, path, darkness=darkness)
    table.obs["array_row"], table.obs["array_col"] = row[keep], column[keep]
    table.obsm["spatial"] = xy_px[keep]
    if staggered:
        notes.append("the spots stand on every other grid point (2k array): pitch 141 um, turned by 45 degrees")
    parts = Parts(
        format="st",
        why=why,
        platform="st",
        spots=table,
        lattice=ST_2K if staggered else ST_1K,
        image=image,
        image_scale=frame_of.factor,
        off_tissue_xy_px=xy_px[~selected],
        files=[path, *(counts.files if counts else ())],
        notes=[*notes, *more],
    )
    add_pitch(parts)
    return assemble(parts, request)


def _selected(frame: pd.DataFrame, path: Path) -> NDArray[np.bool_]:
    if "selected" not in frame:
        return np.ones(len(frame), bool)
    values = integers(frame, "selected", path)
    if not set(np.unique(values)) <= {0, 1}:
        raise InputError("column 'selected' holds something else than 0 and 1", where=path)
    if not values.any():
        raise InputError("no spot is selected", where=path, expected="selected = 1 for spots on tissue")
    selected: NDArray[np.bool_] = values == 1
    return selected


def _join(
    barcodes: pd.Index,
    selected: NDArray[np.bool_],
    counts: Counts | None,
    path: Path,
    *,
    darkness: Callable[[], NDArray[np.float64]] | None,
) -> tuple[AnnData, NDArray[np.bool_], list[str]]:
    """Return counts of the selected spots, which spots have them, and notes."""
    if counts is None:
        obs = pd.DataFrame(index=barcodes[selected])
        note = "no counts were given; the section has no genes"
        return AnnData(X=sparse.csr_matrix((len(obs), 0), dtype=np.float32), obs=obs), selected, [note]
    where = counts.files[0]
    names, turned = fitting_names(barcodes, selected, counts.table, darkness)
    rows = names.get_indexer(barcodes)
    keep = selected & (rows >= 0)
    matched = int(keep.sum())
    if 2 * matched < min(int(selected.sum()), counts.table.n_obs):
        transposed = any(re.fullmatch(r"\d+x\d+", gene) for gene in counts.table.var_names[:5])
        raise InputError(
            f"the counts are of other spots: {matched:,} of {int(selected.sum()):,} selected spots have counts",
            where=where,
            expected=f"rows named as in {path.name}, such as {barcodes[0]}",
            found=listing(names, 3),
            fix="the table has genes in rows; transpose it" if transposed else "give the counts of the same section",
        )
    notes = [*counts.notes, *turned]
    if matched < selected.sum():
        notes.append(f"{int(selected.sum()) - matched:,} selected spots without counts were left out")
    unplaced = int((~names.isin(barcodes)).sum())
    if unplaced:
        notes.append(f"{unplaced:,} rows of counts that have no spot were left out")
    table = counts.table[rows[keep]].copy()
    table.obs_names = barcodes[keep]
    return table, keep, notes


def _picture(request: Request, xy_px: NDArray[np.float64]) -> tuple[SlideImage | None, Frame, list[str]]:
    if request.image is None:
        return None, Frame("fullres", 1.0, "no picture"), []
    image = open_picture(request.image, request)
    if request.scale in {"hires", "lowres"}:
        raise ConfigError(
            f"legacy ST has no {request.scale} picture",
            where=request.image,
            expected='scale as a factor such as 0.2876, or two widths such as "2000/6954"',
        )
    frame = stated_frame(request.scale, {}, request.image) if request.scale else find_frame(image, {}, xy_px)
    return image, frame, [f"image: {request.image.name}, {frame.name} frame ({frame.why})"]
