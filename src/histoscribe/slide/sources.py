"""What all readers of pixels share: limits, errors, samples to RGB, plausible microns per pixel, a bounded cache."""

import math
import os
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, InputError

MIN_SIDE_PX = 32
MAX_SIDE_PX = 1_000_000
# a whole glass slide, 25 x 75 mm, at 0.1 um/px has 188 thousand million
MAX_GIGAPIXELS = 200
_MAX_VARIABLE = "HISTOSCRIBE_MAX_GIGAPIXELS"

# What can only be decoded in one piece (a JPEG, a PNG, one strip or tile of a TIFF) has to fit in memory: 3 GB of RGB.
MAX_PIECE_PX = 1_000_000_000

# Tissue never compresses 300 : 1 (a small section on a blank JPEG reaches 70 : 1); blank bombs reach 1,000 : 1.
BOMB_PX = 100_000_000
BOMB_RATIO = 300

# Light microscopes give 0.1 to 4 um/px and Visium's small pictures up to about 15; 72 dpi would be 353 um/px.
PLAUSIBLE_MPP = (0.05, 20.0)

SAVE_TILED = (
    "save it as a tiled TIFF (QuPath: File > Export images > OME-TIFF; or `vips tiffsave in out.tif --tile --bigtiff`)"
)
SAVE_RGB = "export the H&E picture as 8-bit RGB (Fiji: Image > Type > RGB Color), as TIFF, PNG or JPEG"
COPY_AGAIN = "copy or download the file again, or export it anew from the scanner's program"


def damaged(path: Path, kind: str, found: object) -> InputError:
    """Error for a file that ends early or cannot be decoded."""
    return InputError(
        "the image is damaged or incomplete",
        where=path,
        expected=f"a complete {kind} file",
        found=str(found).strip() or "data that cannot be decoded",
        fix=COPY_AGAIN,
    )


def check_size(path: Path, width: int, height: int) -> None:
    """Refuse pictures too small to show tissue, or larger than any slide; raises InputError."""
    if min(width, height) < MIN_SIDE_PX:
        raise InputError(
            "the image is too small to show tissue",
            where=path,
            expected=f"at least {MIN_SIDE_PX} x {MIN_SIDE_PX} pixels",
            found=f"{width:,} x {height:,} pixels",
            fix="give the section's full-resolution image, not an icon or a label",
        )
    check_extent(path, width, height)


def check_extent(path: Path | None, width: int, height: int) -> None:
    """Refuse pictures larger than any slide, or than HISTOSCRIBE_MAX_GIGAPIXELS if that is set; raises InputError."""
    most = _max_gigapixels()
    if max(width, height) > MAX_SIDE_PX or width * height > most * 1e9:
        raise InputError(
            "the image claims to be larger than any slide",
            where=path,
            expected=f"at most {MAX_SIDE_PX:,} pixels a side, and {most:g} thousand million pixels",
            found=f"{width:,} x {height:,} pixels",
            fix=f"{COPY_AGAIN}; if it is as large as that, set {_MAX_VARIABLE} to the thousand millions to allow",
        )


def _max_gigapixels() -> float:
    text = os.environ.get(_MAX_VARIABLE) or str(MAX_GIGAPIXELS)
    try:
        most = float(text)
    except ValueError:
        most = math.nan
    if not most > 0:
        raise ConfigError("must be a positive number", where=_MAX_VARIABLE, found=text, fix="for example 500")
    return most


def check_piece(path: Path, what: str, size: tuple[int, int], *, stored_bytes: int) -> None:
    """Refuse, before decoding, what could exhaust memory.

    Parameters
    ----------
    what
        "the PNG image", "one strip of the TIFF": what has to be decoded at once.
    size
        (width, height) that its header claims, in pixels.
    stored_bytes
        How many bytes it takes in the file.

    Raises
    ------
    InputError
        Over `MAX_PIECE_PX` pixels; or over `BOMB_PX` pixels from fewer than 1 byte in `BOMB_RATIO`.
    """
    pixels = size[0] * size[1]
    found = f"{size[0]:,} x {size[1]:,} pixels in {stored_bytes:,} bytes"
    if pixels > MAX_PIECE_PX:
        raise InputError(
            f"{what} is too large to be decoded in one piece",
            where=path,
            expected=f"at most {MAX_PIECE_PX:,} pixels, or a tiled file, which is read tile by tile at any size",
            found=found,
            fix=SAVE_TILED,
        )
    if pixels > BOMB_PX and 3 * pixels > BOMB_RATIO * stored_bytes:
        raise InputError(
            f"{what} is blank, incomplete or made to exhaust memory",
            where=path,
            expected=f"at least one stored byte for {BOMB_RATIO} decoded ones, as tissue has",
            found=found,
            fix=f"look at the picture; if it shows tissue, {SAVE_TILED}",
        )


