"""Text tables, Parquet and JSON as vendors write them, with errors that name the file, the line and the column."""

import csv
import gzip
import io
import json
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscribe.errors import InputError, listing

_GZIP = b"\x1f\x8b"
_BINARY = {
    b"PK\x03\x04": "a zip or Excel file",
    b"PAR1": "a Parquet file",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy file",
    b"\x80": "a pickle or other binary data",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
}


def read_bytes(path: Path) -> bytes:
    """Return what a file holds, unpacked where it is gzipped.

    The first bytes decide, not the name: some vendors ship plain text as `.gz`.

    Raises
    ------
    InputError
        Where the file is missing, empty, a folder, unreadable, or a damaged gzip.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        raise InputError("the file cannot be read", where=path, found=error.strerror or error) from error
    if data.startswith(_GZIP):
        try:
            data = gzip.decompress(data)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InputError(
                "the gzip file is damaged or cut short",
                where=path,
                found=f"{path.stat().st_size:,} bytes; {error}",
                mend="copy or download it again",
            ) from error
    if not data:
        raise InputError("the file is empty", where=path, mend="copy or download it again")
    return data


def missing(path: Path) -> InputError:
    """Say that `path` does not exist, and what does exist where it was looked for."""
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


def read_text(path: Path) -> str:
    """Return a text file as UTF-8, without its byte order mark; raises InputError where it is something else."""
    data = read_bytes(path)
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(
            "the file is UTF-16", where=path, expected="text in UTF-8", mend="save it again as CSV (UTF-8)"
        )
    if b"\x00" in data[:65536] or data.startswith(tuple(_BINARY)):
        kind = next((kind for head, kind in _BINARY.items() if data.startswith(head)), "binary data")
        raise InputError(
            "this is not a text table", where=path, expected="a csv or tsv table", found=kind, mend="save it as CSV"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            "the text is not UTF-8",
            where=path,
            found=f"byte 0x{data[error.start]:02x} in line {line}",
            mend="save it again as CSV (UTF-8)",
        ) from error


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
    text = read_text(path)
    first = text.lstrip("\r\n").partition("\n")[0]
    rows, lines = parse_rows(path, text, delimiter(first))
    names = list(header) if header is not None else [name.strip() for name in rows.pop(0)]
    if header is None:
        lines.pop(0)
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(names):
            raise InputError(
                f"line {line} has {len(row)} fields",
                where=path,
                expected=f"{len(names)} fields: {listing(names)}",
                found=listing(row),
                mend="the file may be cut short, or hold a separator inside a name; write it again",
            )
    if not rows:
        raise InputError("the table has a header but no rows", where=path)
    frame = pd.DataFrame(rows, columns=names, index=lines, dtype=str)
    return frame.apply(lambda column: column.str.strip()) if frame.columns.is_unique else frame


def parse_rows(path: Path, text: str, separator: str) -> tuple[list[list[str]], list[int]]:
    """Split a text table into rows of fields, blank lines left out, and the line that each row stands in."""
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
    """Read a Parquet table whole; raises InputError where it is damaged or something else."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.is_file():
        raise missing(path)
    try:
        # what pandas noted of its index is left aside: every column is a column
        frame: pd.DataFrame = pq.read_table(path).replace_schema_metadata(None).to_pandas()
    except (pa.ArrowException, OSError, ValueError) as error:  # ValueError: names that are no UTF-8
        raise InputError(
            "the Parquet file is damaged or cut short",
            where=path,
            found=str(error)[:120],
            mend="copy or download it again",
        ) from error
    if frame.empty:
        raise InputError("the table has no rows", where=path)
    return frame


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises InputError where it is damaged or something else."""
    text = read_text(path)
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"the JSON is damaged at line {error.lineno}: {error.msg}", where=path, mend="copy or download it again"
        ) from error
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


def numbers(frame: pd.DataFrame, column: str, path: Path) -> NDArray[np.float64]:
    """Return a column as finite numbers, (n,); raises InputError with the line and text of the first that is not."""
    values = pd.to_numeric(frame[column], errors="coerce").to_numpy(np.float64)  # (n,)
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        text = frame[column].iloc[bad[0]]
        raise InputError(
            f"column {column!r} holds {bad.size:,} values that are not finite numbers",
            where=path,
            expected="a number in every row",
            found=f"{text!r} in line {frame.index[bad[0]]}",
            mend="correct the rows or leave them out",
        )
    return values


def integers(frame: pd.DataFrame, column: str, path: Path) -> NDArray[np.int64]:
    """Return a column as whole numbers, (n,); raises InputError with the line and text of the first that is not."""
    values = numbers(frame, column, path)
    bad = np.flatnonzero(values != np.rint(values))
    if bad.size:
        raise InputError(
            f"column {column!r} holds {bad.size:,} values that are not whole numbers",
            where=path,
            found=f"{frame[column].iloc[bad[0]]} in line {frame.index[bad[0]]}",
        )
    return values.astype(np.int64)


def require_unique(names: pd.Index, path: Path, *, what: str = "barcodes") -> None:
    """Raise InputError where a name is empty or stands more than once."""
    if names.is_unique and "" not in names:
        return
    twice = names[names.duplicated()].unique()
    found = f"{len(twice):,} of them, for example {listing(twice, 3)}" if len(twice) else "an empty name"
    raise InputError(
        f"the {what} are not unique", where=path, expected="each name once", found=found, mend="keep one row of each"
    )
