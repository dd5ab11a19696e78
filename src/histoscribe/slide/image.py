"""A section's picture as a lazy RGB pyramid: the one interface between readers and users of pixels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError
from histoscribe.slide.sources import check_extent
from histoscribe.slide.turns import AS_IT_IS, Turn

RGB = NDArray[np.uint8]


class PixelSource(Protocol):
    """What a file format offers: the size of each level and a window of it."""

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of every level, level 0 first and largest."""

    def read(self, x: int, y: int, width: int, height: int, level: int) -> RGB:
        """Window with its upper left corner at (x, y), all in pixels of `level`; (height, width, 3) uint8."""


class ArraySource:
    """Pixels of arrays that can be sliced: NumPy in memory, zarr or dask on disk.

    Parameters
    ----------
    levels
        One array per level, (height, width, 3), or (3, height, width) where `channel_first`; uint8.
    """

    def __init__(self, levels: Sequence[Any], *, channel_first: bool = False) -> None:
        self.levels = levels
        self.channel_first = channel_first

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of every level."""
        axes = (1, 2) if self.channel_first else (0, 1)
        return tuple((int(a.shape[axes[0]]), int(a.shape[axes[1]])) for a in self.levels)

    def read(self, x: int, y: int, width: int, height: int, level: int) -> RGB:
        """Window of a level; computes nothing outside it."""
        array, rows, columns = self.levels[level], slice(y, y + height), slice(x, x + width)
        if self.channel_first:
            return np.moveaxis(np.asarray(array[:, rows, columns]), 0, 2)
        return np.asarray(array[rows, columns])


@dataclass(frozen=True, slots=True)
class SlideImage:
    """A lazy RGB picture of a section; the whole of it is never held in memory by its users.

    Parameters
    ----------
    source
        Where the pixels come from.
    mpp
        Microns per pixel at level 0; None while unknown.
    path
        File that was opened, for messages and hashes; None for arrays.
    mpp_by_source
        What each source in the file says of microns per pixel: {"tiff XResolution": 0.5}.
    notes
        What a user should know of the file: damage that was allowed, tiles that hold nothing.
    turn
        What was done to the pixels as they are stored, because the file's tag Orientation asks for it.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe import SlideImage
    >>> from histoscribe.slide.image import ArraySource
    >>> pixels = np.full((600, 400, 3), 230, np.uint8)
    >>> image = SlideImage(ArraySource([pixels, pixels[::4, ::4]]), mpp=0.5)
    >>> image.shape, image.n_levels, image.downsample(1)
    ((600, 400), 2, 4.0)
    >>> image.read(10, 20, width=64, height=32).shape
    (32, 64, 3)
    >>> picture, downsample = image.overview(max_side=100)
    >>> picture.shape, downsample
    ((75, 50, 3), 8.0)
    """

    source: PixelSource
    mpp: float | None = None
    path: Path | None = None
    mpp_by_source: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    turn: Turn = AS_IT_IS

    def __post_init__(self) -> None:
        """Refuse what claims to be larger than any slide, wherever its pixels come from; raises InputError."""
        check_extent(self.path, self.width, self.height)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels of level 0."""
        return self.source.shapes[0]

    @property
    def width(self) -> int:
        """Columns of level 0."""
        return self.shape[1]

    @property
    def height(self) -> int:
        """Rows of level 0."""
        return self.shape[0]

    @property
    def n_levels(self) -> int:
        """Number of levels of the pyramid."""
        return len(self.source.shapes)

    def downsample(self, level: int) -> float:
        """How many level-0 pixels one pixel of `level` spans.

        Pyramids are halved by whole factors and the odd last row or column is dropped or kept, so a level of 4,637
        columns under 9,275 is a half exactly, not 1 / 2.0002. Where no whole factor fits it is the ratio of widths.
        """
        rows, columns = self.source.shapes[level]
        ratio = self.width / columns
        whole = round(ratio)
        fits = columns in (self.width // whole, -(-self.width // whole))
        fits = fits and rows in (self.height // whole, -(-self.height // whole))
        return float(whole) if fits else ratio

    def read(self, x: int, y: int, width: int, height: int, level: int = 0) -> RGB:
        """Read a window that lies inside the picture.

        Parameters
        ----------
        x, y
            Column and row of its upper left corner, in pixels of `level`.
        width, height
            Its size, in pixels of `level`.

        Returns
        -------
        (height, width, 3) uint8, RGB.
        """
        rows, columns = self.source.shapes[level]
        if x < 0 or y < 0 or width < 1 or height < 1 or x + width > columns or y + height > rows:
            raise InputError(
                f"the window x={x}, y={y}, {width} x {height} leaves level {level} of the image",
                where=self.path,
                expected=f"a window inside {columns} x {rows} pixels",
            )
        return self.source.read(x, y, width, height, level)

    def overview(self, max_side: int = 2048, block: int = 4096) -> tuple[RGB, float]:
        """Whole picture, averaged down block by block so that its longer side has at most `max_side` pixels.

        Returns
        -------
        (h, w, 3) uint8 and the number of level-0 pixels that one of its pixels spans.
        """
        factor = max(1, -(-max(self.shape) // max_side))
        fitting = [k for k in range(self.n_levels) if self.downsample(k) <= factor]
        level = max(fitting, key=self.downsample)
        rows, columns = self.source.shapes[level]
        step = min(ceil(factor / self.downsample(level) - 1e-6), rows, columns)
        block = max(step, block // step * step)
        picture = np.empty((rows // step, columns // step, 3), np.uint8)
        for y in range(0, picture.shape[0] * step, block):
            for x in range(0, picture.shape[1] * step, block):
                height, width = min(block, picture.shape[0] * step - y), min(block, picture.shape[1] * step - x)
                pixels = self.read(x, y, width, height, level)  # (height, width, 3)
                if step > 1:
                    pixels = _mean_pool(pixels, step)
                picture[y // step : y // step + pixels.shape[0], x // step : x // step + pixels.shape[1]] = pixels
        return picture, self.downsample(level) * step

    def to_dask(self, chunk: int = 1024) -> Any:
        """Level 0 as a lazy dask array, (3, height, width) uint8, for SpatialData."""
        import dask.array as da

        def load(block_info: Any = None) -> RGB:
            (_, (y0, y1), (x0, x1)) = block_info[None]["array-location"]
            return np.ascontiguousarray(np.moveaxis(self.read(x0, y0, x1 - x0, y1 - y0), 2, 0))

        pieces = [tuple(min(chunk, side - start) for start in range(0, side, chunk)) for side in self.shape]
        reader: Callable[..., RGB] = load
        return da.map_blocks(reader, chunks=((3,), *pieces), dtype=np.uint8, meta=np.empty((0, 0, 0), np.uint8))


def _mean_pool(pixels: RGB, step: int) -> RGB:
    height, width = pixels.shape[0] // step, pixels.shape[1] // step
    total = np.zeros((height, width, 3), np.uint32)
    for dy in range(step):
        for dx in range(step):
            total += pixels[dy : height * step : step, dx : width * step : step]
    return ((total + step * step // 2) // (step * step)).astype(np.uint8)
