"""Damages to files of arrays: HDF5, Parquet, Matrix Market, and the JSON that describes zarr arrays.

Each edits the file at `path` in place. Damages with names that begin with "structure" can be detected: the
arrays of a sparse matrix contradict each other or the shape, whatever the counts mean.
"""

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

Edit = Callable[[Path, Random], None]


# ---- HDF5 ----


def _nodes(file: Any, kind: str) -> list[str]:
    import h5py

    found: list[str] = []
    wanted = {"dataset": h5py.Dataset, "group": h5py.Group}[kind]
    file.visititems(lambda name, node: found.append(name) if isinstance(node, wanted) else None)
    return sorted(found)


def _replace(file: Any, name: str, values: Any, **options: Any) -> None:
    attributes = dict(file[name].attrs)
    del file[name]
    file.create_dataset(name, data=values, **options)
    for key, value in attributes.items():
        file[name].attrs[key] = value


def _a_dataset(file: Any, rng: Random) -> tuple[str, Any]:
    name = rng.choice(_nodes(file, "dataset"))
    return name, file[name][()]


def h5_dtype(path: Path, rng: Random) -> None:
    """Store an array as numbers, text or booleans of another kind."""
    import h5py

    with h5py.File(path, "r+") as file:
        name, values = _a_dataset(file, rng)
        kind = rng.choice(("i1", "u1", "i8", "u8", "f2", "f4", "f8", "?", "S", "O", "c8"))
        if kind in ("S", "O") and not np.asarray(values).dtype.names:
            text = np.asarray(values).astype(str)
            _replace(file, name, np.char.encode(text, "utf-8") if kind == "S" else text.astype(object))
            return
        try:
            with np.errstate(all="ignore"):
                changed = np.asarray(values).astype(kind)
        except (TypeError, ValueError):  # text that is no number, or a table with fields
            changed = np.zeros(np.shape(values), "i1" if kind in ("S", "O") else kind)
        _replace(file, name, changed)


def h5_shape(path: Path, rng: Random) -> None:
    """Store an array of another rank or length."""
    import h5py

    with h5py.File(path, "r+") as file:
        name, values = _a_dataset(file, rng)
        values = np.asarray(values)
        ways = [
            lambda: values.reshape(-1)[:0],
            lambda: values.reshape(-1)[:1].reshape(()) if values.size else values,
            lambda: values[..., None],
            lambda: values[None],
            lambda: values.reshape(-1),
            lambda: np.concatenate([values.reshape(-1), values.reshape(-1)[:1]]),
            lambda: values.reshape(-1)[: rng.randrange(values.size + 1)],
            lambda: values.T.copy(),
            lambda: np.repeat(np.atleast_1d(values), 2, axis=0),
        ]
        _replace(file, name, rng.choice(ways)())


