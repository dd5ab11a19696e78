"""The nuclei of a slide as a table: written block by block, joined and read back without holding all outlines."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscribe.errors import ResultError
from histoscribe.graph.spacing import nearest_distance
from histoscribe.nuclei.features import MEASURES, NEAREST

PARTS = "parts"
TABLE = "nuclei.parquet"
COLUMNS = ("nucleus", "x_px", "y_px", *MEASURES, "probability")
_OUTLINE = ("outline_x_px", "outline_y_px")


def write_part(path: Path, table: pd.DataFrame, outlines: list[NDArray[np.float64]]) -> None:
    """Write the nuclei of one block, with outlines in level-0 pixels, aside and then into place."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrow = pa.Table.from_pandas(table[list(COLUMNS)], preserve_index=False)
    start = np.cumsum([0, *(len(corners) for corners in outlines)]).astype(np.int32)
    corners = np.concatenate(outlines) if outlines else np.zeros((0, 2))
    for axis, name in enumerate(_OUTLINE):
        values = pa.array(corners[:, axis].astype(np.float32))
        arrow = arrow.append_column(name, pa.ListArray.from_arrays(pa.array(start), values))
    aside = path.with_suffix(".new")
    pq.write_table(arrow, aside, compression="zstd", write_page_checksum=True)
    aside.replace(path)


def part_count(path: Path) -> int | None:
    """How many nuclei a block's file holds; None where the block is not done or its file is damaged."""
    if not path.is_file():
        return None
    try:
        return len(_read(path))
    except ResultError:
        return None


def iter_parts(folder: Path) -> Iterator[tuple[pd.DataFrame, list[NDArray[np.float64]]]]:
    """Yield the nuclei of one block after the other: a table and the outlines, (k, 2) in level-0 pixels.

    Raises
    ------
    ResultError
        Where a file is damaged.
    """
    for path in sorted((folder / PARTS).glob("*.parquet")):
        arrow = _read(path)
        columns = [arrow.column(name).combine_chunks() for name in _OUTLINE]
        x, y = (np.asarray(column.values) for column in columns)
        start = np.asarray(columns[0].offsets)
        corners = np.column_stack([x, y]).astype(np.float64)
        yield arrow.select(list(COLUMNS)).to_pandas(), np.split(corners, start[1:-1]) if len(start) > 1 else []


def join_parts(folder: Path, *, mpp: float) -> pd.DataFrame:
    """Join all blocks into `nuclei.parquet`, with the distance to the nearest other nucleus; return it.

    Parameters
    ----------
    mpp
        Microns per level-0 pixel.
    """
    tables = [table for table, _ in iter_parts(folder)] or [pd.DataFrame({name: np.zeros(0) for name in COLUMNS})]
    table = pd.concat(tables, ignore_index=True)
    table["nucleus"] = table["nucleus"].astype(np.int64)
    nearest = nearest_distance(table[["x_px", "y_px"]].to_numpy(np.float64) * mpp)
    table.insert(list(table.columns).index("intensity") + 1, NEAREST, nearest.astype(np.float32))
    table.to_parquet(folder / TABLE, index=False, compression="zstd", write_page_checksum=True)
    return table


def read_nuclei(folder: Path) -> pd.DataFrame:
    """Read the table of nuclei that `histoscribe nuclei` wrote into `folder`.

    Raises
    ------
    ResultError
        Where there is none or it is damaged.
    """
    path = Path(folder) / TABLE
    if not path.is_file():
        raise ResultError(
            "there are no nuclei here", where=folder, expected=TABLE, fix="find them with: histoscribe nuclei"
        )
    table: pd.DataFrame = _read(path).to_pandas()
    return table


def _read(path: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path, page_checksum_verification=True)
    except (OSError, pa.ArrowException) as error:
        raise ResultError(
            f"unreadable ({error})", where=path, expected="a table written by histoscribe", fix="find the nuclei again"
        ) from error
