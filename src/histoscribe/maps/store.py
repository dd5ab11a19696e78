"""A map as files: factors, loadings and the spots' counts, so that any gene is decoded when it is asked for.

    map.json        grid, genes, unit of the factors, footprints, evidence
    factors.zarr    (cells, r) float16          loadings.zarr   (r, genes)       level.zarr, interval.zarr, spread.zarr
    cells.zarr      flat number of each cell    counts.zarr     the spots' counts, compressed sparse rows in one array
    scores.csv      how well left-out spots were foretold, gene by gene
    latent.zarr     (cells, d) float16 image embedding, of a mapper that has networks

All arrays carry checksums. Eighteen thousand genes cost what their loadings cost: megabytes.
"""

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
from histoscribe.store.files import read_json, write_bytes, write_json, writing_to

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
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
        Whatever else should be kept: fit for JSON.
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
            },
        )


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
        raise ResultError(f"unreadable ({error})", where=folder, mend="make the map again: histoscribe map") from error


def read_map(folder: Path) -> StoredMap:
    """Read what `write_map` wrote.

    Raises
    ------
    ResultError
        Where there is no map, it is of a later version, or a file is missing or damaged.
    """
    path = folder / "map.json"
    if not path.is_file():
        raise ResultError(
            "there is no map here",
            where=folder,
            expected="a folder that `histoscribe map` wrote",
            mend="give the folder that was its --out",
        )
    told = read_json(path)
    if told.get("format") != FORMAT:
        raise ResultError(
            "this map was written by another version", where=path, expected=f"format {FORMAT}", found=told.get("format")
        )
    spots, index = _read(folder, "spots"), _read(folder, "counts")
    n, t = len(spots), len(told["genes"])
    counts = sparse.csr_matrix((_read(folder, "molecules"), index[n + 1 :], index[: n + 1]), shape=(n, t))
    factors = FactorMap(
        factors=_read(folder, "factors").astype(np.float32),
        loadings=_read(folder, "loadings"),
        level=_read(folder, "level"),
        link=told["link"],
        spread=_read(folder, "spread").astype(np.float32),
        interval=_read(folder, "interval"),
        evidence=told["evidence"],
        transfer={name: _read(folder, f"transfer_{name}") for name in told["transfer"]},
        latent=_read(folder, "latent").astype(np.float32) if (folder / "latent.zarr").is_dir() else None,
    )
    return StoredMap(
        section=told["section"],
        grid=Grid(**told["grid"]),
        cells=_read(folder, "cells").astype(np.intp),
        factors=factors,
        genes=tuple(told["genes"]),
        xy_px=spots[:, :2],
        counts=counts,
        library=spots[:, 2],
        facts=told["facts"],
        scores=_read_scores(folder),
        **told["footprint"],
    )


def _read(folder: Path, name: str) -> NDArray[Any]:
    path = folder / f"{name}.zarr"
    array = arrays.open_array(path)
    whole = all(
        arrays.chunk_is_sound(array, (k, *[0] * (array.ndim - 1))) for k in range(-(-array.shape[0] // array.chunks[0]))
    )
    if not whole:
        raise ResultError(
            "a part of the map is missing or damaged", where=path, mend="make the map again: histoscribe map"
        )
    return np.asarray(array[...])
