"""A map as files: factors, loadings and the spots' counts, so that any gene can be decoded on request.

    map.json        grid, genes, unit of the factors, footprints, evidence
    factors.zarr    (cells, r) float16          loadings.zarr   (r, genes)       level.zarr, interval.zarr, spread.zarr
    cells.zarr      flat number of each cell    counts.zarr     the spots' counts, compressed sparse rows in one array
    scores.csv      how well held-out spots were predicted, gene by gene
    latent.zarr     (cells, d) float16 image embedding, of a mapper that has networks
    reconstructed.png  the picture as these networks draw it

All arrays carry checksums. Eighteen thousand genes take only as much room as their loadings: megabytes.
"""

import io
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import ResultError
from histoscribe.maps.footprint import Shape, footprint_areas
from histoscribe.maps.grid import Grid
from histoscribe.maps.mapper import FactorMap
from histoscribe.store import arrays
from histoscribe.store.compressed import require_compressed
from histoscribe.store.files import read_json, write_bytes, write_json, writing_to
from histoscribe.store.received import require_size

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
RECONSTRUCTED = "reconstructed.png"
_ROWS = 65_536
_SCORES = {"spots": "scores.csv", "bins": "bin_scores.csv"}


@dataclass(frozen=True, slots=True, eq=False)
class StoredMap:
    """A map with everything that decoding and balancing need.

    Parameters
    ----------
    section
        Name.
    grid
        Cells of the raster.
    cells
        (c,) flat numbers of the cells that hold values.
    factors
        The map itself.
    genes
        (t,) names.
    xy_px, counts, library
        Spots, their counts of these genes, (n, t) CSR, and molecules; of 0 rows for a slide without counts.
    diameter_um, shape, pitch_um
        Their footprints, and how far apart they are.
    facts
        Anything else to keep, as JSON values.
    notes
        What was decided in reading the section, such as that a damaged picture was read.
    scores
        Tables of `maps.scores` by where they were found, "spots" and "bins"; written by `write_scores`.
    """

    section: str
    grid: Grid
    cells: NDArray[np.intp]
    factors: FactorMap
    genes: tuple[str, ...]
    xy_px: NDArray[np.float64]
    counts: sparse.csr_matrix
    library: NDArray[np.float64]
    diameter_um: float
    shape: Shape = "disc"
    pitch_um: float = 100.0
    facts: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    scores: "Mapping[str, pd.DataFrame]" = field(default_factory=dict)

    def areas(self, xy_px: NDArray[np.float64], *, square_um: float | None = None) -> sparse.csr_matrix:
        """Share of each of the map's cells under footprints, or squares of a given side, at (m, 2): (m, c) CSR."""
        size, shape = (self.diameter_um, self.shape) if square_um is None else (square_um, "square")
        area = footprint_areas(xy_px, self.grid, diameter_um=size, shape=shape)
        return sparse.csr_matrix(area[:, self.cells])


def write_map(folder: Path, stored: StoredMap) -> None:
    """Write a map into an existing folder; raises ResultError where the disk is full or read-only."""
    factors, counts = stored.factors, sparse.csr_matrix(stored.counts)
    tables: dict[str, NDArray[Any]] = {
        "factors": factors.factors.astype(np.float16),
        "loadings": factors.loadings,
        "level": factors.level,
        "interval": factors.interval,
        "spread": factors.spread.astype(np.float16),
        "cells": stored.cells.astype(np.int32),
        "spots": np.column_stack([stored.xy_px, stored.library]),
        "counts": np.concatenate([counts.indptr, counts.indices]).astype(np.int32),
        "molecules": counts.data.astype(np.float32),
    }
    tables |= {f"transfer_{name}": values for name, values in factors.transfer.items()}
    if factors.latent is not None:
        tables["latent"] = factors.latent.astype(np.float16)
    with writing_to(folder):
        for name, values in tables.items():
            arrays.write(folder / f"{name}.zarr", values, chunk_rows=_ROWS)
        if factors.reconstruction is not None:
            write_bytes(folder / RECONSTRUCTED, _png(factors.reconstruction.made))
        write_json(
            folder / "map.json",
            {
                "format": FORMAT,
                "section": stored.section,
                "grid": asdict(stored.grid),
                "link": factors.link,
                "genes": list(stored.genes),
                "footprint": {
                    "diameter_um": stored.diameter_um,
                    "shape": stored.shape,
                    "pitch_um": stored.pitch_um,
                },
                "transfer": sorted(factors.transfer),
                "evidence": dict(factors.evidence),
                "facts": stored.facts,
                "notes": list(stored.notes),
            },
        )


