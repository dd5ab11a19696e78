"""Whether counts are counts: everything that is scored or split at random needs raw molecules, never logarithms."""

from typing import Any

import numpy as np
from scipy import sparse

from histoscribe.errors import InputError

_RAW = "give the matrix of raw counts, for example the layer 'counts' or the filtered_feature_bc_matrix"


def are_counts(counts: Any) -> bool:
    """Whether a matrix, (n, g), sparse or dense, can be raw counts: whole numbers from 0, not all of them 0."""
    values = np.asarray(counts.data if sparse.issparse(counts) else counts, np.float64).ravel()
    return bool(
        np.isfinite(values).all() and (values >= 0).all() and (values == np.rint(values)).all() and values.any()
    )


def check_counts(counts: Any, *, where: str) -> None:
    """Refuse a matrix that cannot be raw counts.

    Parameters
    ----------
    counts
        (n, g), sparse or dense.
    where
        What the counts belong to, for the message: "section 'C2'".

    Raises
    ------
    InputError
        Values that are not finite, negative or not whole, or nothing but zeros.
    """
    values = counts.data if sparse.issparse(counts) else np.asarray(counts).ravel()
    values = np.asarray(values, np.float64)
    if not np.isfinite(values).all():
        raise InputError("the counts hold values that are not finite", where=where, expected="raw counts", fix=_RAW)
    if len(values) and values.min() < 0:
        raise InputError(
            f"{int((values < 0).sum()):,} of the counts are negative",
            where=where,
            expected="raw counts: whole numbers from 0",
            found=f"a smallest value of {values.min():.4g}; scaled or centred values look like this",
            fix=_RAW,
        )
    whole = values == np.rint(values)
    if not whole.all():
        raise InputError(
            f"{100 * (1 - whole.mean()):.3g} % of the values are not whole numbers",
            where=where,
            expected="raw counts: whole numbers from 0",
            found=f"values such as {values[~whole][0]:.4g}, largest {values.max():.4g}; "
            "logarithms and normalised values look like this",
            fix=_RAW,
        )
    if not values.any():
        raise InputError("every count is 0", where=where, fix="check that the matrix belongs to these spots")
