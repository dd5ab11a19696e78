"""Known labels of spots: a table of barcodes and labels, Loupe's export, or a column of an h5ad."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, InputError, listing, nearest
from histoscribe.io.h5ad import open_h5ad
from histoscribe.io.tables import only_column, read_table, require_unique

# what a column of labels is called where a table has several; the first that is there is read
_NAMES = ("label", "domain", "layer", "annotation", "region", "cluster")
# words for "unknown": such a spot has no label
_MISSING = frozenset({"", "na", "nan", "none", "null", "undetermined", "unassigned", "unlabeled", "unlabelled"})


def read_labels(path: Path, *, column: str | None = None) -> pd.Series:
    """Read known labels by barcode.

    Parameters
    ----------
    path
        A CSV or TSV with a column `barcode` (any case) and one of labels, as Loupe exports it ("Barcode,<name>"); where
        no column has that name the first one holds the barcodes, whatever it is called. Or an h5ad with the labels in
        `obs`.
    column
        Which column holds the labels; needed where several could.

    Returns
    -------
    Text by barcode. Empty cells, "NA" and words such as "undetermined" are left out: such spots have no label.

    Raises
    ------
    InputError
        A single column, barcodes that stand more than once, or not one label.
    ConfigError
        A column that is not there, or several that could be meant.
    """
    if path.suffix.lower() == ".h5ad":
        table = open_h5ad(path).obs
        barcodes = table.index.astype(str)
    else:
        table = read_table(path)
        if table.shape[1] < 2:
            raise InputError(
                "the table has a single column",
                where=path,
                expected="a header with barcode and a column of labels, such as barcode,label",
                found=listing(table.columns, 12),
                fix="give the column of barcodes and the column of labels, separated by commas or tabs",
            )
        # pandas leaves the name of an index empty; other programs write ID, spot or cell
        key = next((name for name in table.columns if name.lower() in ("barcode", "barcodes")), table.columns[0])
        barcodes = pd.Index(only_column(table, key, path))
        table = table.drop(columns=key)
    require_unique(barcodes, path)
    values = only_column(table, _chosen(table, column, path), path)
    labels = pd.Series(text_labels(values), index=barcodes, dtype=object, name="label")
    labels = labels[labels.notna()]
    if labels.empty:
        raise InputError("not one spot has a label", where=path, found=f"{len(table):,} rows, all empty or unknown")
    return labels


def text_labels(values: pd.Series) -> NDArray[np.object_]:
    """Return labels as text, (n,); None where a cell is empty or holds a word for "unknown"."""
    return np.array([_text(value) for value in values], object)


def labels_of_spots(labels: pd.Series, barcodes: pd.Index, *, path: Path) -> NDArray[np.object_]:
    """Put labels into the order of a section's spots.

    Where no barcode is found, both sides are compared without the number that 10x appends ("-1").

    Parameters
    ----------
    labels
        Text by barcode, from `read_labels`.
    barcodes
        The section's spots.
    path
        Where the labels were read from, for the message.

    Returns
    -------
    (n,) text, None where a spot has no label.

    Raises
    ------
    InputError
        Not one label belongs to a spot.
    """
    spots = barcodes.astype(str)
    if not spots.isin(labels.index).any():
        bare, bare_spots = (pd.Index([re.sub(r"-\d+$", "", name) for name in names]) for names in (labels.index, spots))
        if not (bare.is_unique and bare_spots.is_unique and bare_spots.isin(bare).any()):
            raise InputError(
                "not one of the labels belongs to a spot of this section",
                where=path,
                expected=f"barcodes such as {listing(spots, 3)}",
                found=f"barcodes such as {listing(labels.index, 3)}",
                fix="give the labels of this very section, with barcodes written as in its count matrix",
            )
        labels, spots = labels.set_axis(bare), bare_spots
    found = labels.reindex(spots)
    return np.asarray(found.where(found.notna(), None), object)


def _chosen(table: pd.DataFrame, column: str | None, path: Path) -> str:
    columns = [str(name) for name in table.columns]
    if column is not None:
        if column not in columns:
            raise ConfigError(f"there is no column {column!r}", where=path, fix=nearest(column, columns))
        return column
    if len(columns) == 1:
        return columns[0]
    by_lower = {name.lower(): name for name in reversed(columns)}
    known = [by_lower[name] for name in _NAMES if name in by_lower]
    if not known:
        raise ConfigError(
            "it is not clear which column holds the labels" if columns else "there is no column beside the barcodes",
            where=path,
            expected=f"one column, or one named {listing(_NAMES)}",
            found=listing(columns, 12),
            fix="name the column that holds the labels",
        )
    return known[0]


def _text(value: object) -> str | None:
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return None
    text = str(value).strip()
    return None if text.lower() in _MISSING else text
