"""Picture pyramids of a result: windows cut from chunks that are decoded once and kept, up to a bound in bytes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ResultError
from histoscribe.slide.sources import BoundedCache
from histoscribe.store import arrays
from histoscribe.store.files import read_json


@dataclass(frozen=True, slots=True, eq=False)
class ChunkedSource:
    """Pixels of a multi-scale element of SpatialData, a `PixelSource` where it has colours.

    Parameters
    ----------
    levels
        zarr arrays, (3, height, width) uint8 for a picture or (height, width) for labels; level 0 first.
    scales
        Level-0 pixels of the slide that one pixel of each level spans.
    mpp
        Microns per level-0 pixel of the slide, or None where the element does not say.
    cache
        Where decoded chunks are kept; shared by everything that is open.
    """

    levels: Sequence[Any]
    scales: tuple[float, ...]
    mpp: float | None
    cache: BoundedCache

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of every level."""
        return tuple((int(array.shape[-2]), int(array.shape[-1])) for array in self.levels)

    def read(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[Any]:
        """Window of a level, colours last: (height, width, 3), or (height, width) for labels; raises ResultError."""
        array = self.levels[level]
        (tall, wide), colours = array.chunks[-2:], array.ndim - 2
        out = np.empty((*array.shape[:colours], height, width), array.dtype)
        for row in range(y // tall, (y + height - 1) // tall + 1):
            for column in range(x // wide, (x + width - 1) // wide + 1):
                chunk = self._chunk(level, (*[0] * colours, row, column))
                top, left = row * tall, column * wide
                y0, y1 = max(y, top), min(y + height, top + chunk.shape[-2])
                x0, x1 = max(x, left), min(x + width, left + chunk.shape[-1])
                out[..., y0 - y : y1 - y, x0 - x : x1 - x] = chunk[..., y0 - top : y1 - top, x0 - left : x1 - left]
        return np.moveaxis(out, 0, 2) if colours else out

    def level_for(self, scale: float) -> int:
        """Coarsest level that still has a pixel for each of `scale` level-0 pixels."""
        fitting = [k for k, spanned in enumerate(self.scales) if spanned <= scale * (1 + 1e-6)]
        return max(fitting, key=lambda k: self.scales[k], default=0)

    def _chunk(self, level: int, index: tuple[int, ...]) -> NDArray[Any]:
        array = self.levels[level]
        return self.cache.made((id(self), level, index), lambda: arrays.read_chunk(array, index))


def open_pyramid(folder: Path, cache: BoundedCache) -> ChunkedSource:
    """Open a picture or labels as SpatialData writes them.

    Raises
    ------
    ResultError
        Where the element is missing or does not say what an element says.
    """
    path = folder / "zarr.json"
    try:
        described = read_json(path)["attributes"]["ome"]["multiscales"][0]
        steps = [one["coordinateTransformations"][0]["scale"][-1] for one in described["datasets"]]
        whole = {one["output"]["name"]: one.get("scale", [1.0])[-1] for one in described["coordinateTransformations"]}
        levels = [arrays.open_array(folder / one["path"]) for one in described["datasets"]]
        px = float(whole["global"])
        mpp = float(whole["um"]) / px if "um" in whole else None
        return ChunkedSource(levels, tuple(px * float(step) for step in steps), mpp, cache)
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise ResultError(
            "this picture does not say what a picture of a result says",
            where=path,
            found=f"{type(error).__name__}: {error}",
            fix="copy the result again, or make it again with the command that wrote it",
        ) from error
