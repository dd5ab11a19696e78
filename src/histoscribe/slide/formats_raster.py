"""JPEG and PNG: files that cannot be decoded in windows, so they are decoded once, at the first read."""

import struct
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError
from histoscribe.slide.checks_jpeg import jpeg_fault
from histoscribe.slide.checks_png import png_fault
from histoscribe.slide.damage import Damage
from histoscribe.slide.image import RGB
from histoscribe.slide.sources import Samples, check_piece, check_size, damaged, plausible_mpp, refuse_dark_16_bit
from histoscribe.slide.turns import AS_IT_IS, ORIENTATION, UPRIGHT, Turn

# what Pillow and imagecodecs raise on data that they cannot make sense of
_DECODING = (OSError, SyntaxError, ValueError, RuntimeError, struct.error, IndexError, OverflowError)

_BAND_ROWS = 512

_PNG_SAMPLES: dict[int, Samples] = {
    1: Samples("grey"),
    2: Samples("grey", alpha="straight"),
    3: Samples("rgb"),
    4: Samples("rgb", alpha="straight"),
}


class RasterSource:
    """Pixels of a JPEG or PNG file, (height, width, 3) uint8 in memory from the first read on."""

    def __init__(self, damage: Damage, *, size: tuple[int, int], mode: str, turn: Turn = AS_IT_IS) -> None:
        self.turn = turn
        self.path = damage.path
        self.kind = damage.kind
        self._damage = damage
        self._size = size
        self._mode = mode
        self._pixels: RGB | None = None
        self._lock = Lock()

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of the only level."""
        return ((self._size[1], self._size[0]),)

    def read(self, x: int, y: int, width: int, height: int, level: int) -> RGB:
        """Window; the first call decodes the file. Raises InputError where the file is damaged."""
        with self._lock:
            if self._pixels is None:
                self._pixels = self._decode()
                self._pixels.flags.writeable = False  # windows are views: nobody may change the picture for others
        return self._pixels[y : y + height, x : x + width]

    def inspect(self) -> None:
        """Decode the file, which checks it whole."""
        self.read(0, 0, 1, 1, 0)

    def _decode(self) -> RGB:
        import imagecodecs

        try:
            stored = self.path.read_bytes()
            if self.kind == "PNG":
                self._met(png_fault(stored))
                pixels = imagecodecs.png_decode(stored)
            else:
                self._met(jpeg_fault(stored))
                pixels = _decode_cmyk(stored) if self._mode == "CMYK" else imagecodecs.jpeg8_decode(stored)
        except InputError:
            raise
        except _DECODING as error:
            raise damaged(self.path, self.kind, error) from error
        if pixels.shape[:2] != self.shapes[0]:
            raise damaged(self.path, self.kind, f"the header says {self.shapes[0]}, the data hold {pixels.shape[:2]}")
        return self._to_rgb(pixels if pixels.ndim == 3 else pixels[..., None])

    def _met(self, fault: str | None) -> None:
        if fault:
            self._damage.met(fault)

    def _to_rgb(self, pixels: NDArray[Any]) -> RGB:
        samples = _PNG_SAMPLES[pixels.shape[2]]
        if pixels.dtype == np.uint16:
            refuse_dark_16_bit(self.path, int(pixels.max()))
            samples = Samples(samples.model, 16, samples.alpha)
        elif samples.model == "rgb" and not samples.alpha:
            return pixels
        picture = np.empty((*pixels.shape[:2], 3), np.uint8)
        for y in range(0, len(pixels), _BAND_ROWS):  # in bands: a wide copy of the whole picture may not fit in memory
            picture[y : y + _BAND_ROWS] = samples.to_rgb(pixels[y : y + _BAND_ROWS])
        return picture


def open_raster(path: Path, damage: Damage) -> tuple[RasterSource, dict[str, float]]:
    """Read the header of a JPEG or PNG file.

    Parameters
    ----------
    damage
        Of a "JPEG" or "PNG", as the file's first bytes say.

    Returns
    -------
    The source, and the plausible microns per pixel of its resolution tag.

    Raises
    ------
    InputError
        Where the header is damaged, or the picture too small or too large to be decoded in one piece.
    """
    from PIL.JpegImagePlugin import JpegImageFile
    from PIL.PngImagePlugin import PngImageFile

    kind = damage.kind
    # Made directly: Image.open would apply Pillow's process-wide limit on pixels, which is not ours to change.
    reader = PngImageFile if kind == "PNG" else JpegImageFile
    try:
        with path.open("rb") as file, reader(file) as header:
            (width, height), mode, dpi = header.size, header.mode, header.info.get("dpi")
            turn = _turn_of(header.info.get("exif"))
    except _DECODING as error:
        raise damaged(path, kind, error) from error
    check_size(path, width, height)
    check_piece(path, f"the {kind} image", (width, height), stored_bytes=path.stat().st_size)
    claims = {f"{kind} resolution tag": _mpp_of_dpi(dpi)}
    return RasterSource(damage, size=(width, height), mode=mode, turn=turn), plausible_mpp(claims)


def _turn_of(exif: bytes | None) -> Turn:
    """Return what a block of EXIF asks for; one that cannot be read asks for nothing."""
    from PIL.Image import Exif

    block = Exif()  # a picture's own `getexif` would decode a PNG whole, in search of a late block
    try:
        block.load(exif or b"")
        return UPRIGHT.get(block.get(ORIENTATION, 1), AS_IT_IS)
    except _DECODING:
        return AS_IT_IS


def _mpp_of_dpi(dpi: Any) -> float | None:
    """Microns per pixel from (x, y) dots per inch; None where it is absent or the pixels are not square."""
    x, y = (float(value) for value in dpi or (0, 0))
    return 25_400 / x if x > 0 and y > 0 and abs(x / y - 1) <= 0.05 else None


def _decode_cmyk(stored: bytes) -> RGB:
    """Decode a CMYK or YCCK JPEG; Pillow knows Adobe's inverted inks and refuses cut files."""
    from io import BytesIO

    from PIL.JpegImagePlugin import JpegImageFile

    with JpegImageFile(BytesIO(stored)) as image:
        image.load()
        picture = np.empty((image.height, image.width, 3), np.uint8)
        for y in range(0, image.height, _BAND_ROWS):
            band = image.crop((0, y, image.width, min(image.height, y + _BAND_ROWS)))
            picture[y : y + _BAND_ROWS] = np.asarray(band.convert("RGB"))
    return picture
