"""Damages to pictures that fit their format: TIFF tags, PNG chunks, JPEG segments, OME-XML and Aperio descriptions."""

import struct
import zlib
from dataclasses import dataclass
from random import Random

_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_NUMBERS = (0, 1, 2, 3, 7, 8, 16, 255, 256, 4096, 32768, 65535, 2**20, 2**31 - 1, 2**31, 2**32 - 1)


@dataclass(frozen=True, slots=True)
class Tag:
    """One entry of a TIFF directory: where it stands in the file, and what it says."""

    at: int
    code: int
    kind: int
    count: int
    value_at: int  # of the values themselves

    @property
    def size(self) -> int:
        """Bytes of all values."""
        return _SIZES.get(self.kind, 1) * self.count


@dataclass(frozen=True, slots=True)
class Layout:
    """How a TIFF writes its numbers."""

    order: str
    big: bool

    @property
    def entry(self) -> int:
        """Bytes of one entry of a directory."""
        return 20 if self.big else 12

    def number(self, data: bytes, at: int, *, wide: bool | None = None) -> int:
        """Offset or count at a place."""
        kind = "Q" if (self.big if wide is None else wide) else "I"
        return int(struct.unpack_from(self.order + kind, data, at)[0])


def layout_of(data: bytes) -> Layout:
    """Byte order and kind of a TIFF; struct.error where it is too short."""
    order = "<" if data[:2] == b"II" else ">"
    return Layout(order, struct.unpack_from(f"{order}H", data, 2)[0] == 43)


def directories(data: bytes) -> list[list[Tag]]:
    """All directories, SubIFDs too; struct.error where one lies beyond the file's end."""
    how = layout_of(data)
    waiting, seen, found = [how.number(data, 8 if how.big else 4)], set(), []
    while waiting:
        at = waiting.pop(0)
        if at == 0 or at in seen:
            continue
        seen.add(at)
        count = struct.unpack_from(how.order + ("Q" if how.big else "H"), data, at)[0]
        begin = at + (8 if how.big else 2)
        tags = []
        for k in range(count):
            place = begin + k * how.entry
            code, kind = struct.unpack_from(f"{how.order}HH", data, place)
            n = how.number(data, place + 4)
            inline = place + (12 if how.big else 8)
            small = _SIZES.get(kind, 1) * n <= (8 if how.big else 4)
            tags.append(Tag(place, code, kind, n, inline if small else how.number(data, inline)))
        found.append(tags)
        for tag in tags:
            if tag.code == 330:
                waiting += values_of(data, tag, how)
        waiting.append(how.number(data, begin + count * how.entry))
    return found


def values_of(data: bytes, tag: Tag, how: Layout) -> list[int]:
    """Whole numbers of a tag."""
    kind = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}.get(tag.kind, "B")
    return list(struct.unpack_from(f"{how.order}{tag.count}{kind}", data, tag.value_at))


