"""What a path asks for: the rows of a sample sheet, the slides of a challenge file, or itself."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path

from histoscribe.errors import ConfigError, InputError
from histoscribe.io import read_samplesheet, sections_in
from histoscribe.io.aliases import Aliases, section_alias, without_folders
from histoscribe.io.reading import Request
from histoscribe.run.settings import READING, Settings
from histoscribe.slide.open import IMAGE_SUFFIXES

ALL = "all"  # sections of a file


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions(Settings):
    """How the input is read and named: a part of the settings of every command.

    Parameters
    ----------
    align
        Place the spots in a picture that is turned, mirrored or cut, where the vendor's smaller picture shows beyond
        doubt how; else move them by the shift that the preflight estimates, instead of only reporting it.
    anonymous
        Name no file or folder of the input in the result and in the log; a section without a name gets a hash.
    allow_damaged
        Read a picture that is known to be damaged, with a note, instead of refusing it.
    section
        Name of the section to read, of a file that holds several; all of them where not given, or "all". Of a file that
        holds one, the name to give it.
    section_column
        Column of obs that names the sections of an h5ad or SpatialData table that holds several; "none" to read it as
        one section.
    """

    align: bool = field(default=False, metadata=READING)
    anonymous: bool = field(default=False, metadata=READING)
    allow_damaged: bool = field(default=False, metadata=READING)
    section: str | None = field(default=None, metadata=READING)
    section_column: str | None = field(default=None, metadata=READING)

    def reading(self) -> dict[str, bool | str | None]:
        """Return these alone, by name."""
        return {item.name: getattr(self, item.name) for item in fields(ReadOptions)}


def requests_of(path: Path, how: ReadOptions | None = None, *, mpp: float | None = None) -> list[Request]:
    """List what there is to read at `path`: the rows of a sample sheet, the slides of a challenge file, or itself.

    Parameters
    ----------
    how
        How they are read and named. Sections keep the names that a sample sheet gives them; a sheet has a column for
        single damaged pictures.
    mpp
        Microns per pixel of the pictures, where the user knows them better than the files; a sheet has a column.

    Raises
    ------
    ConfigError
        Microns per pixel, a section or its column beside a sheet.
    """
    how = how or ReadOptions()
    section = None if how.section == ALL else how.section
    if is_sheet(path) and (section or how.section_column):
        raise ConfigError(
            "a sample sheet has columns for the section and for the column that names it",
            where="--section" if section else "--section-column",
            fix="write them into the sheet's columns section and section_column",
        )
    if mpp is not None and is_sheet(path):
        raise ConfigError(
            "a sample sheet has a column for the microns per pixel of each section",
            where="--mpp",
            fix="write them into the sheet's column mpp",
        )
    rows = read_samplesheet(path) if is_sheet(path) else [Request(path=path, section=section)]
    rows = [
        replace(
            row,
            mpp=row.mpp if mpp is None else mpp,
            align=how.align,
            anonymous=how.anonymous,
            allow_damaged=how.allow_damaged or row.allow_damaged,
            section_column=row.section_column or how.section_column,
        )
        for row in rows
    ]
    return [request for row in rows for request in _slides(row)]


def is_sheet(path: Path) -> bool:
    """Whether a path is a sample sheet."""
    return path.suffix.lower() in (".csv", ".tsv")


def is_picture(path: Path | None) -> bool:
    """Whether a path is that of a picture alone."""
    return path is not None and path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES


def name_of(request: Request) -> str:
    """Name of a section in a table of all sections, which it has before it is read."""
    return (
        request.alias or request.section or ("section" if request.anonymous or not request.path else request.path.name)
    )


def written_reason(reason: str, request: Request) -> str:
    """Say why a section ended otherwise, for a file of the result: without this computer's folders.

    Parameters
    ----------
    reason
        What its error says; where the request is anonymous, names of files are replaced in it.
    """
    if request.anonymous:
        return Aliases(name_of(request), request).text(reason)
    for path in request.paths():
        reason = without_folders(reason, path)
    return reason


def logged_reason(reason: str, request: Request) -> str:
    """Say the same for a log, which names folders unless the request is anonymous."""
    return written_reason(reason, request) if request.anonymous else reason


def _slides(row: Request) -> list[Request]:
    """One request per slide where the path holds several and the row names none of them."""
    try:
        names = sections_in(row.path, column=row.section_column) if row.path is not None and row.section is None else []
    except InputError:  # said again, in its turn, when the section is read
        names = []
    found = [replace(row, section=name) for name in names] or [row]
    if not (names and row.anonymous and row.path is not None):
        return found
    files = [row.path] if row.path.is_file() else [entry for entry in row.path.iterdir() if entry.is_file()]
    name = section_alias(files)
    return [replace(one, alias=f"{name}-{number}") for number, one in enumerate(found, 1)]
