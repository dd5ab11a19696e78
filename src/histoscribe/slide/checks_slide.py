"""JPEG tiles of a scanner's slide, checked before OpenSlide decodes them: it says nothing of damage to them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from histoscribe.slide.checks_jpeg import jpeg_fault
from histoscribe.slide.damage import Damage

_JPEG = 7


class SlideTiles:
    """The tiles of a slide's levels; each is checked once, when it is first read."""

    def __init__(self, path: Path, sizes: Sequence[tuple[int, int]], damage: Damage) -> None:
        from tifffile import TiffFile

        self._path = path
        self._damage = damage
        self._whole: set[tuple[int, int]] = set()
        with TiffFile(path) as tif:
            pages = {(page.imagewidth, page.imagelength): page for page in tif.pages if _is_checked(page)}
        self._pages: list[Any] = [pages.get((width, height)) for width, height in sizes]

    def check(self, x: int, y: int, width: int, height: int, level: int) -> None:
        """Check the tiles under a window; raises InputError where one is damaged and that is not allowed."""
        page = self._pages[level]
        if page is None:
            return
        rows, columns = page.tilelength, page.tilewidth
        across, down = -(-page.imagewidth // columns), -(-page.imagelength // rows)
        # one pixel more: coarse levels are interpolated
        touched = [
            row * across + column
            for row in range(max(0, y - 1) // rows, min(down, -(-(y + height + 1) // rows)))
            for column in range(max(0, x - 1) // columns, min(across, -(-(x + width + 1) // columns)))
        ]
        todo = [index for index in touched if (level, index) not in self._whole and page.databytecounts[index]]
        if not todo:
            return
        with self._path.open("rb") as file:
            for index in todo:
                file.seek(page.dataoffsets[index])
                fault = jpeg_fault(file.read(page.databytecounts[index]), tables=page.jpegtables)
                if fault:
                    place = f"x={index % across * columns:,}, y={index // across * rows:,} of level {level}"
                    self._damage.met(f"the tile at {place}: {fault}")
                self._whole.add((level, index))


def _is_checked(page: Any) -> bool:
    return bool(page.is_tiled and page.compression == _JPEG and page.jpegheader is None)