def _png(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def write_scores(folder: Path, tables: "Mapping[str, pd.DataFrame]") -> None:
    """Write tables of scores beside a map, five digits each; raises ResultError where the disk is full."""
    for name, table in tables.items():
        with writing_to(folder):
            write_bytes(folder / _SCORES[name], table.to_csv(index=False, float_format="%.5g").encode())


def _read_scores(folder: Path) -> "dict[str, pd.DataFrame]":
    import pandas as pd

    files = {name: folder / file for name, file in _SCORES.items()}
    try:
        return {
            name: pd.read_csv(path, dtype={"gene": str}, keep_default_na=False, na_values=[""])
            for name, path in files.items()
            if path.is_file()
        }
    except ValueError as error:
        raise ResultError(f"unreadable ({error})", where=folder, fix="make the map again: histoscribe map") from error


def read_map(folder: Path) -> StoredMap:
    """Read what `write_map` wrote.

    Raises
    ------
    ResultError
        Where there is no map, it is of a later version, or a file is missing or damaged.
    InputError
        Where its counts contradict each other.
    """
    path = folder / "map.json"
    if not path.is_file():
        raise ResultError(
            "there is no map here",
            where=folder,
            expected="a folder that `histoscribe map` wrote",
            fix="give the folder that was its --out",
        )
    record = read_json(path)
    found = record.get("format") if isinstance(record, dict) else None
    if found != FORMAT:
        raise ResultError(
            "this map was written by another version", where=path, expected=f"format {FORMAT}", found=found
        )
    try:
        return _rebuilt(folder, record)
    # a manifest proves that nothing changed since it was written, not that histoscribe wrote it
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ResultError(
            "this map does not say what a map says",
            where=path,
            found=f"{type(error).__name__}: {error}",
            fix="get the map again from whoever made it",
        ) from error


def _rebuilt(folder: Path, record: dict[str, Any]) -> StoredMap:
    spots, index = _read(folder, "spots"), _read(folder, "counts")
    n, t = len(spots), len(record["genes"])
    molecules, starts, indices = _read(folder, "molecules"), index[: n + 1], index[n + 1 :]
    require_compressed(molecules, indices, starts, shape=(n, t), where=folder / "counts.zarr", what="counts")
    counts = sparse.csr_matrix((molecules, indices, starts), shape=(n, t))
    factors = FactorMap(
        factors=_read(folder, "factors").astype(np.float32),
        loadings=_read(folder, "loadings"),
        level=_read(folder, "level"),
        link=record["link"],
        spread=_read(folder, "spread").astype(np.float32),
        interval=_read(folder, "interval"),
        evidence=record["evidence"],
        transfer={name: _read(folder, f"transfer_{name}") for name in record["transfer"]},
        latent=_read(folder, "latent").astype(np.float32) if (folder / "latent.zarr").is_dir() else None,
    )
    grid, cells = Grid(**_numbers(record["grid"])), _read(folder, "cells").astype(np.intp)
    footprint = record["footprint"]
    _numbers({name: value for name, value in footprint.items() if name != "shape"})
    if factors.loadings.shape != (factors.factors.shape[1], t) or factors.factors.shape[0] != len(cells):
        raise ValueError("its factors, loadings, genes and cells do not fit each other")
    if len(cells) and not (cells.min() >= 0 and cells.max() < grid.size):
        raise ValueError("its cells leave the raster")
    return StoredMap(
        section=record["section"],
        grid=grid,
        cells=cells,
        factors=factors,
        genes=tuple(record["genes"]),
        xy_px=spots[:, :2],
        counts=counts,
        library=spots[:, 2],
        facts=record["facts"],
        notes=tuple(str(note) for note in record.get("notes", ())),  # earlier versions kept none
        scores=_read_scores(folder),
        **footprint,
    )


def _numbers(values: dict[str, Any]) -> dict[str, Any]:
    """Return values that are all positive numbers; raises ValueError."""
    wrong = [name for name, value in values.items() if type(value) not in (int, float) or not 0 < value < math.inf]
    if wrong:
        raise ValueError(f"{wrong[0]} is {values[wrong[0]]!r}, no positive number")
    return values


def _read(folder: Path, name: str) -> NDArray[Any]:
    path = folder / f"{name}.zarr"
    array = arrays.open_array(path)
    require_size(math.prod(map(max, array.shape, array.chunks)) * array.dtype.itemsize, where=path)
    whole = all(
        arrays.chunk_is_sound(array, (k, *[0] * (array.ndim - 1))) for k in range(-(-array.shape[0] // array.chunks[0]))
    )
    if not whole:
        raise ResultError(
            "a part of the map is missing or damaged", where=path, fix="make the map again: histoscribe map"
        )
    return np.asarray(array[...])
