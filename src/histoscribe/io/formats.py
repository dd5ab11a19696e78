"""The registry of formats: find the reader for a path or a set of loose files, and read with it."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, cast

from histoscribe.errors import OUT_OF_MEMORY, ConfigError, InputError, listing, nearest
from histoscribe.io.aliases import anonymised
from histoscribe.io.placing import finished
from histoscribe.io.reading import Format, Reading, Request
from histoscribe.io.spaceranger import CELLS
from histoscribe.io.tables import ARCHIVE, archives, contents, missing
from histoscribe.registry import Registry
from histoscribe.section import Section
from histoscribe.store.files import real_path
from histoscribe.store.received import expanded, is_there

FORMATS: Registry[Format] = Registry(
    "format",
    group="histoscribe.formats",
    builtin={
        "visium": "histoscribe.io.visium:FORMAT",
        "visium_hd": "histoscribe.io.visium_hd:FORMAT",
        "st": "histoscribe.io.st:FORMAT",
        "challenge_h5": "histoscribe.io.challenge_h5:FORMAT",
        "anndata": "histoscribe.io.anndata:FORMAT",
        "spatialdata": "histoscribe.io.spatialdata:FORMAT",
        "generic": "histoscribe.io.generic:FORMAT",
    },
)

_PATHS = ("path", "image", "counts", "spots")
_OBJECTS = {".pkl", ".pickle", ".npy", ".npz", ".joblib", ".rds", ".rda", ".rdata"}


@dataclass(frozen=True, slots=True)
class Detection:
    """The format of a path, and the evidence for it."""

    format: str
    why: str


def detect(source: str | Path | Request) -> Detection:
    """Find the format of a path or of loose files.

    Raises
    ------
    InputError
        Where the path is missing, of no known format, or of several.
    """
    request = as_request(source)
    if request.path is None:
        return _detect_loose(request)
    path = request.path
    if not is_there(path):
        raise missing(path)
    if _holds_cells(path):
        raise InputError(
            "these are the segmented cells of Space Ranger 4, which are not read: spots and bins are",
            where=path,
            expected="the run's binned_outputs, as Space Ranger writes them beside segmented_outputs",
            found=contents(path),
            fix="give the folder binned_outputs, or a table of cells (barcode, x, y) as spots beside image and counts",
        )
    found = [Detection(name, why) for name in FORMATS.names() if (why := FORMATS.get(name).recognise(path))]
    if len(found) > 1:
        raise InputError(
            "this could be of several formats",
            where=path,
            found="; ".join(f"{one.format}: {one.why}" for one in found),
            fix="give format",
        )
    if not found:
        raise _unknown(path)
    return found[0]


def _holds_cells(path: Path) -> bool:
    """Whether a folder holds cells of Space Ranger 4 and nothing else of a section."""
    if not path.is_dir():
        return False
    outs = [place for place in (path, path / "outs") if (place / CELLS).is_dir()]
    alone = bool(outs) and not any((outs[0] / other).is_dir() for other in ("binned_outputs", "spatial"))
    return real_path(path).name == CELLS or alone


def _detect_loose(request: Request) -> Detection:
    from histoscribe.io.spaceranger import POSITIONS
    from histoscribe.io.st import is_spot_table

    if request.spots is None:
        given = [name for name in ("image", "counts") if getattr(request, name) is not None]
        raise InputError(
            "there is nothing to read spots from",
            where=request.image or request.counts,
            expected="path of a vendor folder, or spots (barcode, x, y) beside image and counts",
            found=f"only {listing(given)}",
            fix="give path or spots",
        )
    if not is_there(request.spots):
        raise missing(request.spots)
    if is_spot_table(request.spots):
        return Detection("st", f"{request.spots.name} has lattice and pixel coordinates")
    if POSITIONS.fullmatch(request.spots.name):
        return Detection("visium", f"{request.spots.name} is named as Space Ranger names it")
    return Detection("generic", "loose files")


def _unknown(path: Path) -> InputError:
    fix = "give a vendor folder, an h5ad, a SpatialData zarr, or image, spots and counts in a sample sheet"
    if ARCHIVE.search(path.name) and path.is_file():
        return InputError(
            "this is an archive, which is not read", where=path, fix="unpack it (tar xf, unzip) and give the folder"
        )
    if path.suffix.lower() == ".gz":
        return InputError("this file is compressed", where=path, fix=f"unpack it (gunzip {path.name}) and give that")
    packed = [one.name for place in (path, path / "outs") if place.is_dir() for one in archives(place)]
    if packed:
        return InputError(
            "the folder holds archives, which are not read, and no section of a known format",
            where=path,
            found=listing(packed),
            fix="unpack them there (tar xf, unzip)",
        )
    if path.is_dir():
        return InputError(
            "no section of a known format lies in this folder",
            where=path,
            expected="for example spatial/tissue_positions.csv, binned_outputs, or *_selection.tsv",
            found=contents(path),
            fix=fix,
        )
    if path.suffix.lower() in _OBJECTS:
        return InputError(
            "pickled, NumPy and R objects are not read: they can run foreign code or belong to another program",
            where=path,
            fix="write it as h5ad",
        )
    if path.suffix.lower() in {".h5", ".hdf5"}:
        fix = "a 10x matrix holds no coordinates: give the folder it lies in, or spots beside it"
    if path.suffix.lower() in (".csv", ".tsv"):
        fix = "a sample sheet is read by read_samplesheet; for a table of spots give spots, image and counts"
    return InputError("this file is of no known format", where=path, found=f"{path.stat().st_size:,} bytes", fix=fix)


def as_request(source: str | Path | Request, **options: Any) -> Request:
    """Make a request of a path and options; strings become paths where paths are meant.

    Raises
    ------
    ConfigError
        Where an option is unknown.
    """
    known = [field.name for field in fields(Request)]
    for name in options:
        if name not in known:
            raise ConfigError(f"there is no option {name!r} for reading", fix=nearest(name, known))
    request = source if isinstance(source, Request) else Request(path=Path(source))
    request = replace(request, **options)
    paths = {name: expanded(value) for name in _PATHS if (value := getattr(request, name)) is not None}
    scale = {"scale": str(request.scale)} if request.scale is not None else {}  # a factor may be given as a number
    return replace(request, **cast("dict[str, Any]", paths | scale))


def read(source: str | Path | Request, **options: Any) -> Reading:
    """Read one section with the evidence found in its files.

    Parameters
    ----------
    source
        A vendor folder, a file that carries everything, or a request with loose files.
    options
        Fields of Request: section, patient, format, image, counts, spots, mpp, scale, bin_um, section_column,
        align, allow_damaged, anonymous.

    Raises
    ------
    InputError
        Where the files are missing, damaged, of no known format, or do not fit each other.
    ConfigError
        Where an option is unknown or cannot be applied.
    """
    request = as_request(source, **options)
    for given in (getattr(request, name) for name in _PATHS):
        if given is not None and not is_there(given):
            raise missing(given)
    try:
        reader = FORMATS.get(request.format or detect(request).format)
        if request.section_column is not None and not hasattr(reader, "sections_by"):
            raise ConfigError(
                f"the format {reader.name} has no column that names sections",
                where="section_column",
                found=request.section_column,
                fix="leave section_column out; it is for h5ad files and SpatialData stores",
            )
        reading = reader.read(request)
    except MemoryError as error:  # less than the limit may still be more than this machine has free
        raise InputError(OUT_OF_MEMORY, where=request.path or request.spots, found=str(error)[:200] or None) from error
    reading = finished(reading, request)
    return anonymised(reading, request) if request.anonymous else reading


def read_section(source: str | Path | Request, **options: Any) -> Section:
    """Read one section; as `read`, without the evidence.

    Examples
    --------
    >>> from pathlib import Path
    >>> import histoscribe as hs
    >>> from histoscribe.phantom import write_spaceranger
    >>> outs = write_spaceranger(hs.make_phantom(7, size_um=1200.0, mpp=1.0), Path("my_section"))
    >>> section = hs.read_section("my_section")
    >>> section.name, section.platform, section.spots.shape
    ('my_section', 'visium', (110, 600))
    >>> section.lattice
    Lattice(kind='hex', pitch_um=100.0, spot_diameter_um=55.0)
    """
    return read(source, **options).section


def read_spatialdata(source: str | Path | Request, **options: Any) -> Any:
    """Read one section as a SpatialData object, for `hs.pp`, `hs.tl`, `hs.pl` and every other tool of the field.

    Parameters
    ----------
    source, options
        As of `read`.

    Returns
    -------
    SpatialData: `images["image"]`, a pyramid that is read when it is needed; `shapes["spots"]`; and `tables["table"]`,
    raw counts with the spots in pixels of the picture as `obsm["spatial"]`.

    Raises
    ------
    InputError, ConfigError
        As of `read`.

    Examples
    --------
    >>> from pathlib import Path
    >>> import histoscribe as hs
    >>> from histoscribe.phantom import write_spaceranger
    >>> outs = write_spaceranger(hs.make_phantom(7, size_um=1200.0, mpp=1.0), Path("my_section"))
    >>> sdata = hs.read("my_section")
    >>> sdata["table"].shape
    (110, 600)
    """
    return read_section(source, **options).to_spatialdata()


def sections_in(source: str | Path, *, column: str | None = None) -> list[str]:
    """Names of the sections that one path holds, to be given as `section`; empty where it holds just one.

    Parameters
    ----------
    column
        Column of `obs` that names them, in formats that have one.

    Raises
    ------
    InputError
        Where the path is missing, damaged or of no known format.
    """
    path = expanded(source)
    reader = FORMATS.get(detect(path).format)
    if column is not None and hasattr(reader, "sections_by"):
        names: list[str] = reader.sections_by(path, column)
    else:
        names = reader.sections(path) if hasattr(reader, "sections") else []
    return names if len(names) > 1 else []
