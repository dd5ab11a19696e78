"""Whether a PNG is whole: every chunk carries a checksum, and decoders skip damaged chunks that hold no pixels."""

import struct
from zlib import crc32

_SIGNATURE_BYTES = 8
_FRAME_BYTES = 12  # length, name and checksum around a chunk's data


def png_fault(stored: bytes) -> str | None:
    """Say why a PNG is not whole, or None; bytes after its end are not looked at."""
    at, view = _SIGNATURE_BYTES, memoryview(stored)
    while at + _FRAME_BYTES <= len(stored):
        length, name = struct.unpack_from(">I4s", stored, at)
        if not (name.isascii() and name.isalpha()):
            return f"byte {at:,} should begin a chunk and does not"
        end = at + _FRAME_BYTES + length
        if end > len(stored):
            break
        if crc32(view[at + 4 : end - 4]) != struct.unpack_from(">I", stored, end - 4)[0]:
            return f"the checksum of the chunk {name.decode()} at byte {at:,} is wrong"
        if name == b"IEND":
            return None
        at = end
    return f"the file ends after {len(stored):,} bytes, before its end chunk"
