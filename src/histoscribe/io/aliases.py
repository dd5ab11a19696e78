"""Aliases written in place of the names of a user's files: a file's name may identify a patient.

An alias is the section's name and the first digits of the sha256 of the file's bytes, never of its name: a name can be
guessed and its hash compared. Readers report in free text what they did ("image: X.tif, fullres frame"), so the names
that such a text can hold are searched for in it: those of the files given and read, and of what lies beside them.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from histoscribe.io.reading import Reading, Request
from histoscribe.slide.open import IMAGE_SUFFIXES
from histoscribe.store.files import fingerprint, real_path, sha256_file

_SUFFIXES = frozenset(
    (*IMAGE_SUFFIXES, ".h5", ".hdf5", ".h5ad", ".csv", ".tsv", ".txt", ".gz", ".json", ".parquet", ".mtx", ".zip")
)
# words of vendors' folders and of our own messages: no names of persons, and a message needs them
_WORDS = frozenset(
    {
        *("outs", "spatial", "binned_outputs", "raw_feature_bc_matrix", "filtered_feature_bc_matrix"),
        *("image", "images", "picture", "pictures", "slide", "slides", "hires", "lowres", "fullres", "full", "matrix"),
        *("counts", "spots", "table", "tables", "shapes", "labels", "points", "tissue", "genes"),
        *("section", "sections", "data", "out", "result", "results"),
    }
)
_BINS = re.compile(r"square_\d{3}um")
_LONG = 5  # names of this many letters or more are replaced inside other words too


@dataclass(frozen=True, slots=True)
class Aliases:
    """Aliases of one section's files.

    Parameters
    ----------
    section
        The section's name.
    request
        The request that was read.
    files
        The files that were read; empty where reading failed.
    """

    section: str
    request: Request
    files: tuple[Path, ...] = ()

    def of(self, path: Path) -> str:
        """Return the alias of a file or folder."""
        return file_alias(path, self.section)

    def text(self, text: str) -> str:
        """Replace in a text all names of files and folders, the path to them, and the section's name in the file."""
        for path in self.request.paths():
            text = without_folders(text, path, folder="a folder")
        known = self._names()
        short = [name for name in known if len(name) < _LONG]
        parts = [
            re.escape(name) if name not in short else rf"(?<!\w){re.escape(name)}(?!\w)"
            for name in sorted(known, key=len, reverse=True)
        ]
        if parts:
            text = re.sub("|".join(parts), lambda found: self._alias(known, found[0]), text)
        # the message of a failed reader gives the section the name that it would have had
        return re.sub(r"section '[^']*'", f"section {self.section!r}", text)

    def _alias(self, known: dict[str, Path | None], name: str) -> str:
        path = known[name]
        return self.section if path is None else self.of(path)

    def _names(self) -> dict[str, Path | None]:
        """Names that a text may hold, each with its path; None for the section's name within its file."""
        paths = [*self.files, *(path for given in self.request.paths() for path in _around(given))]
        known: dict[str, Path | None] = {path.name: path for path in paths if _is_name(path.name)}
        inside = self.request.section
        if inside is not None and inside != self.section:
            known[inside] = None
        return known


def anonymised(reading: Reading, request: Request) -> Reading:
    """Return a reading without names of the input's files and folders in its section, notes and record of files.

    The section keeps the name that `request` gives it; one that would be named after its path is called "section-" and
    the first digits of its input's sha256.
    """
    files = [request.path] if request.path is not None and request.path.is_file() else reading.files
    name = request.alias or request.section or section_alias(files)
    aliases = Aliases(name, request, reading.files)
    return replace(
        reading,
        section=replace(reading.section, name=name),
        why=aliases.text(reading.why),
        notes=tuple(aliases.text(note) for note in reading.notes),
        name_of=aliases.of,
    )


def section_alias(files: Iterable[Path]) -> str:
    """Name a section after the bytes of its files alone: "section-1a2b3c4d"."""
    hashes = sorted(_sha256(path) for path in files)
    return f"section-{(hashes[0] if len(hashes) == 1 else fingerprint(hashes))[:8]}"


def file_alias(path: Path, owner: str) -> str:
    """Return the owner, the first digits of the file's sha256 and its suffix: "S1-1a2b3c4d.tif"; or "S1-folder"."""
    if path.is_dir():
        return f"{owner}-folder"
    suffixes: list[str] = []
    for suffix in reversed(path.suffixes):
        if suffix.lower() not in _SUFFIXES:
            break
        suffixes.insert(0, suffix.lower())
    try:
        digits = _sha256(path)[:8] if path.is_file() else "file"
    except OSError:  # an unreadable file was not read: nothing of it is in the result
        digits = "file"
    return f"{owner}-{digits}{''.join(suffixes)}"


def without_folders(text: str, path: Path, *, folder: str | None = None) -> str:
    """Remove the folders above `path` from every path in a text, so that it names none of this computer's folders.

    Parameters
    ----------
    folder
        Replaces one of these folders where it is named alone; its last name where not given.
    """
    here = path.expanduser()
    above = {parent for one in (here, here.absolute(), real_path(here)) for parent in one.parents}
    for parent in sorted(above, key=lambda one: len(str(one)), reverse=True):
        if parent.name:
            pattern = rf"(?<![\w.-]){re.escape(str(parent))}"
            text = re.sub(rf"{pattern}[/\\]+(?=[\w.])", "", text)
            if parent.is_absolute():  # a relative one may be a word of the sentence
                text = re.sub(rf"{pattern}(?![\w-])", (folder or parent.name).replace("\\", r"\\"), text)
    return text


def _around(path: Path) -> Iterator[Path]:
    """Yield a path, what it holds, and what lies beside and above it: all that a reader's text may name."""
    yield path
    yield from _entries(path)
    for inner in _entries(path):
        yield from _entries(inner)
    place = path.absolute()
    existing = next((parent for parent in place.parents if parent.exists()), place)
    for parent in (*place.parents[:2], existing):
        yield parent
        yield from _entries(parent)


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # a file, nothing, or a folder that may not be listed: there are no names
        return []


def _is_name(name: str) -> bool:
    """Whether a name may identify a person: not a fixed word, a single character or a short number."""
    fixed = name.lower() in _WORDS or _BINS.fullmatch(name) is not None
    return not fixed and len(name) > 1 and not (name.isdecimal() and len(name) < 4)


def _sha256(path: Path) -> str:
    status = path.stat()
    return _hashed(real_path(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4096)
def _hashed(path: Path, size: int, changed_ns: int) -> str:
    """Hash a file once, though its section is opened several times; `size` and `changed_ns` show if it changed."""
    return sha256_file(path)
