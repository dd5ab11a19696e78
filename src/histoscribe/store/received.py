"""What is received from others: only plain files are opened, and only what fits the limit on memory is read.

A header may declare any size, a small archive may unpack to any length, and a pipe may never end. So the kind of a file
is asked for before it is opened, and a size is compared with the limit before memory is taken for it.
"""

import gzip
import math
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from histoscribe.errors import ConfigError, InputError

LIMIT = "HISTOSCRIBE_MAX_INPUT_GB"
# a third of a laptop with 24 GB: what is read is copied about once while it is checked and changed into our own types
_DEFAULT_GB = 8.0
# real tables and matrices shrink to a tenth or a fiftieth; only what says almost nothing shrinks to less than this
_MOST_RATIO = 250
_HARMLESS = 64 * 2**20
_BLOCK, _START = 4 * 2**20, 2**20
_GZIP = b"\x1f\x8b"
_SHOWN = 200  # characters of a path in a message

_STRANGE = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a character device"),
    (stat.S_ISBLK, "a block device"),
    (stat.S_ISSOCK, "a socket"),
)


def limit_bytes() -> int:
    """Return how many bytes one input may take in memory: HISTOSCRIBE_MAX_INPUT_GB, or 8 GB.

    Raises
    ------
    ConfigError
        Where the variable holds something else than a positive number.
    """
    text = os.environ.get(LIMIT, "").strip()
    try:
        gigabytes = float(text) if text else _DEFAULT_GB
    except ValueError:
        gigabytes = math.nan
    if not (math.isfinite(gigabytes) and gigabytes > 0):
        raise ConfigError(
            "the limit on the size of inputs is not a positive number",
            where=LIMIT,
            expected="for example 16",
            found=text,
        )
    return int(gigabytes * 1e9)


def require_size(n_bytes: int, *, where: str | Path, what: str = "it") -> None:
    """Refuse what would take more memory than the limit; raises InputError.

    Parameters
    ----------
    n_bytes
        Memory that reading takes, declared by a header or counted.
    where
        The file.
    what
        The part of the file that is so large.
    """
    limit = limit_bytes()
    if n_bytes > limit:
        raise InputError(
            f"reading {what} would take more memory than is allowed",
            where=where,
            expected=f"at most {limit / 1e9:,.3g} GB",
            found=f"about {n_bytes / 1e9:,.3g} GB",
            fix=f"check that the file is what you think; if it is and this machine has the memory, set {LIMIT} higher",
        )


def require_ratio(n_bytes: int, stored: int, *, where: str | Path, what: str = "it", harmless: int = _HARMLESS) -> None:
    """Refuse what is packed so far that it can hold no measurements: a decompression bomb, or a hole.

    Parameters
    ----------
    n_bytes, stored
        Bytes when unpacked, declared or counted, and as they lie in the file.
    harmless
        Bytes below which nobody asks how far they were packed.

    Raises
    ------
    InputError
        Naming both sizes.
    """
    if n_bytes > harmless and n_bytes > _MOST_RATIO * stored:
        raise InputError(
            f"{what} unpacks to far more than measurements would",
            where=where,
            expected=f"at most {_MOST_RATIO} times its {stored:,} bytes on disk",
            found=f"{n_bytes:,} bytes or more",
            fix="get the file again from its source; if it is right, unpack it (gunzip, h5repack) and give that",
        )


def expanded(path: str | Path) -> Path:
    """Return a path with `~` replaced by the home folder, or as it is where nobody here has that name."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def is_there(path: Path) -> bool:
    """Whether a file or a folder lies at `path`.

    Raises
    ------
    InputError
        Where a pipe, a device or a socket lies there, which may never end, or the path cannot be followed.
    """
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return False
    except (OSError, ValueError) as error:  # too long, a loop of links, not allowed; ValueError: a null character
        raise InputError(
            "this path cannot be followed", where=str(path)[:_SHOWN], found=getattr(error, "strerror", None) or error
        ) from error
    for is_kind, kind in _STRANGE:
        if is_kind(mode):
            raise InputError(
                f"this is {kind}, not a file", where=path, fix="save what it gives in a file, and give that"
            )
    return True


def read_received(path: Path, *, cost: int = 1) -> bytes:
    """Return what a file holds, unpacked where it is gzipped; the first bytes decide, not the name.

    Parameters
    ----------
    cost
        Bytes of memory that one byte of the unpacked file takes in what is made of it.

    Raises
    ------
    InputError
        Where the file is not there, is a folder, no plain file, a damaged gzip, or larger than the limit.
    """
    with _unpacked(path) as (file, stored):
        if file is stored:
            require_size(cost * os.fstat(stored.fileno()).st_size, where=path)
        blocks, n_bytes = [], 0
        while block := file.read(_BLOCK):  # what has come is compared with the limits before more is asked for
            blocks.append(block)
            n_bytes += len(block)
            require_size(cost * n_bytes, where=path)
            require_ratio(n_bytes, stored.tell(), where=path)
        return b"".join(blocks)


def read_start(path: Path) -> bytes:
    """Return the first bytes of what `read_received` would return, enough to know what a file holds."""
    with _unpacked(path) as (file, _):
        return file.read(_START)


@contextmanager
def _unpacked(path: Path) -> Iterator[tuple[IO[bytes] | gzip.GzipFile, IO[bytes]]]:
    """Open a file, as what it unpacks to and as it is stored; what fails meanwhile is reported as this file's fault."""
    if not is_there(path):
        raise InputError("there is no such file", where=path, fix="check the path")
    try:
        with path.open("rb") as stored:
            packed = stored.read(2) == _GZIP
            stored.seek(0)
            if packed:
                with gzip.GzipFile(fileobj=stored) as file:
                    yield file, stored
            else:
                yield stored, stored
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(
            "the gzip file is damaged or cut short",
            where=path,
            found=f"{path.stat().st_size:,} bytes; {error}",
            fix="copy or download it again",
        ) from error
    except OSError as error:
        raise InputError("the file cannot be read", where=path, found=error.strerror or error) from error