def plausible_mpp(claims: dict[str, float | None]) -> dict[str, float]:
    """Keep those microns per pixel that a picture of tissue can have; printers' 72 or 300 dpi are no evidence."""
    low, high = PLAUSIBLE_MPP
    return {source: float(mpp) for source, mpp in claims.items() if mpp is not None and low <= mpp <= high}


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """How the numbers stored for a pixel make a colour.

    Parameters
    ----------
    model
        "grey", "inverted" (grey, 0 is white), "rgb", "cmyk" (255 is full ink) or "palette".
    bits
        Bits that carry the value: the range is 0 .. 2 ** bits - 1.
    alpha
        Whether the last sample is opacity, and whether the colours are already multiplied by it.
    palette
        (k, 3) uint8, for "palette".
    """

    model: Literal["grey", "inverted", "rgb", "cmyk", "palette"]
    bits: int = 8
    alpha: Literal["straight", "premultiplied"] | None = None
    palette: NDArray[np.uint8] | None = None

    def white(self) -> int:
        """Return the stored value that shows as white."""
        if self.model == "palette" and self.palette is not None:
            return int(self.palette.sum(axis=1).argmax())
        return 0 if self.model in ("inverted", "cmyk") else 2**self.bits - 1

    def to_rgb(self, stored: NDArray[Any]) -> NDArray[np.uint8]:
        """Colours of stored samples, (h, w, s) integers -> (h, w, 3) uint8.

        More than 8 bits keep their upper 8: `value >> (bits - 8)`, so that 8-bit pictures stored as 16 bits come back
        exactly, whether they were widened by 256 or by 257. What is transparent becomes white, as on a light table.
        """
        if self.model == "palette" and self.palette is not None:
            colours: NDArray[np.uint8] = self.palette[stored[..., 0]]
            return colours
        if self.bits > 8:
            stored = np.minimum(stored >> (self.bits - 8), 255)
        stored = stored.astype(np.uint8, copy=False)
        colour = stored[..., :-1] if self.alpha else stored
        if self.model == "inverted":
            colour = 255 - colour
        if self.model == "cmyk":
            light = 255 - colour.astype(np.uint16)
            colour = ((light[..., :3] * light[..., 3:] + 127) // 255).astype(np.uint8)
        if self.alpha:
            colour = _on_white(colour, stored[..., -1:], premultiplied=self.alpha == "premultiplied")
        return np.repeat(colour, 3, axis=2) if colour.shape[2] == 1 else colour


def _on_white(
    colour: NDArray[np.uint8], opacity: NDArray[np.uint8], *, premultiplied: bool = False
) -> NDArray[np.uint8]:
    """Composite (h, w, s) on white by opacity (h, w, 1)."""
    if opacity.min(initial=255) == 255:
        return colour
    through = 255 - opacity.astype(np.uint16)
    if premultiplied:
        mixed = np.minimum(colour + through, 255)
    else:
        mixed = (colour.astype(np.uint16) * opacity + 255 * through + 127) // 255
    white: NDArray[np.uint8] = mixed.astype(np.uint8)
    return white


def refuse_dark_16_bit(path: Path, brightest: int) -> None:
    """Refuse 16-bit pictures that use fewer bits without declaring it; raises InputError.

    Bright-field tissue always has pixels near the top of its range. If none reaches 4,096, a 12-bit camera's values
    were stored as they came, and scaling them by 65,535 would show a black picture.
    """
    if brightest < 4096:
        raise InputError(
            "the range of this 16-bit image is not known",
            where=path,
            expected="values that reach towards 65,535, or a TIFF that declares its significant bits",
            found=f"no value above {brightest:,}, as from a camera of 12 bits or fewer",
            fix=SAVE_RGB,
        )


class BoundedCache:
    """Decoded pieces, least recently used dropped first; safe for several threads.

    The newest piece is always kept, however large, so that a picture of one strip is decoded once.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.n_bytes = 0
        self._pieces: OrderedDict[Hashable, NDArray[Any]] = OrderedDict()
        self._lock = Lock()

    def get(self, key: Hashable) -> NDArray[Any] | None:
        """Return the piece, or None."""
        with self._lock:
            piece = self._pieces.get(key)
            if piece is not None:
                self._pieces.move_to_end(key)
            return piece

    def put(self, key: Hashable, piece: NDArray[Any]) -> None:
        """Keep a piece and drop the oldest ones beyond the bound."""
        with self._lock:
            if key in self._pieces:
                return
            self._pieces[key] = piece
            self.n_bytes += piece.nbytes
            while self.n_bytes > self.max_bytes and len(self._pieces) > 1:
                self.n_bytes -= self._pieces.popitem(last=False)[1].nbytes

    def made(self, key: Hashable, make: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return the piece, made now where it is not kept."""
        piece = self.get(key)
        if piece is None:
            piece = make()
            self.put(key, piece)
        return piece
