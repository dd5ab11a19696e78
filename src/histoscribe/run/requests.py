"""What a path asks for: the rows of a sample sheet, the slides of a challenge file, or itself."""

from dataclasses import replace
from pathlib import Path

from histoscribe.errors import InputError
from histoscribe.io import read_samplesheet, sections_in
from histoscribe.io.reading import Request


def requests_of(path: Path) -> list[Request]:
    """List what there is to read at `path`: the rows of a sample sheet, the slides of a challenge file, or itself."""
    rows = read_samplesheet(path) if is_sheet(path) else [Request(path=path)]
    return [request for row in rows for request in _slides(row)]


def is_sheet(path: Path) -> bool:
    """Whether a path is a sample sheet."""
    return path.suffix.lower() == ".csv"


def _slides(row: Request) -> list[Request]:
    """One request per slide where the path holds several and the row names none of them."""
    try:
        names = sections_in(row.path) if row.path is not None and row.section is None else []
    except InputError:  # said again, in its turn, when the section is read
        names = []
    return [replace(row, section=name) for name in names] or [row]
