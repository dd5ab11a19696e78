"""Text tables, Parquet and JSON as vendors write them, with errors that name the file, the line and the column."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscribe.errors import InputError, listing
from histoscribe.store.received import is_there, read_received, read_start, require_size

# bytes of memory for a byte of text: every cell becomes a Python string, every value of a JSON an object
_TABLE_COST, _JSON_COST = 16, 16
_MOST_COLUMNS = 20_000
_MOST_WHOLE = 2**53  # up to which float64 keeps every whole number
ARCHIVE = re.compile(r"\.(tar(\.(gz|bz2|xz|zst))?|tgz|tbz2?|txz|zip|7z|rar)$", re.IGNORECASE)
_YES, _NO = ("1", "1.0", "true", "yes", "t", "y"), ("0", "0.0", "false", "no", "f", "n")
_BINARY = {
    b"PK\x03\x04": "a zip or Excel file",
    b"PAR1": "a Parquet file",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy file",
    b"\x80": "a pickle or other binary data",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
}


def read_bytes(path: Path, *, cost: int = 1) -> bytes:
    """Return what a file holds, unpacked where it is gzipped.

    The first bytes decide, not the name: some vendors ship plain text as `.gz`.

    Parameters
    ----------
    cost
        Bytes of memory that the result takes for each byte of the unpacked file.

    Raises
    ------
    InputError
        Where the file is missing, empty, a folder, a pipe, unreadable, a damaged gzip, or larger than the limit.
    """
    if not is_there(path):
        raise missing(path)
    if path.is_dir():
        raise InputError("a file was expected, this is a folder", where=path, found=contents(path))
    data = read_received(path, cost=cost)
    if not data:
        raise InputError("the file is empty", where=path, fix="copy or download it again")
    return data


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Give a place where a gzipped file lies unpacked for a while, for libraries that read from a path; else itself.

    Raises
    ------
    InputError
        What is raised meanwhile, of the file itself; where it is a damaged gzip or larger than the limit.
    """
    if path.suffix.lower() != ".gz":
        yield path
        return
    with TemporaryDirectory() as folder:
        plain = Path(folder) / path.with_suffix("").name
        plain.write_bytes(read_bytes(path))
        try:
            yield plain
        except InputError as error:
            raise InputError(
                error.problem, where=path, expected=error.expected, found=error.found, fix=error.fix
            ) from error


def archives(folder: Path) -> list[Path]:
    """Return the archives in a folder, which are not read: .tar, .tar.gz, .tgz, .zip and their kin."""
    return [entry for entry in entries(folder) if ARCHIVE.search(entry.name) and entry.is_file()]


def entries(folder: Path) -> list[Path]:
    """Return what lies in a folder, sorted; raises InputError where it cannot be listed.

    Left out are the files "._NAME" that macOS writes beside a copy on foreign disks.
    """
    try:
        return sorted(entry for entry in folder.iterdir() if not entry.name.startswith("._"))
    except OSError as error:
        raise InputError("the folder cannot be listed", where=folder, found=error.strerror) from error


def missing(path: Path) -> InputError:
    """Return the error for a missing `path`, with what its folder does hold."""
    folder = path.parent
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return InputError("there is no such file or folder", where=path, found=f"{folder} holds: {contents(folder)}")


def contents(folder: Path) -> str:
    """List the names in a folder for a message."""
    if not folder.is_dir():
        return "nothing (it is not a folder)"
    try:
        return listing(sorted(entry.name + "/" * entry.is_dir() for entry in folder.iterdir()), 12)
    except OSError as error:
        return f"nothing that can be listed ({error.strerror})"


def read_text(path: Path, *, cost: int = 4) -> str:
    """Return a text file as UTF-8, without its byte order mark, each line ended by a line feed.

    Lines may end as Windows, Unix or the first Macs ended them. Raises InputError where it is no text.
    """
    data = read_bytes(path, cost=cost)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError("the file is UTF-16", where=path, expected="text in UTF-8", fix="save it again as CSV (UTF-8)")
    if b"\x00" in data[:65536] or data.startswith(tuple(_BINARY)):
        kind = next((kind for head, kind in _BINARY.items() if data.startswith(head)), "binary data")
        raise InputError(
            "this is not a text table", where=path, expected="a csv or tsv table", found=kind, fix="save it as CSV"
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            "the text is not UTF-8",
            where=path,
            found=f"byte 0x{data[error.start]:02x} in line {line}",
            fix="save it again as CSV (UTF-8)",
        ) from error
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def first_line(path: Path) -> str:
    """Return the first line of a text table that is not blank, without reading the rest."""
    start = read_start(path).decode("utf-8-sig", "replace").lstrip("\r\n")
    return start.partition("\r")[0].partition("\n")[0]


