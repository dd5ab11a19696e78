"""Check an ONNX file before ONNX Runtime opens it: it must be one file, so that its hash covers all of it.

ONNX can keep its weights in other files, named in this one. The card's sha256 would not cover them, and a name could
lead anywhere on the disk, so such files are refused. ONNX is protobuf: fields of a number and a kind, some of which
hold messages again. Walking through them needs no more than the numbers below, and not the onnx package.
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

from histoscribe.errors import WeightsError

# message: number of a field -> the message that it holds, of those that lead to weights (onnx.proto, IR version 10)
_HOLDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {},
}
# of a tensor: the place of weights in another file, and whether they are there
_EXTERNAL_DATA, _DATA_LOCATION = 13, 14
# a large network has some hundred thousand fields; a file made to be slow has as many as it has bytes
_MOST_FIELDS = 1_000_000


def check_onnx_file(path: Path) -> None:
    """Refuse an ONNX file that is damaged or keeps weights in another file; raises WeightsError."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            elsewhere = any(_lies_elsewhere(fields) for fields in _tensors(content))
    except (ValueError, IndexError, OSError) as error:  # an empty file cannot be mapped
        raise WeightsError(
            "this file is damaged or not ONNX", where=path, found=str(error), fix="fetch the file again"
        ) from error
    if elsewhere:
        raise WeightsError(
            "this ONNX file keeps its weights in another file, which its sha256 does not cover",
            where=path,
            expected="all weights in the one file",
            fix="save it as one file: onnx.save(onnx.load(PATH), NEW_PATH)",
        )


def _lies_elsewhere(fields: dict[int, int]) -> bool:
    return _EXTERNAL_DATA in fields or fields.get(_DATA_LOCATION, 0) != 0


def _tensors(content: mmap.mmap) -> Iterator[dict[int, int]]:
    """Of each tensor in the file the numbers of its fields, with the value of those that are whole numbers."""
    waiting, n_fields = [("model", 0, len(content))], 0
    while waiting:
        message, at, end = waiting.pop()
        fields: dict[int, int] = {}
        while at < end:
            n_fields += 1
            number, value, start, at = _field(content, at)
            if at > end or n_fields > _MOST_FIELDS:
                raise ValueError("a part reaches beyond its end" if at > end else "more parts than any network has")
            fields[number] = fields.get(number, 0) | value
            if start is not None and number in _HOLDS[message]:
                waiting.append((_HOLDS[message][number], start, at))
        if message == "tensor":
            yield fields


def _field(content: mmap.mmap, at: int) -> tuple[int, int, int | None, int]:
    """Read a field: its number, its value where that is a whole number, where its bytes begin, and where it ends."""
    tag, at = _varint(content, at)
    number, kind = tag >> 3, tag & 7
    if kind == 0:
        value, at = _varint(content, at)
        return number, value, None, at
    if kind == 2:
        length, at = _varint(content, at)
        return number, 0, at, at + length
    if kind not in (1, 5):
        raise ValueError(f"there is no field of kind {kind}")
    return number, 0, None, at + (8 if kind == 1 else 4)


def _varint(content: mmap.mmap, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = content[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise ValueError("a whole number does not end")
