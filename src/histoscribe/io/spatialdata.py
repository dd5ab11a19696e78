"""SpatialData stores: histoscribe's own, and those that spatialdata-io and other programs write."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from anndata import AnnData
from numpy.typing import NDArray

from histoscribe.errors import InputError, listing
from histoscribe.io.anndata import add_lattice_indices, guess_lattice, on_tissue_of
from histoscribe.io.assemble import Parts, add_pitch, assemble
from histoscribe.io.containers import require_sound
from histoscribe.io.frames import find_frame, open_picture, stated_frame
from histoscribe.io.h5ad import counts_of
from histoscribe.io.lattice import hd_lattice
from histoscribe.io.reading import Reading, Request, Thumbnail
from histoscribe.io.tables import contents, missing, off_tissue_note, require_parquet, require_unique
from histoscribe.io.zarr_store import require_store
from histoscribe.section import TABLE, Section, raster_source
from histoscribe.slide.image import SlideImage
from histoscribe.store.received import is_there, read_received

_BINS = re.compile(r"square_(\d{3})um")
# spatialdata-io's names, best first; its CytAssist picture is of another instrument
_SUFFIXES = {"fullres": "_full_image", "hires": "_hires_image", "lowres": "_lowres_image"}
_COLOURS = {"red": "r", "green": "g", "blue": "b", "alpha": "a", **{one: one for one in "rgba"}}
_OPAQUE = ("r", "g", "b", "a")
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
        sdata = open_store(path)
        table = sdata.tables.get(TABLE)
        if table is not None and "histoscribe" in table.uns:
            return _read_own(sdata, request, why)
        return _read_foreign(sdata, request, path, why)


FORMAT = SpatialDataStore()


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


def _read_own(sdata: Any, request: Request, why: str) -> Reading:
    path = request.path or Path()
    try:
        section = Section.from_spatialdata(sdata, path=path)
    except _FAILURES as error:
        raise InputError("the store's own header is damaged", where=path, found=repr(error)[:200]) from error
    request = replace(request, section=request.section or section.name, patient=request.patient or section.patient)
    parts = Parts(
        format="spatialdata",
        why=why,
        platform=section.platform,
        spots=section.spots,
        lattice=section.lattice,
        image=None if section.image is None else replace(section.image, path=None),  # all its files are named below
        mpp_by_source={"stored by histoscribe": section.mpp},
        files=_files(path),
    )
    add_pitch(parts)
    return assemble(parts, request)


def _read_foreign(sdata: Any, request: Request, path: Path, why: str) -> Reading:
    name, table, region = _choose_table(sdata, request, path)
    table, xy_px = _centres(sdata, table, region, path)
    require_unique(table.obs_names.astype(str), path)
    spots, note = counts_of(table, path)
    on_tissue = on_tissue_of(table, path)
    small: Thumbnail | None = None
    if request.image is None:
        image, xy_px, image_notes = _stored_picture(sdata, region, request, path, xy_px)
    else:
        image = open_picture(request.image, request)
        small, image_notes = _thumbnail(sdata, region, path)
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
    bins = _BINS.search(region) or _BINS.search(name)
    lattice, platform = (hd_lattice(float(bins[1])), "visium_hd") if bins else guess_lattice(spots, {}, path)
    parts = Parts(
        format="spatialdata",
        why=why,
        platform=platform,
        spots=spots,
        lattice=lattice,
        image=image,
        off_tissue_xy_px=xy_px[~on_tissue],
        files=_files(path),
        notes=[
            f"table {name!r} of the shapes {region!r}",
            *([note] if note else []),
            *off_tissue_note(on_tissue),
            *image_notes,
        ],
        thumbnail=small,
    )
    add_pitch(parts)
    return assemble(parts, request)


def _choose_table(sdata: Any, request: Request, path: Path) -> tuple[str, AnnData, str]:
    """Return the table of spots and the shapes that it annotates."""
    regions_of = {}
    for name, table in sdata.tables.items():
        regions = table.uns.get("spatialdata_attrs", {}).get("region")
        regions_of[name] = [regions] if isinstance(regions, str) else list(regions if regions is not None else [])
    pairs = [(name, region) for name, regions in regions_of.items() for region in regions if region in sdata.shapes]
    if request.section is not None and len(pairs) > 1:
        pairs = [pair for pair in pairs if request.section in pair] or pairs
    if len(pairs) > 1 and all(_BINS.search(region) for _, region in pairs):
        pairs = [pair for pair in pairs if _BINS.search(pair[1])[1] == f"{request.bin_um or 8:03d}"] or pairs  # type: ignore[index]
    if len(pairs) != 1:
        raise InputError(
            "the store does not say which table is the section's" if pairs else "the store has no table of spots",
            where=path,
            expected="a table that annotates one set of shapes",
            found=f"tables: {listing(f'{one} of {listing(regions)}' for one, regions in regions_of.items())}; "
            f"shapes: {listing(sdata.shapes)}",
            fix="name the table or its shapes in `section`" if pairs else "write the store again with its table",
        )
    name, region = pairs[0]
    table = sdata.tables[name]
    if len(regions_of[name]) > 1:
        key = table.uns["spatialdata_attrs"]["region_key"]
        table = table[(table.obs[key] == region).to_numpy()].copy()
    return name, table, region


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
    return table, xy


def _stored_picture(
    sdata: Any, region: str, request: Request, path: Path, xy_px: NDArray[np.float64]
) -> tuple[SlideImage | None, NDArray[np.float64], list[str]]:
    """Return the picture of a region and the spots in its pixels, (n, 2)."""
    name = _choose_image(sdata, region, request, path)
    if name is None:
        return None, xy_px, ["the store holds no picture"]
    image = _slide_image(sdata.images[name], name, path)
    return image, _into(sdata, region, name, path, xy_px), [f"image: {name!r} of the store"]


def _thumbnail(sdata: Any, region: str, path: Path) -> tuple[Thumbnail | None, list[str]]:
    """Return the store's own picture of a region, where it is placed by a scale alone, and notes on others."""
    own = _own_images(sdata, region)
    if len(own) > 1:  # of other samples too, where none is named after this one
        own = [f"{_sample(region)}{_SUFFIXES[kind]}" for kind in ("hires", "lowres", "fullres")]
    notes = []
    for name in own:
        if name not in sdata.images:
            continue
        corners = np.array([[0.0, 0.0], [1000.0, 0.0], [0.0, 1000.0]])
        try:
            origin, right, down = _into(sdata, region, name, path, corners)
            image = _slide_image(sdata.images[name], name, path)
        except InputError as error:
            notes.append(f"image {name!r} of the store was not compared with the one given ({error.problem})")
            continue
        factor = (right - origin)[0] / 1000.0
        upright = np.eye(2) * 1000.0 * factor
        # the corner of a pixel and its middle differ by half a pixel
        if factor > 0 and np.abs(origin).max() < 1 and np.allclose([right - origin, down - origin], upright, rtol=1e-3):
            return Thumbnail(name, image, factor), notes
    return None, notes


