"""Matrix Market files, read after the sizes in the header were compared with the file's length."""

import io
from pathlib import Path

from scipy import sparse

from histoscribe.errors import InputError
from histoscribe.io.tables import read_bytes
from histoscribe.store.received import require_size

_FIX = "copy or download it again"
_SHORTEST = {"pattern": 4, "coordinate": 6, "array": 2}  # bytes of a line: "1 1\n", "1 1 1\n", "1\n"
_ENTRY = 40  # bytes of memory for an entry, as it is read and as it is kept
_TEXT_COST = 2
# what SciPy raises on a damaged file; OverflowError and TypeError: numbers that fit no integer
_DAMAGE = (ValueError, OverflowError, EOFError, OSError, IndexError, TypeError)


def read_matrix_market(path: Path) -> sparse.csr_matrix:
    """Read features by barcodes, as 10x writes them, into barcodes by features.

    Raises
    ------
    InputError
        Where the file is damaged, declares more than it can hold or is larger than the limit, or names an entry twice.
    """
    from scipy.io import mmread

    text = read_bytes(path, cost=_TEXT_COST)
    shape, n_entries = _declared(text, path)
    try:
        read = mmread(io.BytesIO(text))
    except _DAMAGE as error:
        raise _damaged(path, str(error)) from error
    matrix = sparse.csr_matrix(read.T)
    if matrix.shape != shape[::-1] or (sparse.issparse(read) and read.nnz != n_entries):
        raise _damaged(path, f"shape {matrix.shape[::-1]} with {matrix.nnz:,} entries after a header of {shape}")
    if sparse.issparse(read) and matrix.nnz != read.nnz:
        raise InputError(
            f"{read.nnz - matrix.nnz:,} entries occur twice, so their counts are ambiguous",
            where=path,
            expected="each pair of feature and barcode once",
            fix=_FIX,
        )
    return matrix


def _declared(text: bytes, path: Path) -> tuple[tuple[int, int], int]:
    """Shape and number of entries by the header, after both were compared with what the file can hold."""
    from scipy.io import mminfo

    try:
        rows, columns, entries, kind, field, symmetry = mminfo(io.BytesIO(text))
    except _DAMAGE as error:
        raise _damaged(path, str(error)) from error
    if kind not in ("coordinate", "array") or field not in ("integer", "real", "double", "unsigned-integer", "pattern"):
        raise _damaged(path, f"a matrix of the kind {kind} {field}")
    if symmetry != "general":
        raise InputError(
            "the matrix is called symmetric, which counts are not",
            where=path,
            expected="%%MatrixMarket matrix coordinate integer general",
            found=f"{kind} {field} {symmetry}",
            fix=_FIX,
        )
    entries = entries if kind == "coordinate" else rows * columns
    if min(rows, columns, entries) < 0 or entries > rows * columns:
        raise _damaged(path, f"{entries:,} entries of {rows:,} by {columns:,}")
    require_size(_ENTRY * entries + 16 * (rows + columns), where=path)
    shortest = _SHORTEST["pattern" if field == "pattern" else kind]
    if entries * shortest > len(text) + shortest:
        raise _damaged(path, f"{len(text):,} bytes, too few for the {entries:,} entries that its header declares")
    return (int(rows), int(columns)), int(entries)


def _damaged(path: Path, found: str) -> InputError:
    return InputError("the Matrix Market file is damaged or cut short", where=path, found=found[:200], fix=_FIX)
