"""Pixels of a zarr store: read window by window, so that a damaged chunk is met long after the store was opened."""

from dataclasses import dataclass
from pathlib import Path

from histoscribe.errors import InputError
from histoscribe.slide.image import RGB, ArraySource

# what zarr and its codecs raise on a chunk that does not decode to what the description says
_DAMAGE = (OSError, RuntimeError, ValueError, TypeError, KeyError)


@dataclass(frozen=True, slots=True)
class StoredSource(ArraySource):
    """Pixels of arrays in a store; `where` is its folder, for messages."""

    where: Path | None = None

    def read(self, x: int, y: int, width: int, height: int, level: int) -> RGB:
        """Window of a level; raises InputError where a chunk that it lies in is damaged."""
        try:
            return ArraySource.read(self, x, y, width, height, level)
        except _DAMAGE as error:
            raise InputError(
                "a part of the stored picture is damaged",
                where=self.where,
                found=f"{str(error)[:150]} in the window x={x}, y={y}, {width} x {height} of level {level}",
                fix="copy the store again; all files of the folder belong to it",
            ) from error
