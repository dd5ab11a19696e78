"""What AnnData wrote into HDF5 or zarr, checked before AnnData reads it: sizes, links, and every sparse matrix.

Both libraries' groups look alike, so one walk serves both: a group has children, an array has a shape.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py

from histoscribe.errors import InputError, listing
from histoscribe.store.compressed import require_compressed
from histoscribe.store.hdf5 import require_own, require_small
from histoscribe.store.received import require_size

_SPARSE = {"csr_matrix": 0, "csc_matrix": 1, "csr": 0, "csc": 1}  # the axis that `indptr` counts
_PARTS = ("data", "indices", "indptr")
_MOST_NODES, _MOST_DEPTH = 20_000, 32


def require_sound(root: Any, where: Path) -> None:
    """Walk through an open file and refuse what must not be read whole.

    Parameters
    ----------
    root
        An h5py.File or a zarr.Group.
    where
        Its path.

    Raises
    ------
    InputError
        Where a sparse matrix's arrays contradict each other, values lie in other files, a group holds itself, or the
        total size is over the limit.
    """
    walk = _Walk(where)
    walk.group(root, "", 0)
    require_size(walk.n_bytes, where=where)


@dataclass
class _Walk:
    """Goes through the groups below a root, counting."""

    where: Path
    n_bytes: int = 0
    n_nodes: int = 0
    seen: set[Any] = field(default_factory=set)

    def group(self, group: Any, name: str, depth: int) -> None:
        """Look at a group and all below it."""
        linked = isinstance(group, h5py.Group)  # links in HDF5 can make a cycle, or repeat one group a thousand times
        if depth > _MOST_DEPTH or (linked and group in self.seen):
            raise InputError(
                f"the group {name} occurs twice, or is nested too deeply",
                where=self.where,
                fix="write the file again with a recent anndata",
            )
        if linked:
            self.seen.add(group)
        for child, node in self._children(group, name):
            self.n_nodes += 1
            if self.n_nodes > _MOST_NODES:
                raise InputError(f"the file holds more than {_MOST_NODES:,} elements", where=self.where)
            if hasattr(node, "shape"):
                self._array(node)
            else:
                self.group(node, child, depth + 1)
        axis = _sparse_axis(group)
        if axis is not None:
            self._sparse(group, name, axis)

    def _children(self, group: Any, name: str) -> Iterator[tuple[str, Any]]:
        for key in group:
            child = f"{name}/{key}".lstrip("/")
            if isinstance(group, h5py.Group):
                link = group.get(key, getlink=True)
                require_own(link, None, name=child, where=self.where)
                require_own(link, group[key], name=child, where=self.where)
            yield child, group[key]

    def _array(self, node: Any) -> None:
        if isinstance(node, h5py.Dataset):
            require_small(node, where=self.where)
        self.n_bytes += math.prod(node.shape or ()) * getattr(node.dtype, "itemsize", 8)

    def _sparse(self, group: Any, name: str, axis: int) -> None:
        lacking = [part for part in _PARTS if part not in group or not hasattr(group[part], "shape")]
        shape = _stored_shape(group)
        if lacking or shape is None:
            raise InputError(
                f"the sparse matrix {name} is incomplete",
                where=self.where,
                expected="data, indices, indptr and a shape of two whole numbers",
                found=f"without {listing(lacking or ['a shape'])}",
                fix="copy the file again, or write it again with a recent anndata",
            )
        require_size(8 * (sum(shape) + 2), where=self.where, what=name)
        parts = (group[part][()] for part in _PARTS)
        lines = shape if axis == 0 else shape[::-1]
        require_compressed(*parts, shape=lines, where=self.where, what=name)


def _sparse_axis(group: Any) -> int | None:
    for key in ("encoding-type", "h5sparse_format"):
        kind = group.attrs.get(key)
        kind = kind.decode("utf-8", "replace") if isinstance(kind, bytes) else kind
        if isinstance(kind, str) and kind in _SPARSE:
            return _SPARSE[kind]
    return None


def _stored_shape(group: Any) -> tuple[int, int] | None:
    for key in ("shape", "h5sparse_shape"):
        if key in group.attrs:
            try:
                rows, columns = (int(side) for side in group.attrs[key] if int(side) == side)
            except (TypeError, ValueError, OverflowError):
                return None
            return rows, columns
    return None
