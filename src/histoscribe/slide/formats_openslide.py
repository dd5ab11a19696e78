"""SVS and the scanners' other formats, read through OpenSlide."""

from pathlib import Path
from typing import Any

import numpy as np

from histoscribe.errors import InputError
from histoscribe.slide.checks_slide import SlideTiles
from histoscribe.slide.checks_tiff import TiffLayout, check_layout, check_length
from histoscribe.slide.damage import Damage
from histoscribe.slide.image import RGB
from histoscribe.slide.sources import COPY_AGAIN, Samples, check_size, damaged, plausible_mpp
from histoscribe.slide.turns import AS_IT_IS

_RGBA = Samples("rgb", alpha="straight")
_CELL = 512
_OTHER_TIFFS = ("hamamatsu",)  # one huge JPEG a level, and offsets beyond what a TIFF can say


class OpenSlideSource:
    """Pixels of a slide that OpenSlide reads; OpenSlide is safe for several threads and bounds its own cache."""

    def __init__(self, path: Path, slide: Any, tiles: SlideTiles | None = None) -> None:
        self.turn = AS_IT_IS
        self.path = path
        self._slide = slide
        self._tiles = tiles

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of every level."""
        return tuple((height, width) for width, height in self._slide.level_dimensions)

    def read(self, x: int, y: int, width: int, height: int, level: int) -> RGB:
        """Window of a level; where the slide was not scanned it is white."""
        if level == 0:
            return self._region(x, y, width, height, 0)
        # OpenSlide addresses coarse levels by whole level-0 pixels and interpolates what falls between. Cells of a
        # fixed grid make a pixel's value independent of the window in which it is read.
        rows, columns = self.shapes[level]
        picture = np.empty((height, width, 3), np.uint8)
        for top in range(y // _CELL * _CELL, y + height, _CELL):
            for left in range(x // _CELL * _CELL, x + width, _CELL):
                cell = self._region(left, top, min(_CELL, columns - left), min(_CELL, rows - top), level)
                y0, y1 = max(y, top), min(y + height, top + cell.shape[0])
                x0, x1 = max(x, left), min(x + width, left + cell.shape[1])
                picture[y0 - y : y1 - y, x0 - x : x1 - x] = cell[y0 - top : y1 - top, x0 - left : x1 - left]
        return picture

    def inspect(self) -> None:
        """Check every tile."""
        if self._tiles is not None:
            for level, (height, width) in enumerate(self.shapes):
                self._tiles.check(0, 0, width, height, level)

    def _region(self, x: int, y: int, width: int, height: int, level: int) -> RGB:
        import openslide

        if self._tiles is not None:
            self._tiles.check(x, y, width, height, level)
        scale = self._slide.level_downsamples[level]
        try:
            region = self._slide.read_region((round(x * scale), round(y * scale)), level, (width, height))
        except openslide.OpenSlideError as error:
            raise damaged(self.path, "slide", error) from error
        return _RGBA.to_rgb(np.asarray(region))


def detect_vendor(path: Path) -> str | None:
    """Name of the scanner format that OpenSlide recognises, or None; plain TIFF is not a scanner format."""
    import openslide

    try:
        vendor: str | None = openslide.OpenSlide.detect_format(path)
    except openslide.OpenSlideError:
        return None
    return None if vendor == "generic-tiff" else vendor


def open_slide(path: Path, vendor: str, *, damage: Damage, is_tiff: bool) -> tuple[OpenSlideSource, dict[str, float]]:
    """Open a scanner's slide.

    Of slides that are TIFFs the directories are checked, and each JPEG tile before it is decoded, because OpenSlide
    passes over what is no error to its decoder. Other formats are as safe as OpenSlide makes them.

    Parameters
    ----------
    vendor
        The format's name, as `detect_vendor` gives it.
    is_tiff
        Whether the file's first bytes are a TIFF's.

    Returns
    -------
    The source, and the plausible microns per pixel that the file names.

    Raises
    ------
    InputError
        Where OpenSlide cannot open it.
    """
    import openslide

    is_tiff = is_tiff and vendor not in _OTHER_TIFFS
    layout = check_layout(path, met=damage.met) if is_tiff else TiffLayout()
    if vendor == "aperio":
        check_length(path, layout, met=damage.met)
    if layout.n_empty:
        damage.remarks.append(f"{layout.n_empty:,} tiles of the image hold no data; the scanner may have left them out")
    try:
        slide = openslide.OpenSlide(path)
    except openslide.OpenSlideError as error:
        raise InputError(
            f"this {vendor} slide cannot be opened",
            where=path,
            expected="a complete slide that OpenSlide reads, with the files or folder that belong to it",
            found=error,
            fix=COPY_AGAIN,
        ) from error
    width, height = slide.dimensions
    check_size(path, width, height)
    properties = slide.properties
    claims = {
        "slide scanner (OpenSlide mpp-x)": _number(properties.get(openslide.PROPERTY_NAME_MPP_X)),
        "Aperio description (MPP)": _number(properties.get("aperio.MPP")),
    }
    tiles = SlideTiles(path, slide.level_dimensions, damage) if is_tiff else None
    return OpenSlideSource(path, slide, tiles), plausible_mpp(claims)


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None
