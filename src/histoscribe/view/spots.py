"""Spots of a section: what is known of each, and which of them lies under every pixel of a tile."""

from dataclasses import dataclass
from functools import cached_property
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from histoscribe.errors import InputError, ResultError, nearest
from histoscribe.store.arrays import require_chunks
from histoscribe.view.genes import GeneCounts
from histoscribe.view.tiles import Window

if TYPE_CHECKING:
    import pandas as pd

# what lies under a pixel of a tile: a row of the table, and how much of the pixel that spot covers, 0 to 255
UNDER = np.dtype([("row", np.int32), ("cover", np.uint8)])
_LEAST_RADIUS_PX = 0.75  # of a tile's pixels: a spot is seen however far one zooms out
_AT_ONCE = 2_000_000  # pixels around spots that are looked at together


@dataclass(frozen=True, eq=False)
class Spots:
    """The table of a result.

    Parameters
    ----------
    obs
        Barcodes as index; `domain` and `confidence` where domains were found.
    xy_px
        (n, 2) centres, x before y, in level-0 pixels.
    genes
        (g,) names.
    counts
        Their counts; None where none were measured.
    radius_px
        Half the width of a spot, in level-0 pixels.
    squares
        Whether spots are bins that fill a lattice without gaps.
    """

    obs: "pd.DataFrame"
    xy_px: NDArray[np.float64]
    genes: tuple[str, ...]
    counts: GeneCounts | None
    radius_px: float
    squares: bool

    def __len__(self) -> int:
        return len(self.xy_px)

    @cached_property
    def domains(self) -> NDArray[np.int64] | None:
        """(n,) domain of each spot, 0 for none; None where no domains were found."""
        if "domain" not in self.obs:
            return None
        import pandas as pd

        return np.asarray(pd.to_numeric(self.obs["domain"].astype(object)).fillna(0), np.int64)

    @cached_property
    def totals(self) -> NDArray[np.float64]:
        """(n,) counts of each spot over all genes."""
        return np.zeros(len(self)) if self.counts is None else self.counts.totals()

    def gene(self, name: str, *, unit: str = "counts") -> NDArray[np.float32]:
        """Values of a measured gene, (n,): "counts", or "log", which is ln(1 + counts per 10,000).

        Raises
        ------
        InputError
            Where there is no such gene.
        """
        column = self._columns.get(name)
        if self.counts is None or column is None:
            raise InputError(f"no gene {name!r} was measured here", where="gene", fix=nearest(name, self.genes))
        counts = self.counts.column(column)
        if unit == "counts":
            return counts
        return np.asarray(np.log1p(1e4 * counts / np.maximum(self.totals, 1)), np.float32)

    def at(self, x: float, y: float) -> int | None:
        """Row of the spot that covers a place in level-0 pixels; None between spots."""
        distance, row = self._tree.query([x, y])
        reach = self.radius_px * (2**0.5 if self.squares else 1.0)
        if distance > reach:
            return None
        if self.squares and np.abs(self._step_to_lattice([[x, y]]) - self._lattice[row]).max() > 0.5:
            return None
        return int(row)

    def under(self, window: Window) -> NDArray[np.void] | None:
        """Which spot lies under each pixel of a tile; None where a tile has none.

        Returns
        -------
        (height, width) of the type `UNDER`; row 0 where nothing is covered.
        """
        found = self._bins_under(window) if self.squares else self._discs_under(window)
        return found if found["cover"].any() else None

    def _discs_under(self, window: Window) -> NDArray[np.void]:
        height, width = window.height, window.width
        centres = (self.xy_px - (window.x, window.y)) / window.scale - 0.5  # (n, 2) of the tile's pixels
        radius = max(_LEAST_RADIUS_PX, self.radius_px / window.scale)
        reach = ceil(radius + 0.5)
        near = np.flatnonzero(((centres > -reach - 1) & (centres < (width + reach, height + reach))).all(axis=1))
        out = np.zeros((height, width), UNDER)
        step = np.arange(-reach, reach + 1)
        block = max(1, _AT_ONCE // len(step) ** 2)
        for start in range(0, len(near), block):
            rows = near[start : start + block]
            middle = np.rint(centres[rows]).astype(np.intp)
            x, y = (middle[:, axis, None] + step for axis in (0, 1))  # (k, steps)
            off_x, off_y = (places - centres[rows, axis, None] for axis, places in ((0, x), (1, y)))
            distance = np.sqrt(off_y[:, :, None] ** 2 + off_x[:, None, :] ** 2)  # (k, steps, steps)
            covered = np.clip(radius + 0.5 - distance, 0, 1)  # the share of a pixel that an edge leaves inside
            covered *= ((y >= 0) & (y < height))[:, :, None] & ((x >= 0) & (x < width))[:, None, :]
            spot, row, column = np.nonzero(covered)
            place = y[spot, row], x[spot, column]
            out["row"][place] = rows[spot]
            out["cover"][place] = 255 * covered[spot, row, column]
        return out

    def _bins_under(self, window: Window) -> NDArray[np.void]:
        xs = window.x + (np.arange(window.width) + 0.5) * window.scale
        ys = window.y + (np.arange(window.height) + 0.5) * window.scale
        to_lattice, offset = self._affine
        place = xs[None, :, None] * to_lattice[0] + ys[:, None, None] * to_lattice[1] + offset  # (h, w, 2)
        column, row = (np.rint(place[..., axis]).astype(np.intp) - self._origin[axis] for axis in (0, 1))
        rows, columns = self._grid.shape
        inside = (row >= 0) & (row < rows) & (column >= 0) & (column < columns)
        found = np.where(inside, self._grid[np.where(inside, row, 0), np.where(inside, column, 0)], -1)
        out = np.zeros(found.shape, UNDER)
        out["row"], out["cover"] = np.maximum(found, 0), np.where(found >= 0, 255, 0)
        return out

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {gene: k for k, gene in enumerate(self.genes)}

    @cached_property
    def _tree(self) -> KDTree:
        return KDTree(self.xy_px)

    @cached_property
    def _lattice(self) -> NDArray[np.float64]:
        """(n, 2) column and row of each bin."""
        return self.obs[["array_col", "array_row"]].to_numpy(np.float64)

    @cached_property
    def _affine(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Matrix (2, 2) and offset (2,) from level-0 pixels to column and row of the lattice."""
        known = np.column_stack([self.xy_px, np.ones(len(self))])
        solved = np.asarray(np.linalg.lstsq(known, self._lattice, rcond=None)[0], np.float64)
        return solved[:2], solved[2]

    def _step_to_lattice(self, xy_px: Any) -> NDArray[np.float64]:
        to_lattice, offset = self._affine
        return np.asarray(np.asarray(xy_px, np.float64) @ to_lattice + offset)

    @cached_property
    def _origin(self) -> tuple[int, int]:
        column, row = self._lattice.min(axis=0).astype(int)
        return int(column), int(row)

    @cached_property
    def _grid(self) -> NDArray[np.int32]:
        """Row of the table at each place of the lattice, -1 where no bin is."""
        column, row = (self._lattice - self._origin).astype(np.intp).T
        grid = np.full((row.max() + 1, column.max() + 1), -1, np.int32)
        grid[row, column] = np.arange(len(self))
        return grid


def read_spots(table: Path, *, mpp: float) -> Spots:
    """Read the table of a section.zarr, all but its counts.

    Parameters
    ----------
    table
        The group `tables/table`.
    mpp
        Microns per level-0 pixel.

    Raises
    ------
    ResultError
        Where it does not say what the table of a result says.
    """
    import zarr
    from anndata.io import read_elem

    try:
        group = zarr.open_group(str(table), mode="r")
        for part in ("obs", "var", "obsm/spatial", "uns/histoscribe"):
            require_chunks(group[part])
        obs, xy_px = read_elem(group["obs"]), np.asarray(group["obsm/spatial"][:], np.float64)
        header = read_elem(group["uns/histoscribe"])
        genes = tuple(read_elem(group["var"]).index.astype(str))
        counts = GeneCounts(group["X"], n_spots=len(obs), n_genes=len(genes)) if genes else None
        across_um = float(header["spot_diameter_um"]) or float(header["pitch_um"])
        squares = str(header["lattice"]) == "square" and across_um >= float(header["pitch_um"])
        squares = squares and {"array_row", "array_col"} <= set(obs)
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError, OSError) as error:
        raise ResultError(
            "this table does not say what the table of a result says",
            where=table,
            found=f"{type(error).__name__}: {error}",
            fix="copy the result again, or make it again with the command that wrote it",
        ) from error
    if not across_um:  # spots placed anywhere, whose assay is not known
        from histoscribe.graph.spacing import pitch_of

        across_um = pitch_of(xy_px) * mpp / 2
    return Spots(obs, xy_px, genes, counts, across_um / mpp / 2, squares)
