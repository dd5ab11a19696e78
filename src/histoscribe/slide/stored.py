"""Pixels of a SpatialData object: dask arrays, from a store or still to be computed, or arrays in memory."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError
from histoscribe.slide.image import RGB, ArraySource
from histoscribe.slide.sources import BoundedCache

# what zarr and its codecs raise on a chunk that does not decode to what the description says
_DAMAGE = (OSError, RuntimeError, ValueError, TypeError, KeyError)
_CACHE_BYTES = 128 * 2**20


class StoredSource(ArraySource):
    """Pixels of dask arrays, (3, height, width), computed chunk by chunk and each chunk once while it is kept.

    Without that every window would compute all that its chunks are made of again: for a coarse level of a pyramid that
    no store holds yet, large parts of the finest one.
    """

    def __init__(self, levels: Sequence[Any], *, where: Path | None = None) -> None:
        super().__init__(levels, channel_first=True)
        self.where = where
        self._cache = BoundedCache(_CACHE_BYTES)

    def read(self, x: int, y: int, width: int, height: int, level: int) -> RGB:
        """Window of a level; raises InputError where a chunk that it lies in is damaged."""
        array = self.levels[level]
        if isinstance(array, np.ndarray):
            return super().read(x, y, width, height, level)
        window = np.empty((height, width, 3), np.uint8)
        try:
            for row, top, bottom in _chunks(array.chunks[1], y, y + height):
                for column, left, right in _chunks(array.chunks[2], x, x + width):
                    piece = self._piece(level, row, column)  # (3, height, width)
                    above, before = max(y, top), max(x, left)
                    below, after = min(y + height, bottom), min(x + width, right)
                    part = piece[:, above - top : below - top, before - left : after - left]
                    window[above - y : below - y, before - x : after - x] = np.moveaxis(part, 0, 2)
        except _DAMAGE as error:
            raise InputError(
                "a part of the stored picture is damaged",
                where=self.where,
                found=f"{str(error)[:150]} in the window x={x}, y={y}, {width} x {height} of level {level}",
                fix="copy the store again; all files of the folder belong to it",
            ) from error
        return window

    def _piece(self, level: int, row: int, column: int) -> NDArray[Any]:
        key = (level, row, column)
        piece = self._cache.get(key)
        if piece is None:
            piece = np.asarray(self.levels[level].blocks[:, row, column])
            self._cache.put(key, piece)
        return piece


def _chunks(sizes: Sequence[int], start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Yield number, start and end of each chunk along an axis that overlaps a range."""
    ends = np.cumsum(sizes)
    for number in range(int(np.searchsorted(ends, start, side="right")), len(sizes)):
        end = int(ends[number])
        if end - sizes[number] >= stop:
            return
        yield number, end - sizes[number], end