def h5_values(path: Path, rng: Random) -> None:
    """Put impossible values among the numbers of an array, or other text among its names."""
    import h5py

    with h5py.File(path, "r+") as file:
        name, values = _a_dataset(file, rng)
        values = np.array(values)
        flat = values.reshape(-1)
        if not flat.size:
            return
        at = rng.randrange(flat.size)
        if values.dtype.kind == "f":
            flat[at] = rng.choice((np.nan, np.inf, -np.inf, -1.0, 1e30, 0.5, 0.0))
        elif values.dtype.kind in "iu":
            limits = np.iinfo(values.dtype)
            flat[at] = rng.choice((limits.min, limits.max, 0, limits.max // 2))
        elif values.dtype.kind in "SO":
            flat[at] = rng.choice((b"", b"\xff\xfe", flat[0], b"../x", b"NaN", b"x" * 5000))
        elif values.dtype.names:
            field = rng.choice(values.dtype.names)
            flat[field][at] = -1 if values.dtype[field].kind == "i" else np.nan
        _replace(file, name, flat.reshape(values.shape))


def h5_kind(path: Path, rng: Random) -> None:
    """Put a group in the place of a dataset, the other way round, or a link to nowhere, to itself, to another file."""
    import h5py

    with h5py.File(path, "r+") as file:
        name = rng.choice(_nodes(file, rng.choice(("dataset", "group"))) or _nodes(file, "dataset"))
        was_group, attributes = isinstance(file[name], h5py.Group), dict(file[name].attrs)
        del file[name]
        way = rng.randrange(5)
        if way == 0 and not was_group:
            file.create_group(name)
        elif way <= 1:
            file[name] = rng.choice((np.arange(3), np.float64(1.0), np.bytes_(b"text"), h5py.Empty("f8")))
        elif way == 2:
            file[name] = h5py.SoftLink(rng.choice(("/nowhere", f"/{name}", "/")))
            return
        elif way == 3:
            file[name] = h5py.ExternalLink(rng.choice(("nowhere.h5", "/dev/zero", path.name)), f"/{name}")
            return
        else:
            return
        for key, value in attributes.items():
            file[name].attrs[key] = value


def h5_attribute(path: Path, rng: Random) -> None:
    """Take an attribute off, or give it another value."""
    import h5py

    with h5py.File(path, "r+") as file:
        holders = [name for name in ["/", *_nodes(file, "group"), *_nodes(file, "dataset")] if file[name].attrs]
        if not holders:
            file.attrs["encoding-type"] = "csr_matrix"
            return
        attributes = file[rng.choice(holders)].attrs
        key = rng.choice(sorted(attributes))
        if rng.random() < 0.4:
            del attributes[key]
        else:
            attributes[key] = rng.choice(
                ("", "csr_matrix", "csc_matrix", "array", "dataframe", "dict", "categorical", "99.0.0", -1,
                 np.arange(3),
                 np.array([-1, -1]), np.array([10**9, 10**9]), 1.5, h5py.Empty("i8"), b"\xff")
            )  # fmt: skip


def h5_declared_size(path: Path, rng: Random) -> None:
    """Declare an array of a huge size of which almost nothing is stored."""
    import h5py

    with h5py.File(path, "r+") as file:
        name, values = _a_dataset(file, rng)
        kind, rank = np.asarray(values).dtype, max(1, np.ndim(values))
        attributes = dict(file[name].attrs)
        del file[name]
        shape = (rng.choice((2**31, 10**9, 3 * 10**8)), *[1] * (rank - 1))
        file.create_dataset(name, shape, kind, chunks=(65_536, *[1] * (rank - 1)), compression="gzip")
        for key, value in attributes.items():
            file[name].attrs[key] = value


HDF5: dict[str, Edit] = {
    one.__name__: one for one in (h5_dtype, h5_shape, h5_values, h5_kind, h5_attribute, h5_declared_size)
}


# ---- the structure of a sparse matrix: data, indices, indptr and shape, wherever they lie together ----

Arrays = dict[str, np.ndarray]


def _set(values: np.ndarray, at: int, value: int) -> np.ndarray:
    changed = values.astype(np.int64)
    changed[at] = value
    return changed


def _inner(values: np.ndarray, rng: Random) -> int:
    """Find a row in the middle that holds something."""
    filled = np.flatnonzero(np.diff(values) > 0)[1:-1]
    return int(filled[rng.randrange(len(filled))]) if len(filled) else 1


# `minor` is the side that the indices point into
STRUCTURE: dict[str, Callable[[Arrays, int, Random], Arrays]] = {
    "structure: pointers cut": lambda a, minor, rng: {"indptr": a["indptr"][: -rng.randint(1, 3)]},
    "structure: pointers lengthened": lambda a, minor, rng: {"indptr": np.append(a["indptr"], a["indptr"][-1:])},
    "structure: pointers do not begin at 0": lambda a, minor, rng: {
        "indptr": _set(a["indptr"], 0, rng.choice((1, -1)))
    },
    "structure: pointers end beyond the data": lambda a, minor, rng: {
        "indptr": _set(a["indptr"], -1, len(a["data"]) + rng.choice((1, 1000, 2**40)))
    },
    "structure: pointers end before the data": lambda a, minor, rng: {
        "indptr": np.minimum(a["indptr"], len(a["data"]) - rng.randint(1, 3))
    },
    "structure: pointers decrease": lambda a, minor, rng: {
        "indptr": _set(a["indptr"], _inner(a["indptr"], rng), int(a["indptr"][-1]))
    },
    "structure: a negative pointer": lambda a, minor, rng: {"indptr": _set(a["indptr"], _inner(a["indptr"], rng), -7)},
    "structure: an index beyond the side": lambda a, minor, rng: {
        "indices": _set(a["indices"], rng.randrange(len(a["indices"])), minor + rng.choice((0, 5, 2**30)))
    },
    "structure: a negative index": lambda a, minor, rng: {
        "indices": _set(a["indices"], rng.randrange(len(a["indices"])), -rng.choice((1, 5, 2**30)))
    },
    "structure: data cut": lambda a, minor, rng: {"data": a["data"][: -rng.randint(1, 50)]},
    "structure: indices cut": lambda a, minor, rng: {"indices": a["indices"][: -rng.randint(1, 50)]},
    "structure: data and indices cut": lambda a, minor, rng: {"data": a["data"][:-3], "indices": a["indices"][:-3]},
    "structure: an index in halves": lambda a, minor, rng: {"indices": a["indices"].astype(np.float64) + 0.5},
    "structure: shape too short": lambda a, minor, rng: {"shape": a["shape"] - 1},
    "structure: shape too long": lambda a, minor, rng: {"shape": a["shape"] + 3},
    "structure: shape negative": lambda a, minor, rng: {"shape": -a["shape"]},
    "structure: shape with one side": lambda a, minor, rng: {"shape": a["shape"][:1]},
}


def damage_structure(path: Path, group: str, name: str, rng: Random) -> None:
    """Do a damage of STRUCTURE to the sparse matrix in `group` of an HDF5 file, in 10x's or AnnData's layout."""
    import h5py

    with h5py.File(path, "r+") as file:
        node = file[group]
        arrays: Arrays = {key: node[key][:] for key in ("data", "indices", "indptr")}
        stored = "shape" in node
        arrays["shape"] = np.asarray(node["shape"][:] if stored else node.attrs["shape"], np.int64)
        rows = len(arrays["indptr"]) - 1
        minor = int(arrays["shape"][0] if int(arrays["shape"][1]) == rows and stored else arrays["shape"][-1])
        if node.attrs.get("encoding-type") == "csc_matrix":
            minor = int(arrays["shape"][0])
        for key, values in STRUCTURE[name](arrays, minor, rng).items():
            if key == "shape" and not stored:
                node.attrs["shape"] = values
                continue
            del node[key]
            node[key] = values


# ---- Parquet ----


def parquet_column(path: Path, rng: Random) -> None:
    """Drop a column, rename it, or store it as another kind."""
    import pandas as pd

    table = pd.read_parquet(path)
    name = rng.choice(list(table.columns))
    way = rng.randrange(7)
    if way == 0:
        table = table.drop(columns=name)
    elif way == 1:
        table = table.rename(columns={name: rng.choice((f"{name}_x", "", name.upper()))})
    elif way == 2:
        table[name] = table[name].astype(str) + rng.choice(("", "x"))
    elif way == 3:
        table[name] = None
    elif way == 4:
        table[name] = [[1, 2]] * len(table)
    elif way == 5:
        table = table.iloc[: rng.randrange(2)]
    else:
        table[name] = pd.Series(rng.choice(([True], ["2020-01-01"], [b"\xff"], [1e300])) * len(table))
    table.to_parquet(path, index=False)


def parquet_cell(path: Path, rng: Random) -> None:
    """Put an impossible value into one cell."""
    import pandas as pd

    table = pd.read_parquet(path)
    name = rng.choice(list(table.columns))
    values = table[name].astype(object).tolist()
    at = rng.randrange(len(values))
    if isinstance(values[at], str):
        values[at] = rng.choice((None, "", values[0], "x" * 10_000, "\0"))
    else:
        values[at] = rng.choice((None, float("nan"), float("inf"), -1, 10**12, 2**62, 0.5))
        values = [value if value is None else float(value) for value in values]
    table[name] = values
    table.to_parquet(path, index=False)


PARQUET: dict[str, Edit] = {one.__name__: one for one in (parquet_column, parquet_cell)}


# ---- Matrix Market ----


def mtx_header(data: bytes, rng: Random) -> bytes:
    """Change what the first lines declare: the kind of matrix, or its sides and entries."""
    lines = data.decode().split("\n")
    at = next(k for k, line in enumerate(lines) if not line.startswith("%"))
    if rng.random() < 0.4:
        lines[0] = "%%MatrixMarket matrix " + rng.choice(
            ("array integer general", "coordinate pattern general", "coordinate complex general",
             "coordinate integer symmetric", "coordinate real skew-symmetric", "coordinate text general", "",
             "coordinate real hermitian")
        )  # fmt: skip
    else:
        sides = lines[at].split()
        sides[rng.randrange(3)] = rng.choice(
            ("-1", "0", "1", "2147483648", "99999999999999999999", "1e3", "x", "", "3")
        )
        lines[at] = " ".join(sides)
    return "\n".join(lines).encode()


def mtx_entry(data: bytes, rng: Random) -> bytes:
    """Change one entry: a place outside, a strange count, too few numbers; or double or drop it."""
    lines = data.decode().rstrip("\n").split("\n")
    begin = next(k for k, line in enumerate(lines) if not line.startswith("%")) + 1
    at = rng.randrange(begin, len(lines))
    parts, way = lines[at].split(), rng.randrange(4)
    if way == 0:
        parts[rng.randrange(2)] = rng.choice(("0", "-1", "99999", "4294967297", "1.5", "x", ""))
    elif way == 1:
        parts[2] = rng.choice(("-1", "nan", "inf", "1e400", "1.5", "x", "", "99999999999999999999", "0"))
    elif way == 2:
        lines.insert(at, lines[at])
    else:
        parts = rng.choice(([], parts[:2], [*parts, "1"]))
    lines[at] = " ".join(parts)
    return "\n".join(lines).encode() + b"\n"


MTX = {one.__name__: one for one in (mtx_header, mtx_entry)}
