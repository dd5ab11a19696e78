"""Count matrices: 10x HDF5, 10x Matrix Market folders, text tables; all come back as spots by genes, checked.

The two 10x layouts are read with h5py and SciPy directly: every array is checked before a sparse matrix is made of it,
plain text that is named `.gz` is read, and the heavier libraries need not be imported.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError, listing
from histoscribe.io.tables import contents, delimiter, missing, read_bytes, read_text, require_unique

_GENES = "Gene Expression"
_BLOCK = 1024  # columns of a text table that are dense at a time


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Counts as read: `table` spots by genes (CSR float32), the files, and what a user should know."""

    table: AnnData
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def read_counts(path: Path) -> Counts:
    """Read counts of any kind: a 10x h5, an h5ad, a Matrix Market folder, or a csv/tsv with genes in columns."""
    if not path.exists():
        raise missing(path)
    if path.is_dir():
        return read_10x_mtx(path)
    if path.suffix == ".h5ad":
        from histoscribe.io.anndata import counts_of, open_h5ad

        table, note = counts_of(open_h5ad(path), path)
        if not table.n_vars:
            raise InputError("no layer holds raw counts", where=path, found=note)
        return Counts(table, (path,), (note,) if note else ())
    if path.suffix in {".h5", ".hdf5"}:
        return read_10x_h5(path)
    return read_counts_table(path)


def read_10x_h5(path: Path) -> Counts:
    """Read a feature-barcode matrix of Cell Ranger 3 or Space Ranger.

    Returns
    -------
    Counts with `var_names` gene symbols and `var["gene_ids"]`; features that are not gene expression are left out.

    Raises
    ------
    InputError
        Where the file is damaged, of another layout, or its arrays contradict each other.
    """
    import h5py

    if not path.is_file():
        raise missing(path)
    try:
        with h5py.File(path, "r") as file:
            if "matrix" not in file:
                raise InputError(
                    "this is not a 10x feature-barcode matrix",
                    where=path,
                    expected="an HDF5 file with the group 'matrix'",
                    found=f"groups: {listing(file)}",
                )
            group = file["matrix"]
            parts = [group[name][:] for name in ("data", "indices", "indptr")]
            shape = tuple(int(side) for side in group["shape"][:])
            barcodes = _strings(group["barcodes"][:], path)
            features = group["features"]
            ids, symbols = (_strings(features[name][:], path) for name in ("id", "name"))
            kinds = _strings(features["feature_type"][:], path) if "feature_type" in features else None
    except (OSError, KeyError, RuntimeError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            "the HDF5 matrix is damaged, cut short or incomplete",
            where=path,
            found=f"{path.stat().st_size:,} bytes; {error}",
            mend="copy or download it again",
        ) from error
    matrix = _compressed(parts, shape, path)
    return _counts(matrix, barcodes, pd.DataFrame({"id": ids, "name": symbols}), kinds, files=(path,))


def _compressed(parts: Sequence[NDArray[Any]], shape: tuple[int, ...], path: Path) -> sparse.csr_matrix:
    data, indices, indptr = parts
    if len(shape) != 2:
        raise InputError("the matrix has no two sides", where=path, found=f"shape {shape}")
    n_genes, n_spots = shape
    sound = (
        len(indptr) == n_spots + 1
        and len(indices) == len(data)
        and int(indptr[0]) == 0
        and int(indptr[-1]) == len(data)
        and bool((np.diff(indptr.astype(np.int64)) >= 0).all())
        and (len(indices) == 0 or (int(indices.min()) >= 0 and int(indices.max()) < n_genes))
    )
    if not sound:
        raise InputError(
            "the matrix's arrays contradict each other",
            where=path,
            expected=f"{n_genes:,} features by {n_spots:,} barcodes",
            found=f"{len(data):,} values, {len(indices):,} indices, {len(indptr):,} column starts",
            mend="copy or download it again",
        )
    return sparse.csr_matrix((data, indices.astype(np.int64), indptr.astype(np.int64)), shape=(n_spots, n_genes))


def _strings(values: NDArray[Any], path: Path) -> list[str]:
    try:
        return [value.decode("utf-8") if isinstance(value, bytes) else str(value) for value in values]
    except UnicodeDecodeError as error:
        raise InputError("names in the HDF5 file are not UTF-8", where=path, found=repr(error.object[:40])) from error


