"""SpatialData stores: histoscribe's own, and those that spatialdata-io and other programs write."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from histoscribe.errors import InputError, listing
from histoscribe.io.anndata import add_lattice_indices, guess_lattice, on_tissue_of
from histoscribe.io.assemble import Parts, add_pitch, assemble, reassemble
from histoscribe.io.containers import require_sound
from histoscribe.io.frames import find_frame, open_picture, stated_frame
from histoscribe.io.h5ad import counts_of
from histoscribe.io.lattice import hd_lattice
from histoscribe.io.merged import choose_section, find_sections, safe_name
from histoscribe.io.reading import Reading, Request, Thumbnail
from histoscribe.io.spatialdata_pictures import BINS, sample_of, stored_picture, stored_thumbnail
from histoscribe.io.tables import contents, missing, off_tissue_note, require_parquet, require_unique
from histoscribe.io.zarr_store import require_store
from histoscribe.section import TABLE, Section
from histoscribe.store.received import is_there, read_received

# what SpatialData and zarr raise on damaged descriptions; SpatialData checks many of them by assert
_FAILURES = (
    OSError,
    KeyError,
    ValueError,
    TypeError,
    RuntimeError,
    AttributeError,
    IndexError,
    OverflowError,
    AssertionError,
)


class SpatialDataStore:
    """Reader of SpatialData zarr stores."""

    name = "spatialdata"

    def recognise(self, path: Path) -> str | None:
        """Return the reason why `path` is a SpatialData store, or None."""
        for name in ("zarr.json", ".zattrs"):
            root = path / name
            if root.is_file() and b'"spatialdata_attrs"' in read_received(root, cost=4):
                return f"its {name} names SpatialData"
        if (path / ".zgroup").is_file() and any((path / name).is_dir() for name in ("tables", "table", "shapes")):
            return "it is a zarr store with SpatialData's groups"
        return None

    def sections(self, path: Path) -> list[str]:
        """Names of the sections of a store that holds several: of its shapes, or of its one table's sections."""
        return self.sections_by(path, None)

    def sections_by(self, path: Path, column: str | None) -> list[str]:
        """Names of the sections by a column of the table's `obs`; by what is found to tell them apart where None."""
        sdata = open_store(path)
        pairs = _pairs(sdata)
        if "histoscribe" in getattr(sdata.tables.get(TABLE), "uns", {}):
            return []
        names = sorted({sample_of(region) for _, region in pairs})
        if column is None and len(names) > 1:
            return names
        found = [find_sections(sdata.tables[name], column=column, where=path) for name, _ in pairs[:1]]
        return [] if not found or found[0] is None else found[0].names

    def read(self, request: Request) -> Reading:
        """Read a store; of several tables or images `section`, `bin_um` and `scale` choose.

        Raises
        ------
        InputError
            Where the store is damaged, holds pickled objects, or does not say what belongs together.
        """
        path = request.path
        if path is None:
            raise InputError("a SpatialData store is read from its path", expected="path", fix="give path")
        if not is_there(path):
            raise missing(path)
        why = self.recognise(path)
        if why is None:
            raise InputError("this is not a SpatialData store", where=path, found=contents(path))
        return reading_of(open_store(path), request, where=path, why=why, files=_files(path))


FORMAT = SpatialDataStore()


def reading_of(sdata: Any, request: Request, *, where: Path, why: str, files: Sequence[Path] = ()) -> Reading:
    """Read a SpatialData object, which is left as it is; see `SpatialDataStore.read`.

    Parameters
    ----------
    where
        What messages call it: its store, or a name for what is in memory.
    why
        Why it is taken for one.
    files
        Those of its store.
    """
    table = sdata.tables.get(TABLE)
    if table is not None and "histoscribe" in table.uns:
        return _read_own(sdata, request, where, why, files)
    return _read_foreign(sdata, request, where, why, files)


def open_store(path: Path) -> Any:
    """Open a SpatialData store after everything that it declares was checked; pictures are opened lazily.

    Raises
    ------
    InputError
        Where it is damaged, incomplete, larger than the limit, or holds pickled objects.
    """
    import zarr
    from anndata._io.specs.registry import IORegistryError  # not exported, yet raised for unknown elements
    from spatialdata import read_zarr

    require_store(path)
    for table in sorted(path.glob("shapes/*/*.parquet")):
        require_parquet(table)
    try:
        with warnings.catch_warnings(), _silenced("ome_zarr"):
            warnings.simplefilter("ignore")  # about names and versions that are of no concern here
            for tables in (path / name for name in ("tables", "table")):
                if tables.is_dir():
                    require_sound(zarr.open_group(str(tables), mode="r"), tables)
            return read_zarr(path)
    except (*_FAILURES, IORegistryError) as error:
        raise InputError(
            "the SpatialData store is damaged or incomplete",
            where=path,
            found=str(error).splitlines()[0][:200] if str(error) else repr(error),
            fix="copy it again; all files of the folder belong to it",
        ) from error


@contextmanager
def _silenced(name: str) -> Iterator[None]:
    """Keep a library's log off the terminal: its remarks on the store's layout do not help the user."""
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.rglob("*") if file.is_file())


def _read_own(sdata: Any, request: Request, path: Path, why: str, files: Sequence[Path]) -> Reading:
    try:
        section = Section.from_spatialdata(sdata, path=path)
    except _FAILURES as error:
        raise InputError("the store's own header is damaged", where=path, found=repr(error)[:200]) from error
    return reassemble(section, request, format="spatialdata", why=why, files=files)


