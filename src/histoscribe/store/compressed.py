"""The guard of compressed sparse matrices: SciPy's own code follows their indices without asking where they lead.

An index beyond its row ends the process or counts for another gene; so all three arrays are compared with each other
and with the shape before a matrix is made of them, whatever file they came from.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError


def require_compressed(
    data: NDArray[Any],
    indices: NDArray[Any],
    indptr: NDArray[Any],
    *,
    shape: Sequence[int],
    where: str | Path,
    what: str,
) -> None:
    """Refuse arrays that make no compressed sparse matrix, or one in which an entry stands twice.

    Unsorted indices are sound: they name every entry once.

    Parameters
    ----------
    data, indices, indptr
        (entries,), (entries,) and (lines + 1,): a line is a row of CSR, a column of CSC.
    shape
        Number of lines, and length of a line.
    where, what
        The file, and the matrix in it.

    Raises
    ------
    InputError
        Naming what contradicts what.
    """
    problem = _fault(data, indices, indptr, tuple(shape))
    if problem is not None:
        raise InputError(
            f"{what}: the matrix's arrays contradict each other, {problem}",
            where=where,
            expected=f"shape {tuple(shape)}",
            found=f"{len_of(data)} values, {len_of(indices)} indices, {len_of(indptr)} starts",
            fix="copy or download it again; if that does not help, write it again from its source",
        )


def len_of(values: NDArray[Any]) -> str:
    """Say how many values an array of any rank has."""
    shape = getattr(values, "shape", None)
    return f"{shape[0]:,}" if shape is not None and len(shape) == 1 else f"shape {shape} of"


def _fault(data: NDArray[Any], indices: NDArray[Any], indptr: NDArray[Any], shape: tuple[int, ...]) -> str | None:
    if len(shape) != 2 or min(shape) < 0:
        return "it has not two sides of 0 or more"
    if any(getattr(values, "ndim", None) != 1 for values in (data, indices, indptr)):  # HDF5 has arrays of no rank
        return "they are not one-dimensional"
    if data.dtype.kind not in "biuf":
        return f"its values are no numbers but {data.dtype}"
    if indices.dtype.kind not in "iu" or indptr.dtype.kind not in "iu":
        return "its indices are no whole numbers"
    if len(indptr) != shape[0] + 1:
        return f"there are not {shape[0] + 1:,} starts"
    if len(indices) != len(data):
        return "there is not one index for every value"
    if int(indptr[0]) != 0 or int(indptr[-1]) != len(data) or bool((indptr[1:] < indptr[:-1]).any()):
        return "the starts do not rise from 0 to the number of values"
    if len(indices) and (int(indices.min()) < 0 or int(indices.max()) >= shape[1]):
        return f"indices leave the range 0 to {shape[1] - 1:,}"
    return "an entry stands twice in one line" if _doubled(indices, indptr) else None


def _doubled(indices: NDArray[Any], indptr: NDArray[Any]) -> bool:
    if len(indices) < 2:
        return False
    begins = indptr[1:-1].astype(np.int64)
    begins = begins[(begins > 0) & (begins < len(indices))]
    rising = indices[1:] > indices[:-1]
    rising[begins - 1] = True
    if rising.all():
        return False
    line = np.repeat(np.arange(len(indptr) - 1), (indptr[1:] - indptr[:-1]).astype(np.int64))
    order = np.lexsort((indices, line))
    same = (indices[order][1:] == indices[order][:-1]) & (line[order][1:] == line[order][:-1])
    return bool(same.any())