def read_10x_mtx(folder: Path, *, prefix: str = "") -> Counts:
    """Read a folder with `matrix.mtx`, `barcodes.tsv` and `features.tsv` (or `genes.tsv`), gzipped or plain.

    Raises
    ------
    InputError
        Where a file is missing or damaged, or they do not fit each other.
    """
    from scipy.io import mmread

    matrix_path, barcode_path = (_find(folder, prefix, name) for name in ("matrix.mtx", "barcodes.tsv"))
    feature_path = _find(folder, prefix, "features.tsv", "genes.tsv")
    barcodes = [line.split("\t")[0].strip() for line in read_text(barcode_path).splitlines() if line.strip()]
    rows = [line.split("\t") for line in read_text(feature_path).splitlines() if line.strip()]
    width = min(map(len, rows))
    features = pd.DataFrame([[row[0], row[1] if width > 1 else row[0]] for row in rows], columns=["id", "name"])
    kinds = [row[2].strip() for row in rows] if width > 2 else None
    try:
        matrix = sparse.csr_matrix(mmread(io.BytesIO(read_bytes(matrix_path))).T)
    except (ValueError, OverflowError, EOFError, OSError, IndexError, TypeError) as error:
        raise InputError(
            "the Matrix Market file is damaged or cut short",
            where=matrix_path,
            found=str(error)[:200],
            mend="copy or download it again",
        ) from error
    if matrix.shape != (len(barcodes), len(features)):
        raise InputError(
            "the matrix does not fit the barcodes and features beside it",
            where=matrix_path,
            expected=f"{len(features):,} features by {len(barcodes):,} barcodes",
            found=f"{matrix.shape[1]:,} by {matrix.shape[0]:,}",
            mend="the three files must come from one run; copy them again",
        )
    return _counts(matrix, barcodes, features, kinds, files=(matrix_path, barcode_path, feature_path))


def _find(folder: Path, prefix: str, *names: str) -> Path:
    for name in names:
        for suffix in (".gz", ""):
            path = folder / f"{prefix}{name}{suffix}"
            if path.is_file():
                return path
    raise InputError(
        f"the matrix folder has no {names[0]}",
        where=folder,
        expected="matrix.mtx, barcodes.tsv and features.tsv, gzipped or plain",
        found=contents(folder),
    )


def _counts(
    matrix: sparse.csr_matrix,
    barcodes: Sequence[str],
    features: pd.DataFrame,
    kinds: Sequence[str] | None,
    *,
    files: tuple[Path, ...],
) -> Counts:
    """Check what a 10x file held and give it the shape that all readers return."""
    if len(barcodes) != matrix.shape[0] or len(features) != matrix.shape[1]:
        raise InputError(
            "the matrix does not fit its own names",
            where=files[0],
            expected=f"{matrix.shape[1]:,} features and {matrix.shape[0]:,} barcodes",
            found=f"{len(features):,} and {len(barcodes):,}",
        )
    notes = []
    if kinds is not None and any(kind != _GENES for kind in kinds):
        keep = np.array([kind == _GENES for kind in kinds])
        others = sorted({kind for kind in kinds if kind != _GENES})
        notes.append(f"{files[0].name}: {int((~keep).sum()):,} features of type {listing(others)} were left out")
        matrix, features = matrix[:, keep], features.loc[keep]
    names, note = unique_genes(features["name"].tolist())
    notes += [f"{files[0].name}: {note}"] if note else []
    table = spots_by_genes(matrix, barcodes, names, files[0])
    table.var["gene_ids"] = features["id"].to_numpy(str)
    return Counts(table, files, tuple(notes))


def read_counts_table(path: Path) -> Counts:
    """Read a csv or tsv with one row per spot, its barcode first, and one column per gene.

    A header that lacks the first field, as R writes it, is understood.

    Raises
    ------
    InputError
        Where a cell is no number, a count is negative or not whole, or a line has too many or too few fields.
    """
    text = read_text(path).lstrip("\r\n")
    first, _, rest = text.partition("\n")
    separator = delimiter(first)
    header = next(csv.reader([first], delimiter=separator))
    second = next(csv.reader([rest.partition("\n")[0]], delimiter=separator), [])
    if not second:
        raise InputError("the table has a header but no rows", where=path)
    genes = header if len(header) == len(second) - 1 else header[1:]
    if not genes:
        raise InputError(
            "the table has one column only", where=path, expected="a barcode and one column per gene, tab or comma"
        )
    barcodes, matrix = _parse(rest, separator, genes, path)
    names, note = unique_genes([gene.strip() for gene in genes])
    return Counts(spots_by_genes(matrix, barcodes, names, path), (path,), (f"{path.name}: {note}",) if note else ())


