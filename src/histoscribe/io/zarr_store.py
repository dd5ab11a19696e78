"""A zarr store from elsewhere, checked before any library opens it: kinds of files, declared sizes, pickled objects.

An array on disk is a declared shape and any number of chunk files: a store of a kilobyte may declare a picture of a
million pixels a side.
"""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from histoscribe.errors import InputError
from histoscribe.store.received import is_there, limit_bytes, read_received, require_size

_METADATA = ("zarr.json", ".zarray", ".zmetadata", ".zgroup", ".zattrs")
_LAZY = ("images", "labels")  # groups of SpatialData of which only windows are read
_LAZY_FACTOR = 32  # a picture that is never held whole may be larger than memory: 256 GB by default
_MOST_PACKED = 10_000  # no picture compresses better, however much white glass it has
_MOST_CHUNKS = 10_000_000
_TEXT_ITEM = 16  # bytes of a string of any length, without its characters
_TEXT_KINDS = ("string", "variable_length_utf8", "bytes", "variable_length_bytes", "|O")
_JSON_COST = 16
_FIX = "copy the store again; all files of the folder belong to it"


@dataclass(frozen=True)
class _Array:
    """What the description of an array declares."""

    name: str
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    item_bytes: int

    @property
    def n_bytes(self) -> int:
        return math.prod(self.shape) * self.item_bytes

    @property
    def n_chunks(self) -> int:
        return math.prod(-(-side // step) for side, step in zip(self.shape, self.chunk, strict=True))


def require_store(path: Path) -> None:
    """Refuse a store that must not be opened.

    Parameters
    ----------
    path
        Its folder.

    Raises
    ------
    InputError
        Where it holds pipes, devices or pickled objects, a description is damaged, or an array declares more than the
        limit or far more than it stores.
    """
    whole = 0
    for file in _files(path, []):
        if file.name not in _METADATA:
            continue
        meta = _read(file)
        if _holds_pickles(meta):
            raise InputError(
                "the store holds pickled objects, which can run foreign code when read",
                where=file,
                fix="write the store again with strings and numbers only",
            )
        name = file.parent.relative_to(path).as_posix()
        if file.name == ".zarray" or meta.get("node_type") == "array":
            whole += _checked(_array(meta, name, file), file)
        for below, one in _listed(meta, file):  # a library may believe this list instead of the arrays themselves
            _checked(_array(one, f"{name}/{below}".removeprefix("./"), file), file)
    require_size(whole, where=path)


def _files(folder: Path, above: list[str]) -> Iterator[Path]:
    """All files below a folder; a link that leads back to a folder above it, or to no plain file, is refused."""
    here = os.path.realpath(folder)
    if here in above:
        raise InputError("a link in the store leads back to where it lies", where=folder, fix=_FIX)
    with os.scandir(folder) as entries:
        found = sorted(entries, key=lambda entry: entry.name)
    for entry in found:
        if entry.is_dir():
            yield from _files(Path(entry.path), [*above, here])
        elif is_there(Path(entry.path)):
            yield Path(entry.path)


def _read(file: Path) -> dict[str, Any]:
    try:
        meta = json.loads(read_received(file, cost=_JSON_COST))
    except (ValueError, RecursionError) as error:  # ValueError: no UTF-8, no JSON, or endless numbers
        raise _damaged(file, str(error)[:120]) from error
    if not isinstance(meta, dict):
        raise _damaged(file, type(meta).__name__)
    return meta


def _holds_pickles(meta: dict[str, Any]) -> bool:
    left: list[Any] = [meta]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            names = (value.get("id"), value.get("name"))
            if any(isinstance(name, str) and name.lower().removeprefix("numcodecs.") == "pickle" for name in names):
                return True
            left.extend(value.values())
        elif isinstance(value, list):
            left.extend(value)
    return False


def _listed(meta: dict[str, Any], file: Path) -> Iterator[tuple[str, Any]]:
    """Yield the arrays that a group's description lists below it, with their descriptions."""
    if file.name == ".zmetadata":
        for key, one in _dictionary(meta, "metadata", file).items():
            if key.endswith(".zarray"):
                yield key.removesuffix("/.zarray"), one
    elif meta.get("consolidated_metadata") is not None:
        listed = _dictionary(_dictionary(meta, "consolidated_metadata", file), "metadata", file)
        yield from ((key, one) for key, one in listed.items() if isinstance(one, dict) and "chunk_grid" in one)


def _array(meta: Any, name: str, file: Path) -> _Array:
    """Read what the description of one array declares; raises InputError where it is not plain numbers."""
    if not isinstance(meta, dict):
        raise _damaged(file, f"{name}: {type(meta).__name__}")
    shape, chunk = meta.get("shape"), meta.get("chunks")
    if chunk is None:
        grid = _dictionary(meta, "chunk_grid", file)
        chunk = _dictionary(grid, "configuration", file).get("chunk_shape")
    if not (_whole(shape, 0) and _whole(chunk, 1) and len(shape) == len(chunk)):
        raise _damaged(file, f"{name}: shape {str(shape)[:60]}, chunks {str(chunk)[:60]}")
    return _Array(name, tuple(shape), tuple(chunk), _item_bytes(meta.get("data_type", meta.get("dtype")), file))


def _whole(sides: Any, least: int) -> TypeGuard[list[int]]:
    return isinstance(sides, list) and all(type(side) is int and side >= least for side in sides)


def _item_bytes(kind: Any, file: Path) -> int:
    if isinstance(kind, dict):
        settings = kind.get("configuration")
        length = settings.get("length_bytes", _TEXT_ITEM) if isinstance(settings, dict) else _TEXT_ITEM
        if type(length) is int and length >= 0:
            return length
    elif isinstance(kind, list):  # a structured type of version 2: names and types
        return sum(_item_bytes(field[1], file) for field in kind if isinstance(field, list) and len(field) > 1)
    elif kind in _TEXT_KINDS:
        return _TEXT_ITEM
    elif isinstance(kind, str):
        try:
            return np.dtype(kind).itemsize
        except TypeError as error:
            raise _damaged(file, f"data type {kind!r}"[:120]) from error
    raise _damaged(file, f"data type {kind!r}"[:120])


def _checked(array: _Array, file: Path) -> int:
    """Compare an array with the limits; returns the bytes that reading it whole takes, 0 where windows are read."""
    require_size(math.prod(array.chunk) * array.item_bytes, where=file, what=f"one chunk of {array.name}")
    lazy = array.name.partition("/")[0] in _LAZY
    if not lazy:
        require_size(array.n_bytes, where=file, what=array.name)
    elif array.n_bytes > limit_bytes():
        require_size(array.n_bytes // _LAZY_FACTOR, where=file, what=f"a {_LAZY_FACTOR}th of {array.name}")
        stored = sum(one.stat().st_size for one in _files(file.parent, []))
        if array.n_bytes > _MOST_PACKED * stored:
            raise InputError(
                f"{array.name} declares far more pixels than the store holds",
                where=file,
                expected=f"about {array.n_bytes / 1e9:,.0f} GB of pixels",
                found=f"{stored:,} bytes on disk",
                fix=_FIX,
            )
    if array.n_chunks > _MOST_CHUNKS:
        raise InputError(
            f"{array.name} is cut into too many chunks",
            where=file,
            expected=f"at most {_MOST_CHUNKS:,}",
            found=f"{array.n_chunks:,}",
            fix=_FIX,
        )
    return 0 if lazy else array.n_bytes


def _dictionary(meta: dict[str, Any], key: str, file: Path) -> dict[str, Any]:
    value = meta.get(key)
    if not isinstance(value, dict):
        raise _damaged(file, f"{key}: {type(value).__name__}")
    return value


def _damaged(file: Path, found: str) -> InputError:
    return InputError("the store's description is damaged", where=file, found=found, fix=_FIX)
