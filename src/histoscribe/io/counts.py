"""Counts, checked: whole numbers from 0, spots by genes, each gene once."""

import re
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
from histoscribe.io.tables import require_unique

# up to here float32, the type of our counts, holds every whole number
_MOST_COUNT = 2**24
_GENES = {"gene expression", "gene", "genes", "rna", "mrna"}  # types of features, in lower case


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Counts as read: `table` spots by genes (CSR float32), the files, and what a user should know."""

    table: AnnData
    files: tuple[Path, ...]
    notes: tuple[str, ...] = ()


def spots_by_genes(matrix: Any, barcodes: Sequence[str], genes: Sequence[str], path: Path) -> AnnData:
    """Make the checked table of counts; raises InputError for repeated barcodes and values that are no counts."""
    names = pd.Index([str(barcode).strip() for barcode in barcodes])
    require_unique(names, path)
    matrix, fault = as_counts(matrix)
    if fault:
        raise InputError(
            f"the matrix holds {fault}",
            where=path,
            expected="raw counts: whole numbers from 0",
            fix="give the matrix before normalisation and logarithm",
        )
    return AnnData(X=matrix, obs=pd.DataFrame(index=names), var=pd.DataFrame(index=pd.Index(genes, dtype=str)))


def as_counts(values: Any) -> tuple[sparse.csr_matrix, str | None]:
    """Turn a matrix into CSR of float32, sorted, without zeros, and say why it cannot hold raw counts, or None.

    The values are checked before they become float32, which could round a value that is no count into one.
    """
    fault = count_fault(values.data if sparse.issparse(values) else np.asarray(values))
    if fault:
        return sparse.csr_matrix(values.shape, dtype=np.float32), fault
    if sparse.issparse(values) and values.format in ("csr", "csc"):
        # a file may hold numbers of any width and byte order; SciPy takes only some
        parts = (values.data.astype(np.float32), values.indices.astype(np.int64), values.indptr.astype(np.int64))
        values = type(values)(parts, shape=values.shape)
    matrix = sparse.csr_matrix(values, dtype=np.float32)
    matrix.sort_indices()
    matrix.eliminate_zeros()
    return matrix, None


def count_fault(values: NDArray[Any]) -> str | None:
    """Say why values cannot be raw counts, with the first that cannot, or return None."""
    if values.dtype.kind not in "biuf":
        return f"values that are no numbers but {values.dtype}"
    if values.dtype.kind == "b":
        return None
    checks = (
        ("values that are not finite", lambda: ~np.isfinite(values)),
        ("negative values", lambda: values < 0),
        ("values that are not whole numbers (logarithms?)", lambda: values != np.rint(values)),
        (f"values above {_MOST_COUNT:,}, too many for one spot", lambda: values > _MOST_COUNT),
    )
    for fault, found in checks:
        bad = found()
        if bad.any():
            return f"{int(bad.sum()):,} {fault}, for example {values.flat[int(np.argmax(bad))]:g}"
    return None


def genes_among(kinds: Sequence[str], path: Path) -> tuple[NDArray[np.bool_], str | None]:
    """Say which features are genes by their types, (g,), and how many others of which types are left out.

    Raises
    ------
    InputError
        Where none is a gene.
    """
    keep = np.array([re.sub(r"[\s_-]+", " ", kind.strip().lower()) in _GENES for kind in kinds], bool)
    if keep.all():
        return keep, None
    others = listing(sorted({kind for kind, gene in zip(kinds, keep, strict=True) if not gene}))
    if not keep.any():
        raise InputError(
            "no feature of this matrix is a gene",
            where=path,
            expected="features of type Gene Expression",
            found=f"{len(keep):,} features of type {others}",
            fix="give the matrix of gene expression, or correct the types of its features",
        )
    return keep, f"{int((~keep).sum()):,} features of type {others} were left out"


def unique_genes(names: Sequence[str]) -> tuple[list[str], str | None]:
    """Make gene names unique with a number after those that repeat, and say so."""
    taken, times, unique = set(names), dict.fromkeys(names, 0), []
    repeated: list[str] = []
    for name in names:
        times[name] += 1
        if times[name] == 1:
            unique.append(name)
            continue
        repeated.append(name)
        number = times[name] - 1
        while f"{name}-{number}" in taken:
            number += 1
        taken.add(f"{name}-{number}")
        unique.append(f"{name}-{number}")
    if not repeated:
        return unique, None
    return unique, f"{len(repeated):,} gene names stand more than once and were numbered ({listing(repeated, 3)})"