def _parse(body: str, separator: str, genes: Sequence[str], path: Path) -> tuple[list[str], sparse.csr_matrix]:
    import pyarrow as pa
    from pyarrow import csv as arrow_csv

    data = body.encode()
    names = ["barcode", *map(str, range(len(genes)))]  # gene names may stand twice; numbers cannot
    try:
        table = arrow_csv.read_csv(
            io.BytesIO(data),
            # one block: the type of a column is found from all of its rows
            read_options=arrow_csv.ReadOptions(
                column_names=names, block_size=min(len(data) + 1, 2**31 - 1), use_threads=False
            ),
            parse_options=arrow_csv.ParseOptions(delimiter=separator),
            convert_options=arrow_csv.ConvertOptions(column_types={"barcode": pa.string()}),
        )
    except pa.ArrowException as error:
        raise InputError(
            "the table cannot be parsed; a line may be cut short",
            where=path,
            expected=f"{len(names):,} fields in every line",
            found=str(error)[:120],
        ) from error
    barcodes = [str(name).strip() for name in table.column(0).to_pylist()]
    blocks = []
    for start in range(1, table.num_columns, _BLOCK):
        columns = []
        for k in range(start, min(start + _BLOCK, table.num_columns)):
            columns.append(_numeric(table.column(k), path, genes[k - 1], barcodes))
        blocks.append(sparse.csc_matrix(np.column_stack(columns)))
    return barcodes, sparse.csr_matrix(sparse.hstack(blocks))


def _numeric(column: Any, path: Path, gene: str, barcodes: Sequence[str]) -> NDArray[np.float64]:
    import pyarrow.types as kinds

    if (kinds.is_integer(column.type) or kinds.is_floating(column.type)) and not column.null_count:
        values: NDArray[np.float64] = column.to_numpy().astype(np.float64)
        return values
    texts = ["" if value is None else str(value) for value in column.to_pylist()]
    numeric = pd.to_numeric(pd.Series(texts), errors="coerce")
    row = int(np.flatnonzero(numeric.isna())[0]) if numeric.isna().any() else 0
    mend = "the table may have genes in rows; turn it round" if len(barcodes) > len(set(barcodes)) else None
    raise InputError(
        f"the counts of gene {gene!r} are not all numbers",
        where=path,
        expected="a whole number in every cell, spots in rows and genes in columns",
        found=f"{texts[row]!r} for spot {barcodes[row]!r}",
        mend=mend or "write 0 where nothing was counted; leave columns that are not genes out",
    )


def spots_by_genes(matrix: Any, barcodes: Sequence[str], genes: Sequence[str], path: Path) -> AnnData:
    """Make the checked table of counts; raises InputError for doubled barcodes and values that are no counts."""
    names = pd.Index([str(barcode).strip() for barcode in barcodes])
    require_unique(names, path)
    matrix = sparse.csr_matrix(matrix, dtype=np.float32)
    matrix.eliminate_zeros()
    fault = count_fault(matrix.data)
    if fault:
        raise InputError(
            f"the matrix holds {fault}",
            where=path,
            expected="raw counts: whole numbers from 0",
            mend="give the matrix before normalisation and logarithm",
        )
    return AnnData(X=matrix, obs=pd.DataFrame(index=names), var=pd.DataFrame(index=pd.Index(genes, dtype=str)))


def count_fault(values: NDArray[Any]) -> str | None:
    """Say why values cannot be raw counts, with the first that cannot, or return None."""
    checks = (
        ("values that are not finite", ~np.isfinite(values)),
        ("negative values", values < 0),
        ("values that are not whole numbers (logarithms?)", values != np.rint(values)),
    )
    for fault, bad in checks:
        if bad.any():
            return f"{int(bad.sum()):,} {fault}, for example {values[int(np.argmax(bad))]:g}"
    return None


def unique_genes(names: Sequence[str]) -> tuple[list[str], str | None]:
    """Make gene names unique with a number after those that repeat, and say so."""
    taken, seen, fresh = set(names), dict.fromkeys(names, 0), []
    doubled: list[str] = []
    for name in names:
        seen[name] += 1
        if seen[name] == 1:
            fresh.append(name)
            continue
        doubled.append(name)
        number = seen[name] - 1
        while f"{name}-{number}" in taken:
            number += 1
        taken.add(f"{name}-{number}")
        fresh.append(f"{name}-{number}")
    if not doubled:
        return fresh, None
    return fresh, f"{len(doubled):,} gene names stand more than once and were numbered ({listing(doubled, 3)})"