def delimiter(first_line: str) -> str:
    """Return which of tab, comma and semicolon separates the fields of a line."""
    return max("\t,;", key=first_line.count)


def read_table(path: Path, *, header: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table as text, each cell a string, the index the line of the file.

    Parameters
    ----------
    header
        Names of the columns of a file that has none; None takes them from the first line.

    Raises
    ------
    InputError
        Where a line has more or fewer fields than the header, or there are no rows.
    """
    text = read_text(path, cost=_TABLE_COST)
    first = text.lstrip("\n").partition("\n")[0]
    rows, lines = parse_rows(path, text, delimiter(first))
    names = list(header) if header is not None else [name.strip() for name in rows.pop(0)]
    if header is None:
        lines.pop(0)
    if len(names) > _MOST_COLUMNS:
        raise InputError(f"the table has {len(names):,} columns", where=path, expected=f"at most {_MOST_COLUMNS:,}")
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(names):
            raise InputError(
                f"line {line} has {len(row)} fields",
                where=path,
                expected=f"{len(names)} fields: {listing(names)}",
                found=listing(row),
                fix="the file may be cut short, or hold a separator inside a name; write it again",
            )
    if not rows:
        raise InputError("the table has a header but no rows", where=path)
    frame = pd.DataFrame(rows, columns=names, index=lines, dtype=str)
    return frame.apply(lambda column: column.str.strip()) if frame.columns.is_unique else frame


def parse_rows(path: Path, text: str, separator: str) -> tuple[list[list[str]], list[int]]:
    """Split a text table into rows of fields, without blank lines; also returns the line of each row."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    rows, lines = [], []
    try:
        for row in reader:
            if row and any(row):
                rows.append(row)
                lines.append(reader.line_num)
    except csv.Error as error:
        raise InputError(f"line {reader.line_num} cannot be parsed: {error}", where=path) from error
    if not rows:
        raise InputError("the table is empty", where=path)
    return rows, lines


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a Parquet table whole; raises InputError where it is damaged, something else, or larger than the limit."""
    import pyarrow.parquet as pq

    if not is_there(path) or path.is_dir():
        raise missing(path)
    with _damage_of(path), pq.ParquetFile(path) as file:
        _require_table(file.metadata, path)
        # pandas' own note on its index is ignored: every column is a column
        frame: pd.DataFrame = file.read().replace_schema_metadata(None).to_pandas()
    if frame.empty:
        raise InputError("the table has no rows", where=path)
    return frame


def require_parquet(path: Path) -> None:
    """Refuse a Parquet file that declares more than the limit, or is damaged; raises InputError."""
    import pyarrow.parquet as pq

    if not is_there(path) or path.is_dir():
        raise missing(path)
    with _damage_of(path), pq.ParquetFile(path) as file:
        _require_table(file.metadata, path)


@contextmanager
def _damage_of(path: Path) -> Iterator[None]:
    import pyarrow as pa

    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: names that are no UTF-8
        if isinstance(error, MemoryError):  # ArrowMemoryError is both
            raise
        raise InputError(
            "the Parquet file is damaged or cut short",
            where=path,
            found=str(error)[:120],
            fix="copy or download it again",
        ) from error


def _require_table(metadata: Any, path: Path) -> None:
    """Compare what a Parquet file declares with the limit before it is unpacked."""
    if metadata.num_columns > _MOST_COLUMNS:
        raise InputError(
            f"the table has {metadata.num_columns:,} columns", where=path, expected=f"at most {_MOST_COLUMNS:,}"
        )
    # pages may repeat one value for all rows, so rows count as well as bytes
    unpacked = sum(metadata.row_group(k).total_byte_size for k in range(metadata.num_row_groups))
    require_size(max(2 * unpacked, 16 * metadata.num_rows * metadata.num_columns), where=path)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises InputError where it is damaged or something else."""
    text = read_text(path, cost=_JSON_COST)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"the JSON is damaged at line {error.lineno}: {error.msg}", where=path, fix="copy or download it again"
        ) from error
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets in thousands of brackets
        raise InputError("the JSON cannot be read", where=path, found=str(error)[:120]) from error
    if not isinstance(value, dict):
        raise InputError("the JSON holds something else", where=path, expected="an object", found=type(value).__name__)
    return value


