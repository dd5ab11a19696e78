"""One strip or tile of a TIFF: read, checked, decoded."""

import struct
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from histoscribe.slide.checks_jpeg import jpeg_fault

# what tifffile and imagecodecs raise on data that they cannot make sense of
DECODING = (OSError, ValueError, RuntimeError, struct.error, LookupError, TypeError, ArithmeticError, AttributeError)

_LZW, _JPEG, _PACKBITS = 5, 7, 32773


def decode_piece(
    file: BinaryIO, page: Any, frame: Any, index: int, *, met: Callable[[str], None], is_checked: bool = False
) -> NDArray[Any] | None:
    """Decode a strip or tile, (rows, columns, s); None where it cannot be decoded and `met` let that pass.

    Parameters
    ----------
    page, frame
        tifffile's page that says how pieces are stored, and the one that lists this piece.
    met
        Called with each damage; raises where damage is not allowed.
    is_checked
        Whether this piece was checked before, and need not be again.
    """
    file.seek(frame.dataoffsets[index])
    data = file.read(frame.databytecounts[index])
    fault = None if is_checked else _fault(data, page, frame)
    if fault:
        met(fault)
    try:
        decoded = page.decode(data, index, jpegtables=frame.jpegtables, jpegheader=page.jpegheader)[0]
        piece: NDArray[Any] = decoded[0]  # (1, rows, columns, s) -> (rows, columns, s)
    except DECODING as error:
        met(str(error) or "data that cannot be decoded")
        return None
    return piece


def _fault(data: bytes, page: Any, frame: Any) -> str | None:
    """Say what the decoder would pass over: a JPEG's warnings, and more pixels than there is room for."""
    if page.compression == _JPEG and page.jpegheader is None:
        return jpeg_fault(data, tables=frame.jpegtables)
    if page.compression in (_LZW, _PACKBITS):
        import imagecodecs

        room = int(np.prod(page.chunks)) * page.dtype.itemsize
        decode = imagecodecs.lzw_decode if page.compression == _LZW else imagecodecs.packbits_decode
        try:
            n_bytes = len(decode(data))
        except RuntimeError as error:
            return str(error)
        if n_bytes > room:
            return f"{n_bytes:,} bytes of pixels where {room:,} belong"
    return None
