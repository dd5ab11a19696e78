"""The zip in which a segmenter's weights come: its parts are read into memory, of bounded size and never unpacked."""

import io
import zlib
from lzma import LZMAError
from pathlib import Path
from zipfile import BadZipFile, ZipFile

from histoscribe.errors import WeightsError, listing


def read_parts(source: Path | bytes, wanted: dict[str, int], *, where: Path, expected: str) -> dict[str, bytes]:
    """Read the files of these names, wherever in the zip they lie.

    Parameters
    ----------
    source
        The zip, as a file or as its bytes.
    wanted
        File name to the most bytes that it may have.
    where, expected
        For messages: the file, and what it should be.

    Returns
    -------
    File name to content, of those that are there.

    Raises
    ------
    WeightsError
        Where it is no zip, is damaged, or a part is larger than it may be.
    """
    found: dict[str, bytes] = {}
    try:
        with ZipFile(source if isinstance(source, Path) else io.BytesIO(source)) as archive:
            for info in archive.infolist():
                name = info.filename.rpartition("/")[2]
                if name not in wanted:
                    continue
                with archive.open(info) as part:
                    found[name] = part.read(wanted[name] + 1)
                if len(found[name]) > wanted[name]:
                    raise WeightsError(
                        f"{name} in it is too large",
                        where=where,
                        expected=f"at most {wanted[name] / 1e6:,.0f} MB",
                        fix="fetch the file again from its authors",
                    )
    # damaged, encrypted, or packed in a way that Python lacks
    except (BadZipFile, OSError, EOFError, RuntimeError, ValueError, zlib.error, LZMAError) as error:
        raise WeightsError(
            "this is no readable zip", where=where, expected=expected, found=error, fix="fetch the file again"
        ) from error
    return found


def read_file(path: Path, most_bytes: int) -> bytes:
    """Read a file of bounded size; raises WeightsError where it is larger or cannot be read."""
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
    except OSError as error:
        raise WeightsError("this file cannot be read", where=path, found=error, fix="correct the path") from error
    if len(content) > most_bytes:
        raise WeightsError(
            "this file is too large",
            where=path,
            expected=f"at most {most_bytes / 1e6:,.0f} MB",
            fix="correct the path",
        )
    return content


def require(missing: list[str], found: list[str], *, where: Path) -> None:
    """Refuse a model without all of its parts; raises WeightsError."""
    if missing:
        raise WeightsError(
            f"the model lacks {', '.join(missing)}",
            where=where,
            expected=", ".join(missing),
            found=listing(found),
            fix="fetch the model again",
        )


def names_in(path: Path) -> list[str]:
    """Names of the files in a zip that could be read before."""
    with ZipFile(path) as archive:
        return sorted({name.rpartition("/")[2] for name in archive.namelist()})