def require_columns(frame: pd.DataFrame, names: Iterable[str], path: Path) -> None:
    """Raise InputError where a column is missing or stands twice."""
    lost = [name for name in names if name not in frame.columns]
    if lost:
        raise InputError(
            f"the table lacks {'the column' if len(lost) == 1 else 'the columns'} {listing(lost)}",
            where=path,
            expected=listing(names),
            found=listing(frame.columns, 12),
        )
    twice = frame.columns[frame.columns.duplicated()].intersection(list(names))
    if len(twice):
        raise InputError(f"the column {listing(twice)} stands more than once", where=path)


def only_column(frame: pd.DataFrame, name: str, path: Path) -> pd.Series:
    """Return a column; raises InputError where two have its name."""
    if list(frame.columns).count(name) > 1:
        raise InputError(f"the column {name!r} stands more than once", where=path, found=listing(frame.columns, 12))
    return frame[name]


def numbers(frame: pd.DataFrame, column: str, path: Path) -> NDArray[np.float64]:
    """Return a column as finite numbers, (n,); raises InputError with the line and text of the first that is not."""
    cells = only_column(frame, column, path)
    cells = cells if cells.dtype.kind in "biuf" else cells.astype(str)  # dates are no numbers
    values = pd.to_numeric(cells, errors="coerce").to_numpy(np.float64)  # (n,)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        text = frame[column].iloc[bad[0]]
        raise InputError(
            f"column {column!r} holds {bad.size:,} values that are not finite numbers",
            where=path,
            expected="a number in every row",
            found=f"{text!r} in line {frame.index[bad[0]]}",
            fix="correct the rows or leave them out",
        )
    return values


def integers(frame: pd.DataFrame, column: str, path: Path) -> NDArray[np.int64]:
    """Return a column as whole numbers, (n,); raises InputError with the line and text of the first that is not."""
    values = numbers(frame, column, path)
    bad = np.flatnonzero((values != np.rint(values)) | (np.abs(values) > _MOST_WHOLE))
    if bad.size:
        raise InputError(
            f"column {column!r} holds {bad.size:,} values that are not whole numbers, or too large",
            where=path,
            found=f"{frame[column].iloc[bad[0]]} in line {frame.index[bad[0]]}",
        )
    return values.astype(np.int64)


def on_tissue(values: pd.Series, path: Path) -> NDArray[np.bool_]:
    """Read a column `in_tissue` of any spelling of yes and no, (n,).

    Raises
    ------
    InputError
        Where a value is neither, or none is yes.
    """
    said = values.astype(str).str.strip().str.lower()
    strange = ~said.isin([*_YES, *_NO]).to_numpy()
    if strange.any():
        raise InputError(
            f"in_tissue of {int(strange.sum()):,} of {len(said):,} spots is neither yes nor no",
            where=path,
            expected="1 and 0, yes and no, or True and False",
            found=listing(sorted(set(values.astype(str)[strange])), 8),
            fix="correct these values",
        )
    found = said.isin(_YES).to_numpy()
    if not found.any():
        raise InputError("no spot lies on tissue", where=path, expected="in_tissue = 1 for some spots")
    return found


def off_tissue_note(found: NDArray[np.bool_]) -> list[str]:
    """Say how many spots are left out because `in_tissue` says no; nothing where none is."""
    off = int((~found).sum())
    return [f"{off:,} of {len(found):,} spots are off tissue by in_tissue and were left out"] if off else []


def require_unique(names: pd.Index, path: Path, *, what: str = "barcodes") -> None:
    """Raise InputError where a name is empty, is no text or number, or stands more than once."""
    strange = [name for name in names if not isinstance(name, str | int | float | np.generic)]
    if strange:
        raise InputError(
            f"the {what} are no names", where=path, expected="text", found=f"{type(strange[0]).__name__} in its place"
        )
    if names.is_unique and "" not in names:
        return
    twice = names[names.duplicated()].unique()
    found = f"{len(twice):,} of them, for example {listing(twice, 3)}" if len(twice) else "an empty name"
    raise InputError(
        f"the {what} are not unique", where=path, expected="each name once", found=found, fix="keep one row of each"
    )
