"""Whether a TIFF's directories fit each other and the file: nothing is decoded, so that slides of any size are checked.

Readers skip a tag or a picture that they cannot interpret and continue: a cut file silently loses its scale.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError

# bytes of a value by its type: TIFF 6.0, section 2; 13 from the supplements; 16 to 18 are BigTIFF's
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "u1", 3: "u2", 4: "u4", 13: "u4", 16: "u8", 18: "u8"}
_WIDTH, _HEIGHT, _COMPRESSION, _SAMPLES, _ROWS, _PLANAR = 256, 257, 259, 277, 278, 284
_TILE_WIDTH, _TILE_HEIGHT, _DEPTH, _TILE_DEPTH = 322, 323, 32997, 32998
_PIECES = ((273, 279), (324, 325))  # offsets and byte counts: of strips, of tiles
_SINGLE = (_WIDTH, _HEIGHT, _COMPRESSION, 262, _SAMPLES, _ROWS, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT, 296, 317)
_NUMBERS = {*_SINGLE, 258, *_PIECES[0], *_PIECES[1]}
_RATIOS = {282: (5, 11, 12), 283: (5, 11, 12)}
_SUBDIRECTORIES = {330: True, 34665: False, 34853: False, 40965: False}  # whether they hold pictures
_TEXTS = (270, 700)  # ImageDescription and XMP may be XML
_OLD_JPEG = 6  # pieces of this compression may lie within one another
# tags of vendors that point at more than they say: MetaMorph, Zeiss LSM, Micro-Manager, Hamamatsu
_PRIVATE_POINTERS = {33628, 33629, 34412, 51123, 65420}
_MAX_TEXT_BYTES = 64 * 2**20
_MAX_DIRECTORIES, _MAX_TAGS, _MAX_DEPTH = 65_536, 4_096, 8  # more than any picture has: a made file could hold millions
_PADDING_BYTES, _REST_BYTES, _COPIED_BYTES = 16, 256, 2**16


@dataclass(slots=True, eq=False)
class TiffLayout:
    """What the directories of a TIFF point at.

    Parameters
    ----------
    end
        Where the last thing that any of them points at ends.
    pieces_end
        Where the last strip or tile ends.
    private
        Whether a vendor's tag points at more than can be known.
    n_empty
        Strips or tiles without data.
    """

    end: int = 0
    pieces_end: int = 0
    private: bool = False
    n_empty: int = 0


def check_layout(path: Path, *, met: Callable[[str], None]) -> TiffLayout:
    """Follow every directory of a TIFF or BigTIFF; calls `met` with each damage.

    Raises
    ------
    InputError
        Where an XML text in it declares a document type, or is too long to be one.
    """
    with path.open("rb") as file:
        return _Walk(path, file, met).layout()


def check_length(path: Path, layout: TiffLayout, *, end: int = 0, met: Callable[[str], None]) -> None:
    """Call `met` where a file goes on after the last thing in it, as it does where bytes were put in.

    Padding with zeros passes, and what tifffile leaves after its last directory: a copy of values that stand before it.

    Parameters
    ----------
    end
        Where a picture ends that the directories do not list whole.
    """
    end, length = max(layout.end, end), path.stat().st_size
    if layout.private or length <= end:
        return
    with path.open("rb") as file:
        file.seek(end)
        rest = file.read(_REST_BYTES + 1)
        first = max(layout.pieces_end, end - _COPIED_BYTES)
        file.seek(first)
        described = file.read(max(0, end - first))
    is_padding = len(rest) <= _PADDING_BYTES and not rest.strip(b"\0")
    if not is_padding and (len(rest) > _REST_BYTES or rest not in described):
        met(f"{length:,} bytes; the last thing that the file's directories point at ends at {end:,}")


@dataclass(slots=True, eq=False)
class _Walk:
    path: Path
    file: BinaryIO
    met: Callable[[str], None]
    order: str = "<"
    big: bool = False
    length: int = 0
    private: bool = False
    n_empty: int = 0
    texts: list[NDArray[np.int64]] = field(default_factory=list)  # (start, end) of directories and values
    pieces: list[NDArray[np.int64]] = field(default_factory=list)  # (start, end) of strips and tiles
    seen: set[int] = field(default_factory=set)  # places of directories

    def layout(self) -> TiffLayout:
        self.length = self.file.seek(0, 2)
        head = self._bytes(0, 16)
        self.order = "<" if head[:2] == b"II" else ">"
        self.big = head[2:4] in (b"+\0", b"\0+")
        self.texts.append(_span(0, 16 if self.big else 8))
        first = struct.unpack_from(self.order + ("Q" if self.big else "I"), head.ljust(16, b"\0"), 8 if self.big else 4)
        self._chain(int(first[0]), of_picture=True, above=frozenset())
        self._check_overlap()
        pieces_end = max((int(spans[:, 1].max()) for spans in self.pieces if len(spans)), default=0)
        end = max(pieces_end, *(int(spans[:, 1].max()) for spans in self.texts))
        return TiffLayout(end, pieces_end, self.private, self.n_empty)

    def _bytes(self, at: int, n: int) -> bytes:
        self.file.seek(at)
        return self.file.read(n)

    def _chain(self, at: int, *, of_picture: bool, above: frozenset[int]) -> None:
        """Check a directory, those that follow it, and those under each, which writers also link into chains."""
        path = set(above)
        while at:
            if at in path or len(above) > _MAX_DEPTH:
                self.met(f"the directory at byte {at:,} leads back to itself")
                return
            if at in self.seen:
                return
            self.seen.add(at)
            path.add(at)
            if len(self.seen) > _MAX_DIRECTORIES:
                self.met(f"more than {_MAX_DIRECTORIES:,} directories")
                return
            following, under = self._directory(at, of_picture)
            for place, is_picture in under:
                self._chain(place, of_picture=is_picture, above=above | {at})
            at = following if of_picture else 0

    def _directory(self, at: int, of_picture: bool) -> tuple[int, list[tuple[int, bool]]]:
        """Check one directory; gives the next one and those under it."""
        count_code, entry_bytes, word = ("Q", 20, 8) if self.big else ("H", 12, 4)
        count_bytes = struct.calcsize(count_code)
        head = self._bytes(at, count_bytes)
        n = struct.unpack(self.order + count_code, head)[0] if len(head) == count_bytes else 0
        end = at + count_bytes + n * entry_bytes + word
        if not 0 < n <= _MAX_TAGS or at < 8 or end > self.length:
            self.met(f"a directory should lie at byte {at:,}, and the file has {self.length:,} bytes")
            return 0, []
        self.texts.append(_span(at, end))
        entries = self._bytes(at + count_bytes, n * entry_bytes + word)
        values: dict[int, NDArray[np.int64]] = {}
        under = []
        for k in range(n):
            tag, found = self._entry(at, entries[k * entry_bytes : (k + 1) * entry_bytes], of_picture)
            if found is not None:
                values[tag] = found
            if tag in _SUBDIRECTORIES and found is not None:
                under += [(int(place), _SUBDIRECTORIES[tag]) for place in found]
        if of_picture:
            self._picture(at, values)
        following = struct.unpack(self.order + ("Q" if self.big else "I"), entries[-word:])[0]
        return int(following), under

    def _entry(self, at: int, entry: bytes, of_picture: bool) -> tuple[int, NDArray[np.int64] | None]:
        """Check one entry of a directory; gives its tag, and its values where they are whole numbers."""
        tag, kind, count = struct.unpack_from(self.order + ("HHQ" if self.big else "HHI"), entry)
        inline = entry[-8:] if self.big else entry[-4:]
        if kind not in _TYPE_BYTES or (of_picture and tag < 254):
            self.met(f"the directory at byte {at:,} holds tag {tag} of the unknown type {kind}")
            return tag, None
        self.private |= tag in _PRIVATE_POINTERS
        n_bytes = count * _TYPE_BYTES[kind]
        place = 0
        if n_bytes > len(inline):
            place = int(struct.unpack(self.order + ("Q" if self.big else "I"), inline)[0])
            if place + n_bytes > self.length:
                self.met(f"tag {tag} lies at bytes {place:,} to {place + n_bytes:,} of {self.length:,}")
                return tag, None
            self.texts.append(_span(place, place + n_bytes))
        if of_picture and not _is_of_kind(tag, kind, count):
            self.met(f"tag {tag} of the directory at byte {at:,} has {count:,} values of type {kind}")
            return tag, None
        if tag in _TEXTS:
            refuse_declarations(self.path, n_bytes, lambda: self._bytes(place, n_bytes) if place else inline)
        if kind not in _INTEGERS or not (tag in _NUMBERS or tag in _SUBDIRECTORIES or tag in (_DEPTH, _TILE_DEPTH)):
            return tag, None
        stored = self._bytes(place, n_bytes) if place else inline[:n_bytes]
        return tag, np.frombuffer(stored, self.order + _INTEGERS[kind]).astype(np.int64)

    def _picture(self, at: int, values: dict[int, NDArray[np.int64]]) -> None:
        """Check where the strips or tiles of a picture lie."""
        listed = [(o, c) for o, c in _PIECES if o in values and c in values]
        if not {_WIDTH, _HEIGHT} <= set(values) or not listed:
            if int(values.get(_COMPRESSION, [0])[0]) != _OLD_JPEG:
                self.met(f"the directory at byte {at:,} has no size, or lists no strips or tiles")
            return
        offsets, counts = (values[tag] for tag in listed[0])
        expected = _n_pieces(values, tiled=listed[0] == _PIECES[1])
        if len(offsets) != expected or len(counts) != expected:
            self.met(f"{min(len(offsets), len(counts)):,} of {expected:,} strips or tiles are listed")
            return
        self.n_empty += int((counts == 0).sum())
        spans = np.column_stack([offsets, offsets + counts])[counts > 0]
        outside = (spans < 0).any(axis=1) | (spans[:, 1] > self.length)
        if outside.any():
            self.met(
                f"{int(outside.sum()):,} of {expected:,} strips or tiles leave the file of {self.length:,} bytes; "
                f"the last ends at byte {int(spans[:, 1].max()):,}"
            )
        elif int(values.get(_COMPRESSION, [0])[0]) != _OLD_JPEG:
            self.pieces.append(spans)

    def _check_overlap(self) -> None:
        """Check that no strip or tile lies within another or over what describes it; whole ones may be shared."""
        spans = np.unique(np.concatenate([*self.pieces, np.empty((0, 2), np.int64)]), axis=0)
        described = np.concatenate(self.texts)
        every = np.concatenate([spans, described])
        is_piece = np.arange(len(every)) < len(spans)
        order = np.lexsort((every[:, 1], every[:, 0]))
        every, is_piece = every[order], is_piece[order]
        ends = np.maximum.accumulate(np.where(is_piece, every[:, 1], 0))
        ends_described = np.maximum.accumulate(np.where(is_piece, 0, every[:, 1]))
        starts = every[1:, 0]
        wrong = (starts < ends[:-1]) | (is_piece[1:] & (starts < ends_described[:-1]))
        if wrong.any():
            place = int(starts[np.argmax(wrong)])
            self.met(f"strips or tiles lie over one another, or over what describes them, at byte {place:,}")


def refuse_declarations(path: Path, n_bytes: int, text: Callable[[], bytes]) -> None:
    """Refuse XML that declares a document type: its entities can grow without end. Raises InputError."""
    if n_bytes > _MAX_TEXT_BYTES:
        raise InputError(
            "a description in the image is too long to be read",
            where=path,
            expected=f"at most {_MAX_TEXT_BYTES:,} bytes of OME-XML or of another text",
            found=f"{n_bytes:,} bytes",
            fix="export the section's picture anew",
        )
    if any(word in text() for word in (b"<!DOCTYPE", b"<!ENTITY")):
        raise InputError(
            "the XML that describes the image declares a document type (DTD), which histoscribe does not read",
            where=path,
            expected="OME-XML without <!DOCTYPE and <!ENTITY, as all programs write it",
            fix="export the section's picture anew",
        )


def _span(start: int, end: int) -> NDArray[np.int64]:
    return np.array([[start, end]], np.int64)


def _is_of_kind(tag: int, kind: int, count: int) -> bool:
    """Whether a tag that readers rely on has a type and a number of values that it can have."""
    if tag in _NUMBERS:
        return kind in _INTEGERS and count > 0 and (tag not in _SINGLE or count == 1)
    return kind in _RATIOS[tag] and count == 1 if tag in _RATIOS else True


def _n_pieces(values: dict[int, NDArray[np.int64]], *, tiled: bool) -> int:
    """How many strips or tiles a picture of this size has; 0 where it can have none."""
    one = {tag: int(found[0]) for tag, found in values.items()}
    separate = one.get(_SAMPLES, 1) if one.get(_PLANAR, 1) == 2 else 1
    rows = one.get(_TILE_HEIGHT, 0) if tiled else min(one.get(_ROWS, one[_HEIGHT]), one[_HEIGHT])
    columns = one.get(_TILE_WIDTH, 0) if tiled else one[_WIDTH]
    if rows < 1 or columns < 1:
        return 0
    deep = -(-one.get(_DEPTH, 1) // max(1, one.get(_TILE_DEPTH, 1)))
    return separate * deep * -(-one[_HEIGHT] // rows) * -(-one[_WIDTH] // columns)
