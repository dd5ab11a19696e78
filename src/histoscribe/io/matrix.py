"""Count matrices: 10x HDF5, Matrix Market, text tables, h5ad; all come back as spots by genes, checked."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError, listing
from histoscribe.io.counts import Counts, genes_among, spots_by_genes
from histoscribe.io.features import Genes, gene_columns, genes_of, unquoted
from histoscribe.io.h5ad import counts_of, open_h5ad
from histoscribe.io.matrix_market import read_matrix_market
from histoscribe.io.tables import contents, delimiter, missing, read_text, unpacked
from histoscribe.store.compressed import require_compressed
from histoscribe.store.hdf5 import open_hdf5, read_dataset, read_names, require_group
from histoscribe.store.received import is_there

_BLOCK = 1024  # columns of a text table that are dense at a time
_MOST_GENES = 500_000
# bytes of memory for a byte of text: names become Python strings, "0," a number of eight bytes
_LINES_COST, _COUNTS_COST = 16, 8


def read_counts(path: Path) -> Counts:
    """Read counts of any kind: a 10x h5, an h5ad, a Matrix Market folder, or a csv/tsv with genes in columns."""
    if not is_there(path):
        raise missing(path)
    if path.is_dir():
        return read_10x_mtx(path)
    plain = Path(path.stem) if path.suffix.lower() == ".gz" else path
    if plain.suffix == ".h5ad":
        with unpacked(path) as file:
            table, note = counts_of(open_h5ad(file), path)
        if not table.n_vars:
            raise InputError("no layer holds raw counts", where=path, found=note)
        return Counts(table, (path,), (note,) if note else ())
    if plain.suffix in {".h5", ".hdf5"}:
        with unpacked(path) as file:
            return replace(read_10x_h5(file), files=(path,))
    return read_counts_table(path)


def read_10x_h5(path: Path) -> Counts:
    """Read a feature-barcode matrix of Cell Ranger 3 or Space Ranger.

    Every array is checked before a sparse matrix is made of it.

    Returns
    -------
    Counts with `var_names` gene symbols and `var["gene_ids"]`; features that are not gene expression are left out.

    Raises
    ------
    InputError
        Where the file is damaged, of another layout, or its arrays contradict each other.
    """
    if not is_there(path) or path.is_dir():
        raise missing(path)
    with open_hdf5(path, "HDF5 matrix") as file:
        if "matrix" not in file:
            raise InputError(
                "this is not a 10x feature-barcode matrix",
                where=path,
                expected="an HDF5 file with the group 'matrix'",
                found=f"groups: {listing(file)}",
            )
        group = require_group(file, "matrix", where=path)
        data, indices, indptr = (
            read_dataset(group, name, kinds=kinds, where=path)
            for name, kinds in (("data", "iuf"), ("indices", "iu"), ("indptr", "iu"))
        )
        sides = [int(side) for side in read_dataset(group, "shape", kinds="iu", where=path)]
        barcodes = read_names(group, "barcodes", where=path)
        features = require_group(group, "features", where=path)
        ids, symbols = (read_names(features, name, where=path) for name in ("id", "name"))
        kinds, genomes = (
            read_names(features, name, where=path) if name in features else None for name in ("feature_type", "genome")
        )
    shape = tuple(sides[::-1])  # stored as features by barcodes, one column per barcode
    require_compressed(data, indices, indptr, shape=shape, where=path, what="matrix")
    if len(ids) != len(symbols) or (kinds is not None and len(kinds) != len(ids)):
        raise InputError(
            "the features' columns differ in length",
            where=path,
            expected="one id, one name and one feature_type for each",
            found=f"{len(ids):,} ids, {len(symbols):,} names, {len(kinds or ()):,} types",
            fix="copy or download it again",
        )
    matrix = sparse.csr_matrix((data, indices.astype(np.int64), indptr.astype(np.int64)), shape=shape)
    table = pd.DataFrame({"id": ids, "name": symbols})
    if genomes is not None and len(genomes) == len(ids):
        table["genome"] = genomes
    return _counts(matrix, barcodes, table, kinds, files=(path,))


def read_10x_mtx(folder: Path, *, prefix: str = "") -> Counts:
    """Read a folder with `matrix.mtx`, `barcodes.tsv` and `features.tsv` (or `genes.tsv`), gzipped or plain.

    Raises
    ------
    InputError
        Where a file is missing or damaged, or they do not fit each other.
    """
    matrix_path, barcode_path = (_find(folder, prefix, name) for name in ("matrix.mtx", "barcodes.tsv"))
    feature_path = _find(folder, prefix, "features.tsv", "genes.tsv")
    barcodes = [unquoted(line.split("\t")[0]) for line in _lines(barcode_path)]
    rows = [[unquoted(cell) for cell in line.split("\t")] for line in _lines(feature_path)]
    width = min(map(len, rows))
    features = pd.DataFrame([[row[0], row[1] if width > 1 else row[0]] for row in rows], columns=["id", "name"])
    kinds = [row[2].strip() for row in rows] if width > 2 else None
    matrix = read_matrix_market(matrix_path)
    if matrix.shape != (len(barcodes), len(features)):
        raise InputError(
            "the matrix does not fit the barcodes and features beside it",
            where=matrix_path,
            expected=f"{len(features):,} features by {len(barcodes):,} barcodes",
            found=f"{matrix.shape[1]:,} by {matrix.shape[0]:,}",
            fix="the three files must come from one run; copy them again",
        )
    return _counts(matrix, barcodes, features, kinds, files=(matrix_path, barcode_path, feature_path))


def _lines(path: Path) -> list[str]:
    lines = [line for line in read_text(path, cost=_LINES_COST).split("\n") if line.strip()]
    if not lines:
        raise InputError("the file holds blank lines only", where=path, fix="copy or download it again")
    return lines


def _find(folder: Path, prefix: str, *names: str) -> Path:
    for name in names:
        for suffix in (".gz", ""):
            path = folder / f"{prefix}{name}{suffix}"
            if is_there(path) and path.is_file():
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
    """Check the parts of a 10x file and return them as all readers do."""
    if len(barcodes) != matrix.shape[0] or len(features) != matrix.shape[1]:
        raise InputError(
            "the matrix does not fit its own names",
            where=files[0],
            expected=f"{matrix.shape[1]:,} features and {matrix.shape[0]:,} barcodes",
            found=f"{len(features):,} and {len(barcodes):,}",
        )
    notes = []
    if kinds is not None:
        keep, left_out = genes_among(kinds, files[0])
        notes += [f"{files[0].name}: {left_out}"] if left_out else []
        matrix, features = matrix[:, keep], features.loc[keep]
    found = genes_of(
        matrix,
        features["name"].tolist(),
        ids=features["id"].tolist(),
        genomes=features["genome"].tolist() if "genome" in features else None,
    )
    notes += [f"{files[0].name}: {note}" for note in found.notes]
    return Counts(_table(found, barcodes, files[0]), files, tuple(notes))


def _table(genes: Genes, barcodes: Sequence[str], path: Path) -> AnnData:
    table = spots_by_genes(genes.matrix, barcodes, genes.names, path)
    table.var["gene_ids"] = np.asarray(genes.ids, str)
    if genes.genomes is not None:
        table.var["genome"] = genes.genomes
    return table


def read_counts_table(path: Path) -> Counts:
    """Read a csv or tsv with one row per spot, its barcode first, and one column per gene.

    A header that lacks the first field, as R writes it, is accepted.

    Raises
    ------
    InputError
        Where a cell is no number, a count is negative or not whole, or a line has too many or too few fields.
    """
    text = read_text(path, cost=_COUNTS_COST).lstrip("\n")
    first, _, rest = text.partition("\n")
    separator = delimiter(first)
    try:
        header, second = (
            next(csv.reader([line], delimiter=separator), []) for line in (first, rest.partition("\n")[0])
        )
    except csv.Error as error:
        raise InputError(f"the first lines cannot be parsed: {error}", where=path) from error
    if not second:
        raise InputError("the table has a header but no rows", where=path)
    genes = header if len(header) == len(second) - 1 else header[1:]
    if len(genes) > _MOST_GENES:
        raise InputError(
            f"the table has {len(genes):,} columns", where=path, expected=f"one per gene, at most {_MOST_GENES:,}"
        )
    if not genes:
        raise InputError(
            "the table has one column only", where=path, expected="a barcode and one column per gene, tab or comma"
        )
    keep, left_out = gene_columns(genes)
    if not keep.any():
        raise InputError("no column of the table is a gene", where=path, found=listing(genes))
    barcodes, matrix = _parse(rest, separator, genes, path, keep=keep)
    found = genes_of(matrix, [gene for gene, kept in zip(genes, keep, strict=True) if kept])
    notes = [*([left_out] if left_out else []), *found.notes]
    table = _table(found, barcodes, path)
    del table.var["gene_ids"]
    return Counts(table, (path,), tuple(f"{path.name}: {note}" for note in notes))


def _parse(
    body: str, separator: str, genes: Sequence[str], path: Path, *, keep: NDArray[np.bool_]
) -> tuple[list[str], sparse.csr_matrix]:
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
        if isinstance(error, MemoryError):  # ArrowMemoryError is both
            raise
        raise InputError(
            "the table cannot be parsed; a line may be cut short",
            where=path,
            expected=f"{len(names):,} fields in every line",
            found=str(error)[:120],
        ) from error
    barcodes = [unquoted(str(name)) for name in table.column(0).to_pylist()]
    blocks = []
    wanted = np.flatnonzero(keep)
    for start in range(0, len(wanted), _BLOCK):
        columns = [
            _numeric(table.column(k + 1), path, genes[k], barcodes) for k in wanted[start : start + _BLOCK].tolist()
        ]
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
    fix = "the table may have genes in rows; transpose it" if len(barcodes) > len(set(barcodes)) else None
    raise InputError(
        f"the counts of gene {gene!r} are not all numbers",
        where=path,
        expected="a whole number in every cell, spots in rows and genes in columns",
        found=f"{texts[row]!r} for spot {barcodes[row]!r}",
        fix=fix or "write 0 where nothing was counted; leave columns that are not genes out",
    )
