"""Whether a JPEG is whole.

JPEG has no checksums. A decoder recognises missing, moved and surplus bytes by data that end too early or too late;
most decoders fill the gap and say nothing. A gap also shifts the brightness of all that follows, at times beyond white.
Damage that keeps the data's length and brightness, such as a changed coefficient, cannot be found.
"""

import struct
from collections.abc import Iterator

import numpy as np

_ALONE = frozenset((0x01, *range(0xD0, 0xD9)))  # markers without a segment
_TABLES_Q, _TABLES_H, _SCAN, _END = 0xDB, 0xC4, 0xDA, 0xD9
_FRAMES = frozenset((0xC0, 0xC1, 0xC2))

# A block of white has 127 x 8; mozjpeg goes 31 grey levels beyond white to draw sharp edges, nobody goes further.
_BRIGHTEST = 1_300


def jpeg_fault(stored: bytes, *, tables: bytes | None = None) -> str | None:
    """Say why a JPEG of 8 bits is not whole, or None.

    It is decoded to an eighth of its sides, which takes a third of the time of decoding.

    Parameters
    ----------
    tables
        Tables that the JPEG needs and does not hold, as a JPEG without a picture (the tag JPEGTables of a TIFF).
    """
    import simplejpeg

    if tables:
        stored = tables[: tables.rfind(b"\xff\xd9")] + stored[2:]
    segments = list(_segments(stored))
    if not segments or segments[-1][0] != _SCAN:
        return f"no picture follows its header, in {len(stored):,} bytes"
    fault = _table_fault(stored, segments)
    if fault:
        return fault
    try:
        colours = simplejpeg.decode_jpeg_header(stored)[2]
        inks = colours in ("CMYK", "YCCK")
        dimmed, share = (stored, 1.0) if inks or colours == "RGB" else _dimmed(stored, segments)
        small = simplejpeg.decode_jpeg(
            dimmed, colorspace="CMYK" if inks else "GRAY", min_height=1, min_width=1, strict=True
        )
    except ValueError as error:
        return str(error)
    # (h, w, 1), 128 is the middle
    if share < 1 and np.abs(small.astype(np.int16) - 128).max() * 8 > _BRIGHTEST * share:
        return "parts of it are brighter than white or darker than black, as behind a gap"
    return None


def _segments(stored: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of what each segment holds, up to the first scan; ends where no segment begins."""
    at = 2
    while at + 4 <= len(stored) and stored[at] == 0xFF:
        marker = stored[at + 1]
        if marker == 0xFF or marker in _ALONE:
            at += 1 if marker == 0xFF else 2
            continue
        if marker == _END:
            return
        end = at + 2 + struct.unpack_from(">H", stored, at + 2)[0]
        yield marker, at + 4, end
        if marker == _SCAN:
            return
        at = end


def _table_fault(stored: bytes, segments: list[tuple[int, int, int]]) -> str | None:
    """Say what is wrong with the tables before the first scan; decoders take tables with zeros in them."""
    for marker, start, end in segments:
        if marker == _TABLES_Q and any(0 in steps for _, _, steps in _steps(stored, start, end)):
            return f"the quantisation table at byte {start:,} holds zeros"
        if marker == _TABLES_H and _repeats_symbol(stored[start:end]):
            return f"the Huffman table at byte {start:,} holds a symbol twice"
    return None


def _steps(stored: bytes, start: int, end: int) -> Iterator[tuple[int, int, tuple[int, ...]]]:
    """Quantisation tables of a segment: name, place of the first step, and the 64 steps."""
    at = start
    while at < end:
        wide, name = divmod(stored[at], 16)
        code = ">64H" if wide else ">64B"
        data = stored[at + 1 : at + 1 + struct.calcsize(code)]
        yield name, at + 1, struct.unpack(code, data.ljust(struct.calcsize(code), b"\0"))
        at += 1 + struct.calcsize(code)


def _repeats_symbol(segment: bytes) -> bool:
    at = 0
    while at < len(segment):
        n = sum(segment[at + 1 : at + 17])
        symbols = segment[at + 17 : at + 17 + n]
        if len(set(symbols)) < n:
            return True
        at += 17 + n
    return False


def _dimmed(stored: bytes, segments: list[tuple[int, int, int]]) -> tuple[bytes, float]:
    """Halve the brightness of a JPEG without decoding it, so that brighter than white differs from white.

    Returns
    -------
    The JPEG with a smaller first step in the table of its first colour, and what share of the brightness is left.
    """
    frame = next((stored[start:end] for marker, start, end in segments if marker in _FRAMES), b"")
    if len(frame) < 9:
        return stored, 1.0
    dimmed, share = bytearray(stored), 1.0
    for marker, start, end in segments:
        if marker == _TABLES_Q:
            for name, place, steps in _steps(stored, start, end):
                if name == frame[8]:
                    half = max(1, steps[0] // 2)
                    share = half / steps[0]
                    wide = stored[place - 1] // 16
                    struct.pack_into(">H" if wide else ">B", dimmed, place, half)
    return bytes(dimmed), share
