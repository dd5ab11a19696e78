"""HDF5 files of others: opened, and their datasets read, only after what they declare was looked at.

A dataset's header may declare any shape, kind and chunk; it may name other files of this machine as the place of its
values; and a group may hold itself. None of that is followed.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from histoscribe.errors import InputError, listing
from histoscribe.store.hdf5_scout import require_passable
from histoscribe.store.received import is_there, require_ratio, require_size

_FIX = "copy or download it again"
_TEXT = "OSU"
_HARMLESS = 2**30  # a layer that holds almost nothing packs a thousandfold, and still is one


@contextmanager
def open_hdf5(path: Path, what: str = "HDF5 file") -> Iterator[Any]:
    """Open an HDF5 file for reading; what the library raises while it is open is reported as damage of this file.

    Raises
    ------
    InputError
        Where the file is not there, no plain file, no HDF5, or damaged.
    """
    import h5py

    if not is_there(path) or path.is_dir():
        raise InputError("there is no such file", where=path, fix="check the path")
    require_passable(path)
    try:
        with h5py.File(path, "r") as file:
            yield file
    # KeyError: a link that leads nowhere; ValueError: names that are no UTF-8; TypeError: types unknown to NumPy
    except (OSError, KeyError, RuntimeError, ValueError, TypeError) as error:
        raise InputError(
            f"the {what} is damaged, cut short or incomplete",
            where=path,
            found=f"{path.stat().st_size:,} bytes; {str(error)[:200]}",
            fix=_FIX,
        ) from error


def read_dataset(group: Any, name: str, *, kinds: str, ndim: int = 1, where: Path) -> NDArray[Any]:
    """Read a dataset whole, after its kind, rank and size were looked at.

    Parameters
    ----------
    group
        Open h5py group.
    name
        Of the dataset in it.
    kinds
        NumPy's letters of the kinds that are taken: "iu" whole numbers, "f" floats, "b" booleans, "S" text.
    ndim
        Number of axes it must have.

    Raises
    ------
    InputError
        Where it is missing or of another kind, rank or size.
    """
    dataset = require_dataset(group, name, where=where)
    kind = dataset.dtype.kind
    if kind not in (kinds + _TEXT if "S" in kinds else kinds) or len(dataset.shape) != ndim:
        raise InputError(
            f"{dataset.name} holds something else than expected",
            where=where,
            expected=f"{ndim} axis of {_words(kinds)}" if ndim == 1 else f"{ndim} axes of {_words(kinds)}",
            found=f"shape {dataset.shape} of {dataset.dtype}",
            fix=_FIX,
        )
    values: NDArray[Any] = dataset[()]
    return values


def read_names(group: Any, name: str, *, where: Path) -> list[str]:
    """Read a dataset of text, one name a row; raises InputError where it is something else or no UTF-8."""
    values = read_dataset(group, name, kinds="S", where=where)
    try:
        return [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values]
    except UnicodeDecodeError as error:
        raise InputError("names in the HDF5 file are not UTF-8", where=where, found=repr(error.object[:40])) from error


def require_dataset(group: Any, name: str, *, where: Path) -> Any:
    """Return a dataset of a group unread; raises InputError where it is missing, a group, too large or elsewhere."""
    import h5py

    dataset = _member(group, name, where)
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(
            f"{dataset.name} is a group where values were expected", where=where, found=listing(dataset), fix=_FIX
        )
    require_small(dataset, where=where)
    return dataset


def require_group(group: Any, name: str, *, where: Path) -> Any:
    """Return a group of a group; raises InputError where it is missing, holds values, or lies in another file."""
    import h5py

    found = _member(group, name, where)
    if not isinstance(found, h5py.Group):
        raise InputError(
            f"{found.name} holds values where a group was expected",
            where=where,
            found=f"shape {found.shape}",
            fix=_FIX,
        )
    return found


def _member(group: Any, name: str, where: Path) -> Any:
    if name not in group:
        raise InputError(
            f"the HDF5 file is incomplete: {group.name} lacks {name!r}", where=where, found=listing(group), fix=_FIX
        )
    link = group.get(name, getlink=True)
    require_own(link, None, name=f"{group.name}/{name}", where=where)
    node = group[name]
    require_own(link, node, name=f"{group.name}/{name}", where=where)
    return node


def require_own(link: Any, node: Any, *, name: str, where: Path) -> None:
    """Refuse links and datasets with values in other files of this machine; raises InputError."""
    import h5py

    elsewhere = isinstance(link, h5py.ExternalLink) or (
        isinstance(node, h5py.Dataset) and (node.is_virtual or bool(node.external))
    )
    if elsewhere:
        raise InputError(
            f"{name} names another file as the place of its values",
            where=where,
            expected="a file that holds all of its values",
            fix="write it again into one file",
        )


def require_small(dataset: Any, *, where: Path) -> None:
    """Refuse a dataset that declares more than the limit, or far more than it stores; raises InputError."""
    if dataset.shape is None:  # an empty dataspace
        return
    n_bytes = math.prod(map(int, dataset.shape)) * dataset.dtype.itemsize
    chunk = math.prod(map(int, dataset.chunks or ())) * dataset.dtype.itemsize
    require_size(max(n_bytes, chunk), where=where, what=str(dataset.name))
    require_ratio(n_bytes, dataset.id.get_storage_size(), where=where, what=str(dataset.name), harmless=_HARMLESS)


def _words(kinds: str) -> str:
    words = (("iu", "whole numbers"), ("f", "numbers"), ("b", "yes or no"), ("S", "text"))
    return " or ".join(word for letters, word in words if set(letters) & set(kinds))