def _sample(region: str) -> str:
    return _BINS.sub("", region).rstrip("_")


def _own_images(sdata: Any, region: str) -> list[str]:
    """Names of the pictures of a region's sample, by its whole name; all of them where none is named after it."""
    names = [name for name in sdata.images if not name.endswith("_cytassist_image")]
    sample = _sample(region)
    exact = [name for name in names if name in (sample, *(f"{sample}{suffix}" for suffix in _SUFFIXES.values()))]
    return exact or [name for name in names if name.startswith(f"{sample}_")] or names


def _choose_image(sdata: Any, region: str, request: Request, path: Path) -> str | None:
    names = _own_images(sdata, region)
    if request.scale in _SUFFIXES:
        names = [name for name in names if name.endswith(_SUFFIXES[request.scale])]
    for suffix in _SUFFIXES.values():
        best = [name for name in names if name.endswith(suffix)]
        if best:
            names = best
            break
    if len(names) > 1 or (request.scale is not None and not names):
        raise InputError(
            "the store does not say which picture is the section's",
            where=path,
            expected=f"one image for the shapes {region!r}",
            found=f"images: {listing(sdata.images)}",
            fix="give scale (fullres, hires or lowres), or a store with one picture",
        )
    return names[0] if names else None


def _slide_image(element: Any, name: str, path: Path) -> SlideImage:
    source = raster_source(element, where=path, channels=_colours(element, name, path))
    channels, kind = source.levels[0].shape[0], source.levels[0].dtype
    if channels != 3 or kind != np.uint8:
        raise InputError(
            f"image {name!r} is no colour picture of 8 bits",
            where=path,
            expected="uint8 with channels r, g, b",
            found=f"{channels} channels of {kind}",
            fix="give the H&E picture as image",
        )
    return SlideImage(source)


def _colours(element: Any, name: str, path: Path) -> tuple[int, ...]:
    """Which channels are red, green and blue, by their names; raises InputError where they are stains of another kind.

    Channels without names, three or four of them, are red, green, blue and opacity.
    """
    from spatialdata.models import get_channel_names

    names = [str(one).strip().lower() for one in get_channel_names(element)]
    if names == [str(k) for k in range(len(names))] and len(names) <= len(_OPAQUE):
        return tuple(range(min(3, len(names))))
    known = [_COLOURS.get(one, "") for one in names]
    if set(known) <= set(_OPAQUE) and sorted(known)[-3:] == ["b", "g", "r"] and len(set(known)) == len(known):
        return tuple(known.index(colour) for colour in "rgb")
    raise InputError(
        f"image {name!r} is no H&E: its channels are not red, green and blue",
        where=path,
        expected="channels r, g, b, in any order",
        found=f"{len(names)} channels: {listing(names)}",
        fix="give the H&E picture as image",
    )


def _into(sdata: Any, region: str, image: str, path: Path, xy_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Transform points from a region's own coordinates into an image's pixels, (n, 2).

    Every coordinate system that both share must lead to the same places.
    """
    ways = _matrices(sdata.shapes[region]), _matrices(sdata.images[image])
    shared = sorted(set(ways[0]) & set(ways[1]))
    if not shared:
        raise InputError(
            f"the store does not say how the shapes {region!r} lie in the image {image!r}",
            where=path,
            expected="a coordinate system that both share",
            found=f"shapes: {listing(ways[0])}; image: {listing(ways[1])}",
            fix="set a transformation of both to one coordinate system",
        )
    places = []
    for system in shared:
        matrix = np.linalg.inv(ways[1][system]) @ ways[0][system]  # (3, 3)
        places.append(xy_px @ matrix[:2, :2].T + matrix[:2, 2])  # (n, 2)
    spread = max(float(np.abs(place - places[0]).max()) for place in places)
    if spread > 1:
        raise InputError(
            f"the coordinate systems {listing(shared)} place the spots differently, by up to {spread:.0f} pixels",
            where=path,
            fix=f"remove the wrong transformation of {region!r} or {image!r}",
        )
    return places[0]


def _matrices(element: Any) -> dict[str, NDArray[np.float64]]:
    """Affine matrices, (3, 3) for x before y, of an element's transformations by coordinate system."""
    from spatialdata.transformations import get_transformation

    axes = ("x", "y")
    ways = get_transformation(element, get_all=True)
    return {
        str(system): np.asarray(way.to_affine_matrix(input_axes=axes, output_axes=axes)) for system, way in ways.items()
    }