def tiff_tag(data: bytes, rng: Random) -> bytes:
    """Change one tag of a TIFF: its code, kind, count, or its value."""
    how, changed = layout_of(data), bytearray(data)
    tag = rng.choice(rng.choice(directories(data)))
    way = rng.randrange(6)
    if way == 0:
        struct.pack_into(f"{how.order}H", changed, tag.at, rng.choice((256, 257, 258, 259, 273, 279, 330, 65000)))
    elif way == 1:
        struct.pack_into(f"{how.order}H", changed, tag.at + 2, rng.choice((0, 1, 2, 3, 4, 5, 7, 11, 12, 13, 16, 99)))
    elif way == 2:
        struct.pack_into(how.order + ("Q" if how.big else "I"), changed, tag.at + 4, rng.choice(_NUMBERS))
    else:
        width = min(_SIZES.get(tag.kind, 1), 8)
        letter = {1: "B", 2: "H", 4: "I", 8: "Q"}[width]
        at = tag.value_at + width * rng.randrange(max(1, min(tag.count, tag.size // width)))
        if at + width <= len(changed):
            struct.pack_into(how.order + letter, changed, at, rng.choice(_NUMBERS) % 256**width)
    return bytes(changed)


def tiff_directory(data: bytes, rng: Random) -> bytes:
    """Lead a directory to itself, to nowhere, or into the picture; or declare another number of tags."""
    how, changed = layout_of(data), bytearray(data)
    first = directories(data)[0]
    begin = first[0].at - (8 if how.big else 2)
    end = first[-1].at + how.entry
    wide = how.order + ("Q" if how.big else "I")
    if rng.random() < 0.7:
        place = rng.choice((end, 8 if how.big else 4))
        struct.pack_into(wide, changed, place, rng.choice((begin, 0, 8, 9, len(data) - 3, len(data) + 100, 2**31)))
    else:
        struct.pack_into(how.order + ("Q" if how.big else "H"), changed, begin, rng.choice((0, 1, 200, 65535)))
    return bytes(changed)


_XML = (
    b'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;">]><OME>&c;</OME>',
    b'<?xml version="1.0"?><!DOCTYPE OME SYSTEM "file:///etc/passwd"><OME/>',
    b'<?xml version="1.0"?><!DOCTYPE OME [<!ENTITY x SYSTEM "file:///etc/hostname">]><OME><Image>&x;</Image></OME>',
    b"<OME", b"<OME></OM>", b"", b"\0", b"<html/>", b"{}",
)  # fmt: skip
_WORDS = (
    (b'PhysicalSizeX="', (b"-1", b"0", b"nan", b"inf", b"x", b"", b"1e400", b"1e-9", b"1e9")),
    (b'SizeX="', (b"-1", b"0", b"x", b"", b"99999999999")),
    (b'SizeC="', (b"-1", b"0", b"x", b"7", b"1")),
    (b'DimensionOrder="', (b"XXXXX", b"", b"XYZ")),
    (b'PhysicalSizeXUnit="', (b"parsec", b"", b"m", b"pixel")),
    (b'Type="', (b"uint99", b"", b"float")),
    (b"MPP = ", (b"-1", b"0", b"nan", b"x", b"", b"1e400")),
    (b"AppMag = ", (b"-1", b"x", b"")),
)


def tiff_description(data: bytes, rng: Random) -> bytes:
    """Change the text in which a TIFF states its scale: OME-XML, with other values or invalid; or Aperio's.

    The text keeps its length, so that nothing else moves.
    """
    texts = [tag for tags in directories(data) for tag in tags if tag.code == 270 and tag.count > 20]
    if not texts:
        return tiff_tag(data, rng)
    tag = texts[0]
    text = data[tag.value_at : tag.value_at + tag.count]
    known = [(mark, values) for mark, values in _WORDS if mark in text]
    if known and rng.random() < 0.7:
        mark, values = rng.choice(known)
        before, _, rest = text.partition(mark)
        end = min((at for at in (rest.find(b'"'), rest.find(b"|"), len(rest)) if at >= 0), default=0)
        changed = before + mark + rng.choice(values) + rest[end:]
    else:
        changed = rng.choice(_XML)
    changed = changed[: tag.count].ljust(tag.count, b" ")
    return data[: tag.value_at] + changed + data[tag.value_at + tag.count :]


TIFF = {one.__name__: one for one in (tiff_tag, tiff_directory, tiff_description)}


# ---- PNG ----


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    at, found = 8, []
    while at + 8 <= len(data):
        length = struct.unpack_from(">I", data, at)[0]
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _png(chunks: list[tuple[bytes, bytes]]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body)) for name, body in chunks
    )


def png_header(data: bytes, rng: Random) -> bytes:
    """Declare another size, depth, colour or order of rows; the checksum is right."""
    chunks = _chunks(data)
    header = bytearray(chunks[0][1])
    if rng.random() < 0.5:
        struct.pack_into(">I", header, rng.choice((0, 4)), rng.choice(_NUMBERS))
    else:
        header[rng.choice((8, 9, 10, 11, 12))] = rng.choice((0, 1, 2, 3, 4, 6, 8, 16, 255))
    return _png([(b"IHDR", bytes(header)), *chunks[1:]])


def png_chunks(data: bytes, rng: Random) -> bytes:
    """Drop a chunk, double it, exchange two, cut the pixels, or add text that unpacks to twenty megabytes."""
    chunks = _chunks(data)
    at, way = rng.randrange(len(chunks)), rng.randrange(6)
    if way == 0:
        del chunks[at]
    elif way == 1:
        chunks.insert(at, chunks[at])
    elif way == 2:
        other = rng.randrange(len(chunks))
        chunks[at], chunks[other] = chunks[other], chunks[at]
    elif way == 3:
        chunks = [(name, body[: len(body) // 2] if name == b"IDAT" else body) for name, body in chunks]
    elif way == 4:
        chunks.insert(1, (b"zTXt", b"a\0\0" + zlib.compress(bytes(20_000_000), 1)))
    else:
        pixels = zlib.decompress(b"".join(body for name, body in chunks if name == b"IDAT"))
        cut = zlib.compress(pixels[: rng.randrange(len(pixels))])
        chunks = [chunks[0], (b"IDAT", cut), (b"IEND", b"")]
    return _png(chunks)


PNG = {one.__name__: one for one in (png_header, png_chunks)}


# ---- JPEG ----


def jpeg_segments(data: bytes) -> list[tuple[int, int, int]]:
    """Marker, place and length (with its two length bytes) of every segment before the scan's data."""
    at, found = 2, []
    while at + 4 <= len(data) and data[at] == 0xFF:
        length = struct.unpack_from(">H", data, at + 2)[0]
        found.append((data[at + 1], at, length))
        at += 2 + length
        if found[-1][0] == 0xDA:
            break
    return found


def jpeg_header(data: bytes, rng: Random) -> bytes:
    """Change a byte within a table or a frame header, or the declared size."""
    changed = bytearray(data)
    marker, at, length = rng.choice(jpeg_segments(data))
    if 0xC0 <= marker <= 0xC2 and rng.random() < 0.6:
        struct.pack_into(">H", changed, at + rng.choice((5, 7)), rng.choice((0, 1, 31, 64, 1000, 30000, 65500, 65535)))
    else:
        changed[at + rng.randrange(2, 2 + length)] = rng.choice((0, 1, 2, 17, 34, 127, 255))
    return bytes(changed)


def jpeg_drop(data: bytes, rng: Random) -> bytes:
    """Take a whole segment out, write it twice, or give it another marker."""
    _, at, length = rng.choice(jpeg_segments(data))
    segment, way = data[at : at + 2 + length], rng.randrange(3)
    if way == 0:
        return data[:at] + data[at + 2 + length :]
    if way == 1:
        return data[:at] + segment + data[at:]
    return (
        data[: at + 1]
        + bytes([rng.choice((0xC0, 0xC1, 0xC2, 0xC4, 0xC9, 0xD8, 0xDA, 0xDB, 0xE0, 0xFE))])
        + data[at + 2 :]
    )


JPEG = {one.__name__: one for one in (jpeg_header, jpeg_drop)}
