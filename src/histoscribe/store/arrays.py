"""Arrays on disk that show their damage: zarr v3, zstd with its checksum, every chunk written even where it is empty.

Zarr reads a missing chunk as the fill value, so a deleted file looks like zeros. Here each chunk has a file, and
`chunk_is_sound` says whether that file is there and still decodes to what was written.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from histoscribe.errors import ResultError, listing
from histoscribe.store.files import writing_to

ZSTD_LEVEL = 3
_COPY_AGAIN = "copy the result again, or make it again with the command that wrote it"


def create(
    path: Path,
    *,
    shape: tuple[int, ...],
    dtype: DTypeLike,
    chunks: tuple[int, ...],
    attributes: dict[str, Any] | None = None,
) -> Any:
    """Make a new array, replacing nothing.

    Parameters
    ----------
    path
        Folder of the array; must not exist.
    attributes
        JSON-able facts kept beside the array.

    Returns
    -------
    A writable `zarr.Array`.
    """
    import zarr
    from zarr.codecs import ZstdCodec

    # made aside and renamed: a process that is killed leaves the whole description of an array or no folder
    aside = path.with_name(f".{path.name}.new")
    if aside.is_dir():
        shutil.rmtree(aside)
    if path.exists():
        raise ResultError("something of this name is in the way", where=path, fix="give the name of a new folder")
    zarr.create_array(
        store=str(aside),
        shape=shape,
        dtype=np.dtype(dtype),
        chunks=tuple(max(1, side) for side in chunks),
        compressors=ZstdCodec(level=ZSTD_LEVEL, checksum=True),
        attributes=attributes or {},
        overwrite=False,
    )
    aside.rename(path)
    return open_array(path, writable=True)


def open_array(path: Path, *, writable: bool = False) -> Any:
    """Open an array for reading, or to fill in chunks that are missing.

    Raises
    ------
    ResultError
        Where there is no array or its description is damaged.
    """
    import zarr

    try:
        array = zarr.open_array(store=str(path), mode="r+" if writable else "r")
    except (
        OSError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
    ) as error:  # what zarr raises on bad JSON
        raise ResultError(
            f"no readable array ({error})",
            where=path,
            expected="a zarr v3 array",
            fix="run the same command again; the stage that writes it is done anew",
        ) from error
    return array.with_config({"write_empty_chunks": True})


def write(path: Path, values: ArrayLike, *, chunk_rows: int, attributes: dict[str, Any] | None = None) -> None:
    """Write a whole array at once, in chunks of `chunk_rows` rows."""
    data = np.asarray(values)
    chunks = (min(chunk_rows, max(1, data.shape[0])), *data.shape[1:])
    array = create(path, shape=data.shape, dtype=data.dtype, chunks=chunks, attributes=attributes)
    array[...] = data


def discard(path: Path) -> None:
    """Delete the folder of an array.

    Raises
    ------
    ResultError
        Where something else lies there, which is not ours to delete.
    """
    entries = sorted(entry.name for entry in path.iterdir())
    if path.is_symlink() or set(entries) - {"zarr.json", "c"}:
        raise ResultError(
            "this folder holds something else than an array",
            where=path,
            found=listing(entries),
            fix="give the name of a new folder",
        )
    with writing_to(path):
        shutil.rmtree(path)


def read_chunk(array: Any, index: tuple[int, ...]) -> NDArray[Any]:
    """Decode the chunk at grid position `index`, cut at the array's border.

    Raises
    ------
    ResultError
        Where its file is missing, which zarr would read as the fill value, or does not decode with a right checksum.
    """
    path = Path(str(array.store.root)) / array.path / array.metadata.encode_chunk_key(index)
    if not path.is_file():
        raise ResultError("a part of this array is missing", where=path, fix=_COPY_AGAIN)
    window = tuple(slice(i * side, (i + 1) * side) for i, side in zip(index, array.chunks, strict=True))
    try:
        return np.asarray(array[window])
    except (RuntimeError, ValueError, OSError) as error:  # what the codecs raise on a damaged chunk
        raise ResultError("a part of this array is damaged", where=path, found=error, fix=_COPY_AGAIN) from error


def require_chunks(node: Any) -> None:
    """Refuse a zarr array, or a group with arrays in it, of which a chunk's file is missing; raises ResultError."""
    if not hasattr(node, "chunks"):
        for _, below in node.members():
            require_chunks(below)
        return
    root = Path(str(node.store.root)) / node.path
    for index in np.ndindex(*node.cdata_shape):
        path = root / node.metadata.encode_chunk_key(index)
        if not path.is_file():
            raise ResultError("a part of this array is missing", where=path, fix=_COPY_AGAIN)


def chunk_is_sound(array: Any, index: tuple[int, ...]) -> bool:
    """Whether the chunk at grid position `index` has a file that decodes with a right checksum."""
    try:
        read_chunk(array, index)
    except ResultError:
        return False
    return True
