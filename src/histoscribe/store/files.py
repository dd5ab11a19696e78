"""Single files: written aside, flushed and renamed into place; hashed; read back with a clear error."""

import errno
import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from histoscribe.errors import ResultError

# errors of a full, read-only or forbidden disk; any other OSError is not about the place
_PLACE_ERRORS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than this disk or account allows",
    errno.EROFS: "the disk is read-only",
    errno.EACCES: "you may not write here",
    errno.EPERM: "you may not write here",
    errno.ENOTDIR: "a part of this path is a file, not a folder",
    errno.EEXIST: "a file of this name is in the way",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "a part of this path is a link to itself",
}


def real_path(path: Path) -> Path:
    """Where a path leads, links followed; of links that lead in a circle the path as far as it can be followed.

    `Path.resolve` raises a RuntimeError there, and paths may come from folders that were received.
    """
    return Path(os.path.realpath(path))


@contextmanager
def writing_to(place: Path) -> Iterator[None]:
    """Turn what the operating system says of a full or read-only disk into a ResultError naming `place`."""
    try:
        yield
    except OSError as error:
        if error.errno not in _PLACE_ERRORS or not _concerns(place, error.filename):
            raise
        raise ResultError(
            _PLACE_ERRORS[error.errno],
            where=place,
            found=str(error),
            fix="make room, or give another folder with --out, and run the same command again",
        ) from error


def _concerns(place: Path, filename: Any) -> bool:
    if not isinstance(filename, str | os.PathLike):  # a failed write to an open file names none
        return True
    named = Path(filename).absolute()
    return named.is_relative_to(place.absolute()) or place.absolute().is_relative_to(named)


def canonical(value: Any) -> bytes:
    """JSON of `value` in one fixed form: sorted keys, two spaces, UTF-8, one newline at the end."""
    return (json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def fingerprint(value: Any) -> str:
    """sha256 of the canonical JSON of `value`, 64 hexadecimal digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes, 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_bytes(path: Path, data: bytes) -> None:
    """Replace `path` by `data` in one step: a reader sees the old bytes or the new, never a mixture."""
    aside = path.with_name(f".{path.name}.new")
    with aside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)
    flush_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Replace `path` by the canonical JSON of `value` in one step."""
    write_bytes(path, canonical(value))


def read_json(path: Path) -> Any:
    """Read a JSON file that histoscribe wrote; raises ResultError where it is damaged."""
    try:
        value = json.loads(path.read_bytes(), parse_constant=_no_constant)
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair could not be written again
    except (OSError, ValueError, RecursionError) as error:
        raise ResultError(f"unreadable ({error})", where=path, expected="JSON written by histoscribe") from error
    return value


def _no_constant(name: str) -> None:
    """Refuse NaN and Infinity, which are no JSON and which histoscribe never writes; raises ValueError."""
    raise ValueError(f"{name} is no number")


def flush_folder(folder: Path) -> None:
    """Flush a folder's own entries, so that a rename in it outlasts a power cut."""
    if os.name == "nt":  # Windows has no handle on a folder and flushes renames itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_tree(folder: Path) -> None:
    """Flush every file and folder below `folder`."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            handle = os.open(Path(parent) / name, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        flush_folder(Path(parent))


def remove_half_written(folder: Path) -> None:
    """Delete below `folder` what a killed process was writing aside: by `write_bytes`, or in a zarr array."""
    for pattern in (".*.new", "*.partial"):
        for path in [path for path in folder.rglob(pattern) if path.is_file()]:
            path.unlink()


def files_below(folder: Path) -> list[str]:
    """Relative POSIX paths of all that lies below `folder` and is no folder, links to folders included, sorted."""
    found = []
    for parent, folders, names in os.walk(folder):
        links = [name for name in folders if Path(parent, name).is_symlink()]
        found += [Path(parent, name).relative_to(folder).as_posix() for name in (*names, *links)]
    return sorted(found)


def is_plain_file(folder: Path, name: str) -> bool:
    """Whether `name` is a regular file below `folder`, with no symbolic link on the way from `folder` to it."""
    path = folder
    for part in name.split("/"):
        path = path / part
        if path.is_symlink():
            return False
    return path.is_file()
