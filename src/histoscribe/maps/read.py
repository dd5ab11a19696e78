"""Reading a map: any gene as a raster in microns, or as the mean under a footprint."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import ConfigError, InputError, listing, nearest
from histoscribe.maps.balance import Balance, make_balance
from histoscribe.maps.grid import Grid
from histoscribe.maps.store import StoredMap, read_map
from histoscribe.store.result import require_undamaged

if TYPE_CHECKING:
    import pandas as pd

Unit = Literal["counts", "per_10k", "log"]
UNITS = {
    "counts": "molecules per cell of the raster",
    "per_10k": "counts per 10,000 molecules",
    "log": "ln(1 + counts per 10,000 molecules)",
}
_KEPT = 64  # decoded genes


@dataclass(frozen=True)
class Maps:
    """Maps of the genes of one section.

    Parameters
    ----------
    stored
        What `read_map` gave.

    Notes
    -----
    A gene is decoded on request. In a balanced map the sum over each spot's footprint is the number of molecules
    counted there; a map that is not balanced is what the model expects, without the spots' sampling noise.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import histoscribe as hs
    >>> from histoscribe.phantom import write_spaceranger
    >>> outs = write_spaceranger(hs.make_phantom(7, size_um=500.0, mpp=1.0), Path("my_section"))
    >>> settings = hs.MapSettings(encoder="none")
    >>> done = hs.map_section("my_section", genes="top:1", um=32, out="maps", settings=settings)
    >>> maps = hs.read_maps("maps")
    >>> gene = maps.genes[0]
    >>> dict(maps.gene(gene).sizes)
    {'y': 16, 'x': 16}
    >>> counted = hs.read_section("my_section").spots[:, gene].X.toarray()[:, 0]
    >>> bool(np.allclose(maps.spot_sums(gene), counted, atol=0.1))
    True
    """

    stored: StoredMap

    @property
    def genes(self) -> tuple[str, ...]:
        """Names of the genes."""
        return self.stored.genes

    @property
    def grid(self) -> Grid:
        """Cells of the rasters."""
        return self.stored.grid

    @property
    def has_spots(self) -> bool:
        """Whether spots were measured on this section; not so on a slide that was mapped with another's model."""
        return len(self.stored.xy_px) > 0

    @property
    def evidence(self) -> dict[str, Any]:
        """What was chosen on held-out spots, and how well it did."""
        return dict(self.stored.factors.evidence)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was decided in reading the section, such as that a damaged picture was read."""
        return self.stored.notes

    @property
    def scores(self) -> "pd.DataFrame | None":
        """Scores gene by gene on held-out spots, beside baselines; see `maps.scores`. None without spots."""
        return self.stored.scores.get("spots")

    @property
    def bin_scores(self) -> "pd.DataFrame | None":
        """The same in the bins of Visium HD, where the map was made of spots summed from them; None otherwise."""
        return self.stored.scores.get("bins")

    def gene(self, name: str, *, unit: Unit | None = None, balanced: bool = True) -> Any:
        """Raster of one gene.

        Parameters
        ----------
        name
            One of `genes`.
        unit
            "counts" (molecules per cell of the raster), "per_10k" or "log" (`ln(1 + per_10k)`). "counts" where None,
            or "per_10k" on a slide without spots, where the number of molecules is not known.
        balanced
            Whether the sums under spots are brought to the spots' counts.

        Returns
        -------
        xarray.DataArray float32, dimensions y and x, coordinates of the cells' centres in microns from the picture's
        upper left corner; NaN off tissue.

        Raises
        ------
        InputError
            Where there is no such gene; the message lists the nearest names.
        """
        import xarray

        unit = self._checked(unit)
        values = self._in_unit(self._counts(name, balanced=balanced), unit)
        raster = self.grid.raster(values, self.stored.cells)
        attributes = {"unit": UNITS[unit], "section": self.stored.section, "um": self.grid.um, "balanced": balanced}
        coordinates = {"y": ("y", self.grid.y_um, {"unit": "um"}), "x": ("x", self.grid.x_um, {"unit": "um"})}
        return xarray.DataArray(raster, coordinates, ("y", "x"), name=name, attrs=attributes)

    def at(
        self,
        xy_px: NDArray[np.floating],
        name: str | Sequence[str],
        *,
        unit: Unit | None = None,
        balanced: bool = True,
        square_um: float | None = None,
    ) -> NDArray[np.float32]:
        """Mean over the footprint of a spot at given places.

        Parameters
        ----------
        xy_px
            (m, 2) centres, x before y, in level-0 pixels; or one, (2,).
        name
            A gene, or several.
        unit, balanced
            As of `gene`. "log" is the logarithm of the mean, as it is measured on a spot.
        square_um
            Side of a square bin to be used instead of the spots' own footprint: 2, 8 or 16 for Visium HD.

        Returns
        -------
        (m,) float32, or (m, k) for several genes; NaN where a footprint holds no tissue.

        Raises
        ------
        InputError
            Where a place lies off the picture, or there is no such gene.
        """
        unit = self._checked(unit)
        area = self.stored.areas(np.asarray(xy_px, np.float64).reshape(-1, 2), square_um=square_um)
        share = np.asarray(area.sum(axis=1)).ravel()
        total = np.where(share > 0, share, np.nan)
        library = area @ self._balance.depth
        names = [name] if isinstance(name, str) else list(name)
        columns = []
        for one in names:
            molecules = area @ self._counts(one, balanced=balanced)
            if unit == "counts":
                columns.append(molecules / total)
            else:
                per_10k = 1e4 * molecules / np.where(share > 0, library, np.nan)
                columns.append(np.log1p(per_10k) if unit == "log" else per_10k)
        values = np.column_stack(columns).astype(np.float32) if columns else np.empty((len(share), 0), np.float32)
        return np.asarray(values[:, 0] if isinstance(name, str) else values)

    def interval(self, xy_px: NDArray[np.floating], name: str) -> NDArray[np.float32]:
        """Where 90 % of measurements on spots that were not seen lie: (m, 2) float32, ln(1 + counts per 10,000).

        NaN where the map was made from too few spots.
        """
        xy = np.asarray(xy_px, np.float64).reshape(-1, 2)
        area = self.stored.areas(xy)
        share = np.asarray(area.sum(axis=1)).ravel()
        spread = (area @ self.stored.factors.spread) / np.where(share > 0, share, np.nan)
        middle = self.at(xy, name, unit="log", balanced=False)
        low, high = self.stored.factors.interval[:, self._column(name)]
        ends = np.column_stack([middle + spread * low, middle + spread * high])
        return np.asarray(np.maximum(ends, 0), np.float32)

    def spot_sums(self, name: str) -> NDArray[np.float64]:
        """Sum of the balanced map under each spot that it was made from, (n,), to compare with the spot's counts."""
        return np.asarray(self._balance.area @ self._counts(name, balanced=True).astype(np.float64))

    def to_anndata(self, names: Sequence[str], *, unit: Unit | None = None) -> Any:
        """Return the cells as AnnData: X (c, k) float32, `obsm["spatial"]` (c, 2) in level-0 pixels, factors.

        `obs` has the row and column of each cell, so that maps can be assigned to bins.
        """
        import anndata
        import pandas as pd

        unit = self._checked(unit)
        grid, cells = self.grid, self.stored.cells
        row, column = np.divmod(cells, grid.columns)
        values = np.column_stack([self._in_unit(self._counts(name), unit) for name in names])
        obs = pd.DataFrame(
            {"array_row": row, "array_col": column}, index=[f"{r}x{c}" for r, c in zip(row, column, strict=True)]
        )
        bins = anndata.AnnData(
            values.astype(np.float32), obs=obs, var=pd.DataFrame(index=pd.Index(list(names), dtype=object))
        )
        bins.obsm["spatial"] = grid.centres_um(cells) / grid.mpp
        bins.obsm["X_factors"] = self.stored.factors.factors
        bins.uns["histoscribe"] = {"section": self.stored.section, "um": grid.um, "mpp": grid.mpp, "unit": UNITS[unit]}
        return bins

    @cached_property
    def _balance(self) -> Balance:
        stored = self.stored
        if not self.has_spots:  # per 10,000, as the map is
            nothing = sparse.csr_matrix((0, len(stored.cells)))
            return Balance(nothing, np.full(len(stored.cells), 1e4, np.float32), nothing.T)
        return make_balance(
            stored.grid,
            stored.cells,
            stored.areas(stored.xy_px),
            xy_um=stored.xy_px * stored.grid.mpp,
            library=stored.library,
            pitch_um=stored.pitch_um,
        )

    def _counts(self, name: str, *, balanced: bool = True) -> NDArray[np.float32]:
        return self._decoded(self._column(name), balanced and self.has_spots)

    @cached_property
    def _decoded(self) -> Callable[[int, bool], NDArray[np.float32]]:
        """Decode by column, keeping the latest: writing and drawing ask for the same genes again."""
        return lru_cache(maxsize=_KEPT)(self._decode)

    def _decode(self, column: int, balanced: bool) -> NDArray[np.float32]:
        expected = self.stored.factors.per_10k([column])[:, 0]
        measured = self.stored.counts[:, [column]].toarray()[:, 0].astype(np.float64) if balanced else None
        return self._balance.counts(expected, measured)

    def _in_unit(self, counts: NDArray[np.float32], unit: Unit) -> NDArray[np.float32]:
        if unit == "counts":
            return counts
        per_10k = 1e4 * counts / self._balance.depth
        return np.asarray(np.log1p(per_10k) if unit == "log" else per_10k, np.float32)

    def _column(self, name: str) -> int:
        if name not in self._columns:
            raise InputError(
                f"there is no map of {name!r}", where=f"maps of {self.stored.section}", fix=nearest(name, self.genes)
            )
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, int]:
        return {gene: k for k, gene in enumerate(self.genes)}

    def _checked(self, unit: str | None) -> Unit:
        if unit is None:
            return "counts" if self.has_spots else "per_10k"
        if unit not in UNITS or (unit == "counts" and not self.has_spots):
            known = [name for name in UNITS if name != "counts" or self.has_spots]
            raise ConfigError("a map has no such unit", where="unit", expected=listing(known), found=unit)
        return cast("Unit", unit)


def read_maps(folder: Path | str) -> Maps:
    """Open the maps in the result of a section, as `histoscribe map` or `histoscribe run --map` wrote it.

    Parameters
    ----------
    folder
        The folder given as `out`.

    Raises
    ------
    ResultError
        Where there are no maps, or a file is missing or damaged.
    """
    names = ("maps", "cells") if (Path(folder) / "cells").is_dir() else ("maps",)
    return Maps(read_map(require_undamaged(Path(folder), "the map", names=names) / "maps"))
