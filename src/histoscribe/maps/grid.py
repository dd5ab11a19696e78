"""The raster that a map is drawn on: square cells over the whole picture, and which of them are tissue."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, InputError
from histoscribe.slide.image import SlideImage
from histoscribe.slide.tissue import TissueMask

Float = NDArray[np.float64]

_MOST_CELLS = 40_000_000


@dataclass(frozen=True, slots=True)
class Grid:
    """Square cells from the picture's upper left corner; the last row and column may reach beyond the picture.

    Parameters
    ----------
    rows, columns
        Number of cells.
    um
        Side of a cell in microns.
    mpp
        Microns per level-0 pixel.
    """

    rows: int
    columns: int
    um: float
    mpp: float

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rows, self.columns

    @property
    def size(self) -> int:
        """Number of cells."""
        return self.rows * self.columns

    @property
    def cell_px(self) -> float:
        """Side of a cell in level-0 pixels."""
        return self.um / self.mpp

    @property
    def x_um(self) -> Float:
        """Centres of the columns in microns, (columns,)."""
        return np.asarray((np.arange(self.columns) + 0.5) * self.um, np.float64)

    @property
    def y_um(self) -> Float:
        """Centres of the rows in microns, (rows,)."""
        return np.asarray((np.arange(self.rows) + 0.5) * self.um, np.float64)

    def centres_um(self, cells: NDArray[np.intp] | None = None) -> Float:
        """Centres of cells given by their flat number, of all where None: (c, 2), x before y, in microns."""
        cells = np.arange(self.size) if cells is None else cells
        row, column = np.divmod(cells, self.columns)
        return (np.column_stack([column, row]) + 0.5) * self.um

    def raster(
        self, values: NDArray[np.generic], cells: NDArray[np.intp], *, fill: float = np.nan
    ) -> NDArray[np.float32]:
        """Lay values of some cells, (c,) or (c, k), on the grid: (rows, columns) or (rows, columns, k) float32."""
        whole = np.full((self.size, *values.shape[1:]), fill, np.float32)
        whole[cells] = values
        return whole.reshape(self.rows, self.columns, *values.shape[1:])


def make_grid(image: SlideImage, *, um: float) -> Grid:
    """Grid of cells of `um` microns over a picture.

    Raises
    ------
    ConfigError
        Where the cells are not of positive size, larger than the picture, or too many.
    InputError
        Where the picture has no microns per pixel.
    """
    if image.mpp is None:
        raise InputError("the image has no microns per pixel", where=image.path, fix="give `mpp`")
    height, width = (side * image.mpp for side in image.shape)
    if not (np.isfinite(um) and 0 < um <= min(height, width)):
        raise ConfigError(
            "a map's cells must be of positive size and smaller than the picture",
            where="um",
            expected=f"above 0 and at most {min(height, width):.0f} um",
            found=um,
        )
    rows, columns = (max(1, int(np.ceil(side / um - 1e-6))) for side in (height, width))
    if rows * columns > _MOST_CELLS:
        raise ConfigError(
            f"a map of {rows:,} x {columns:,} cells is too large",
            where="um",
            expected=f"at most {_MOST_CELLS:,} cells",
            fix=f"ask for larger cells, --um {um * (rows * columns / _MOST_CELLS) ** 0.5:.2g} or more",
        )
    return Grid(rows, columns, float(um), image.mpp)


def tissue_cells(grid: Grid, mask: TissueMask, *, where: str) -> NDArray[np.intp]:
    """Flat numbers of the cells with their centre on tissue, ascending.

    Raises
    ------
    InputError
        Where no cell is tissue.
    """
    found = np.zeros(grid.size, bool)
    band = max(1, 1_000_000 // grid.columns)
    for start in range(0, grid.rows, band):
        cells = np.arange(start * grid.columns, min(start + band, grid.rows) * grid.columns)
        found[cells] = mask.at(grid.centres_um(cells) / grid.mpp)
    if not found.any():
        raise InputError(
            "no tissue was found on the picture, so there is nothing to map",
            where=where,
            expected="a stained section on a plain background",
            fix="look at the picture; check that it is the H&E and not a mask or a blank overview",
        )
    return np.flatnonzero(found)
