"""Damage that can be detected in the bytes of a baseline JPEG: an independent reading of its scan, without a picture.

A scan is read Huffman code by Huffman code. Damage can be detected where a code is in no table, a block overruns its 64
places, restart markers are missing or out of order, the data end before the last block, or whole bytes are left over
after it. A changed coefficient with a valid code cannot be detected.
"""

import struct
from collections.abc import Iterator

from support.robustness_mutate_pictures import jpeg_segments

_Table = dict[tuple[int, int], int]  # (length, code) to symbol


class DamagedScanError(Exception):
    """The scan cannot be what an encoder wrote."""


class _Bits:
    """Bits of the scan between two markers, stuffed zeros taken out."""

    def __init__(self, data: bytes) -> None:
        self.data = data.replace(b"\xff\x00", b"\xff")
        self.at = 0

    def bit(self) -> int:
        """Give the next bit."""
        byte = self.at >> 3
        if byte >= len(self.data):
            raise DamagedScanError("the scan ends too early")
        value = self.data[byte] >> (7 - (self.at & 7)) & 1
        self.at += 1
        return value

    def skip(self, count: int) -> None:
        """Pass over bits."""
        self.at += count
        if self.at > 8 * len(self.data):
            raise DamagedScanError("the scan ends too early")

    def symbol(self, table: _Table) -> int:
        """Read one Huffman code."""
        code = 0
        for length in range(1, 17):
            code = code << 1 | self.bit()
            if (found := table.get((length, code))) is not None:
                return found
        raise DamagedScanError("a code that is in no table")

    def end(self) -> None:
        """Refuse whole bytes that nothing has read."""
        if 8 * len(self.data) - self.at >= 8:
            raise DamagedScanError("bytes are left over")


def _tables(body: bytes) -> Iterator[tuple[int, _Table]]:
    at = 0
    while at < len(body):
        name, counts = body[at], body[at + 1 : at + 17]
        at += 17
        table: _Table = {}
        code = 0
        for length, count in enumerate(counts, 1):
            for _ in range(count):
                table[length, code] = body[at]
                code, at = code + 1, at + 1
            code <<= 1
        yield name, table


def _pieces(data: bytes) -> list[tuple[int, bytes]]:
    """Cut the scan at its markers; each piece with the marker that ends it, 0 where the file does."""
    found, begin, at = [], 0, 0
    while (at := data.find(b"\xff", at)) >= 0 and at + 1 < len(data):
        marker = data[at + 1]
        if marker == 0:
            at += 2
            continue
        if marker == 0xFF:  # fill
            at += 1
            continue
        found.append((marker, data[begin:at]))
        begin = at = at + 2
        if not 0xD0 <= marker <= 0xD7:
            return found
    return [*found, (0, data[begin:])]


def scan_fault(data: bytes) -> str | None:
    """Say what shows the damage of a baseline JPEG; None where nothing does.

    Parameters
    ----------
    data
        A file with whole headers: only its one scan may be damaged.
    """
    tables: dict[int, _Table] = {}
    interval, shape, parts, at = 0, (0, 0), [], 0
    for marker, at, length in jpeg_segments(data):
        body = data[at + 4 : at + 2 + length]
        if marker == 0xC4:
            tables.update(_tables(body))
        elif marker == 0xDD:
            interval = struct.unpack(">H", body)[0]
        elif marker == 0xC0:
            shape = struct.unpack(">HH", body[1:5])
            parts = [(body[6 + 3 * k], body[7 + 3 * k] >> 4, body[7 + 3 * k] & 15) for k in range(body[5])]
        elif marker == 0xDA:
            chosen = {body[1 + 2 * k]: body[2 + 2 * k] for k in range(body[0])}
            at += 2 + length
    wide, high = max(h for _, h, _ in parts), max(v for _, _, v in parts)
    one = len(parts) == 1  # then a unit is a single block
    across, down = (
        -(-side // (8 * (1 if one else most))) for side, most in zip(shape[::-1], (wide, high), strict=True)
    )
    blocks = [
        (tables[chosen[name] >> 4], tables[16 + (chosen[name] & 15)])
        for name, h, v in parts
        for _ in range(1 if one else h * v)
    ]
    try:
        _read(_pieces(data[at:]), blocks, across * down, interval or across * down)
    except DamagedScanError as error:
        return str(error)
    return None


def _read(pieces: list[tuple[int, bytes]], blocks: list[tuple[_Table, _Table]], units: int, interval: int) -> None:
    for number, (marker, piece) in enumerate(pieces):
        first = number * interval
        if first >= units:
            raise DamagedScanError("bytes are left over")
        bits = _Bits(piece)
        for _ in range(min(interval, units - first)):
            for dc, ac in blocks:
                _block(bits, dc, ac)
        bits.end()
        last = first + interval >= units
        if marker != (0xD9 if last else 0xD0 + number % 8):
            raise DamagedScanError("a marker is missing or out of order")
    if len(pieces) * interval < units:
        raise DamagedScanError("the scan ends too early")


def _block(bits: _Bits, dc: _Table, ac: _Table) -> None:
    size = bits.symbol(dc)
    if size > 11:
        raise DamagedScanError("a step that is too large")
    bits.skip(size)
    place = 1
    while place < 64:
        symbol = bits.symbol(ac)
        run, size = symbol >> 4, symbol & 15
        if size == 0 and run != 15:
            if run:
                raise DamagedScanError("a code of another kind of JPEG")
            return
        place += run + 1
        if place > 64:
            raise DamagedScanError("a block overruns its places")
        bits.skip(size)
