"""Loose files of any assay: an image, a table of spots with barcode, x and y in pixels, and counts if there are any."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError, listing
from histoscribe.io.assemble import Parts, assemble
from histoscribe.io.counts import Counts
from histoscribe.io.frames import Frame, find_frame, open_picture, stated_frame
from histoscribe.io.matrix import read_counts
from histoscribe.io.reading import Reading, Request
from histoscribe.io.tables import (
    integers,
    numbers,
    off_tissue_note,
    on_tissue,
    only_column,
    read_parquet,
    read_table,
    require_unique,
)

# the first name of each is ours; the others are in common use
_BARCODE = ("barcode", "barcodes", "spot", "spot_id", "cell_id", "id", "")
_X = ("x", "x_px", "pixel_x", "pxl_col_in_fullres", "imagecol")
_Y = ("y", "y_px", "pixel_y", "pxl_row_in_fullres", "imagerow")


class Generic:
    """Reader of loose files."""

    name = "generic"

    def recognise(self, path: Path) -> str | None:
        """Return None: loose files are named one by one."""
        return None

    def read(self, request: Request) -> Reading:
        """Read loose files; `x` is the image's column and `y` its row, in pixels, times `request.scale` if given.

        Raises
        ------
        InputError
            Where a file is missing or damaged, or the counts hold barcodes that have no coordinates.
        """
        if request.spots is None:
            raise InputError(
                "loose files need a table of spots",
                where=request.path,
                expected="spots: a csv or tsv with the columns barcode, x, y",
                fix="give spots, image and mpp; or the path of a vendor folder",
            )
        return _read(request, request.spots)


FORMAT = Generic()


def _read(request: Request, path: Path) -> Reading:
    frame = read_parquet(path) if path.suffix == ".parquet" else read_table(path)
    by_lower = {str(name).lower(): name for name in frame.columns}
    barcode, x, y = (_column(by_lower, names, path) for names in (_BARCODE, _X, _Y))
    barcodes = pd.Index(only_column(frame, barcode, path).astype(str))
    require_unique(barcodes, path)
    xy_px = np.column_stack([numbers(frame, x, path), numbers(frame, y, path)])  # (n, 2)
    kept = np.ones(len(frame), bool)
    if "in_tissue" in by_lower:
        kept = on_tissue(only_column(frame, by_lower["in_tissue"], path), path)
    outside = barcodes[kept & (xy_px < 0).any(axis=1)]
    if len(outside):
        raise InputError(f"{len(outside):,} spots have negative coordinates", where=path, found=listing(outside, 3))
    counts = read_counts(request.counts) if request.counts is not None else None
    table, keep, notes = _join(barcodes, kept, counts, path)
    notes = [*off_tissue_note(kept), *notes]
    for name in ("array_row", "array_col"):
        if name in by_lower:
            table.obs[name] = integers(frame, by_lower[name], path)[keep]
    table.obsm["spatial"] = xy_px[keep]
    image, chosen = None, Frame("fullres", 1.0, "no picture")
    if request.image is not None:
        image = open_picture(request.image, request)
        chosen = stated_frame(request.scale, {}, request.image) if request.scale else find_frame(image, {}, xy_px[keep])
        notes.append(f"image: {request.image.name}, {chosen.name} frame ({chosen.why})")
    parts = Parts(
        format="generic",
        why="image, spots and counts were given as loose files",
        platform="generic",
        spots=table,
        image=image,
        image_scale=chosen.factor,
        off_tissue_xy_px=xy_px[~kept],
        files=[path, *(counts.files if counts else ())],
        notes=notes,
    )
    return assemble(parts, request)


def _column(by_lower: dict[str, str], names: Iterable[str], path: Path) -> str:
    for name in names:
        if name in by_lower:
            return by_lower[name]
    raise InputError(
        f"the table of spots lacks the column {next(iter(names))!r}",
        where=path,
        expected="columns barcode, x, y (x is the image's column, y its row, in pixels)",
        found=listing(by_lower.values(), 12),
    )


def _join(
    barcodes: pd.Index, on_tissue: NDArray[np.bool_], counts: Counts | None, path: Path
) -> tuple[AnnData, NDArray[np.bool_], list[str]]:
    """Return counts of the spots on tissue, which spots have them, and notes."""
    if counts is None:
        obs = pd.DataFrame(index=barcodes[on_tissue])
        return AnnData(X=sparse.csr_matrix((len(obs), 0), dtype=np.float32), obs=obs), on_tissue, []
    unknown = counts.table.obs_names.difference(barcodes, sort=False)
    if len(unknown):
        raise InputError(
            f"{len(unknown):,} of {counts.table.n_obs:,} barcodes of the counts are unknown",
            where=counts.files[0],
            expected=f"barcodes that stand in {path.name}, such as {barcodes[0]}",
            found=listing(unknown, 3),
            fix="give counts and spots of one section, with spots in rows",
        )
    rows = counts.table.obs_names.get_indexer(barcodes)
    keep = on_tissue & (rows >= 0)
    if not keep.any():
        raise InputError("no spot on tissue has counts", where=counts.files[0], found=f"spots of {path.name}")
    left = int(on_tissue.sum() - keep.sum())
    notes = [*counts.notes, *([f"{left:,} spots without counts were left out"] if left else [])]
    table = counts.table[rows[keep]].copy()
    table.obs = pd.DataFrame(index=table.obs_names)
    return table, keep, notes