def _read_foreign(sdata: Any, request: Request, path: Path, why: str, files: Sequence[Path]) -> Reading:
    name, table, region = _choose_table(sdata, request, path)
    choice = choose_section(find_sections(table, column=request.section_column, where=path), request, path)
    table = table if choice is None else table[choice.rows].copy()
    request = request if request.section is None else replace(request, section=safe_name(request.section))
    table, xy_px = _centres(sdata, table, region, path)
    require_unique(table.obs_names.astype(str), path)
    spots, note = counts_of(table, path)
    on_tissue = on_tissue_of(table, path)
    small: Thumbnail | None = None
    if request.image is None:
        image, xy_px, image_notes = stored_picture(sdata, region, request, path, xy_px)
    else:
        image = open_picture(request.image, request)
        small, image_notes = stored_thumbnail(sdata, region, path)
        if request.scale is not None:
            frame = stated_frame(request.scale, {}, request.image)
        else:
            frame = find_frame(image, {}, xy_px, full_size_px=None if small is None else small.full_size_px)
        xy_px = xy_px * frame.factor
        small = None if small is None else replace(small, factor=small.factor / frame.factor)
        image_notes.append(f"image: {request.image.name}, {frame.name} frame ({frame.why})")
    spots.obsm["spatial"] = xy_px
    spots = spots[on_tissue].copy()
    add_lattice_indices(spots, table.obs[on_tissue], path)
    bins = BINS.search(region) or BINS.search(name)
    lattice, platform = (hd_lattice(float(bins[1])), "visium_hd") if bins else guess_lattice(spots, {}, path)
    parts = Parts(
        format="spatialdata",
        why=why,
        platform=platform,
        spots=spots,
        lattice=lattice,
        image=image,
        off_tissue_xy_px=xy_px[~on_tissue],
        files=list(files),
        notes=[
            f"table {name!r} of the shapes {region!r}",
            *([choice.note] if choice else []),
            *([note] if note else []),
            *off_tissue_note(on_tissue),
            *image_notes,
        ],
        thumbnail=small,
    )
    add_pitch(parts)
    return assemble(parts, request)


def chosen_table(sdata: Any, request: Request, *, where: Path) -> str:
    """Return the name of the table that holds the section's spots; raises InputError where that is not clear."""
    own = sdata.tables.get(TABLE)
    return TABLE if own is not None and "histoscribe" in own.uns else _choose_table(sdata, request, where)[0]


def _choose_table(sdata: Any, request: Request, path: Path) -> tuple[str, AnnData, str]:
    """Return the table of spots and the shapes that it annotates."""
    pairs = _pairs(sdata)
    if request.section is not None and len(pairs) > 1:
        exact = [pair for pair in pairs if request.section in pair]
        pairs = (
            exact or [pair for pair in pairs if request.section in (sample_of(pair[1]), safe_name(pair[1]))] or pairs
        )
    if len(pairs) > 1 and all(BINS.search(region) for _, region in pairs):
        pairs = [pair for pair in pairs if BINS.search(pair[1])[1] == f"{request.bin_um or 8:03d}"] or pairs  # type: ignore[index]
    if len(pairs) != 1:
        raise InputError(
            "the store does not say which table is the section's" if pairs else "the store has no table of spots",
            where=path,
            expected="a table that annotates one set of shapes",
            found=f"tables: {listing(f'{one} of {listing(_regions(table))}' for one, table in sdata.tables.items())}; "
            f"shapes: {listing(sdata.shapes)}",
            fix="name the table or its shapes in `section`" if pairs else "write the store again with its table",
        )
    name, region = pairs[0]
    table = sdata.tables[name]
    if len(_regions(table)) > 1:
        key = table.uns["spatialdata_attrs"]["region_key"]
        table = table[(table.obs[key] == region).to_numpy()].copy()
    return name, table, region


def _regions(table: AnnData) -> list[str]:
    regions = table.uns.get("spatialdata_attrs", {}).get("region")
    return [regions] if isinstance(regions, str) else list(regions if regions is not None else [])


def _pairs(sdata: Any) -> list[tuple[str, str]]:
    """Tables and the shapes that they annotate, one pair for each."""
    return [(name, one) for name, table in sdata.tables.items() for one in _regions(table) if one in sdata.shapes]


def _centres(sdata: Any, table: AnnData, region: str, path: Path) -> tuple[AnnData, NDArray[np.float64]]:
    """Centres of the table's spots, (n, 2), in the shapes' own coordinates."""
    key = table.uns["spatialdata_attrs"].get("instance_key")
    shapes = sdata.shapes[region]
    if key not in table.obs:
        raise InputError(f"the table has no column {key!r} that names its shapes", where=path, found=listing(table.obs))
    rows = shapes.index.get_indexer(table.obs[key])
    if (rows < 0).any():
        lost = table.obs[key][rows < 0]
        raise InputError(
            f"{len(lost):,} rows of the table name shapes that do not exist",
            where=path,
            expected=f"values of the index of shapes {region!r}",
            found=listing(lost, 3),
        )
    centre = shapes.geometry.centroid
    xy: NDArray[np.float64] = np.column_stack([centre.x, centre.y])[rows]  # (n, 2)
    bad = ~np.isfinite(xy).all(axis=1)
    if bad.any():
        raise InputError(
            f"{int(bad.sum()):,} spots have no finite coordinates",
            where=path,
            expected=f"a place of each of the shapes {region!r}",
            found=listing(table.obs_names[bad], 3),
            fix="correct these shapes, or leave them and their rows of the table out",
        )
    return table, xy
