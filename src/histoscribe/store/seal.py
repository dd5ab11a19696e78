"""Checksums for zarr stores that another library wrote.

SpatialData and AnnData write zarr v3 with zstd, but without zstd's checksum, and offer no way to ask for it: a flipped
bit is read back as data. Here every chunk is compressed again with the checksum, and the arrays' descriptions say so.
"""

import json
from pathlib import Path
from typing import Any

from histoscribe.errors import ResultError
from histoscribe.store.arrays import ZSTD_LEVEL

_CHECKED = {"name": "zstd", "configuration": {"level": ZSTD_LEVEL, "checksum": True}}


def seal(store: Path) -> None:
    """Give every array below `store`, a folder that nobody reads yet, zstd checksums.

    Raises
    ------
    ResultError
        Where an array is compressed in a way that cannot carry them.
    """
    from numcodecs import Zstd

    plain, checked = Zstd(), Zstd(level=ZSTD_LEVEL, checksum=True)
    for description in sorted(store.rglob("zarr.json")):
        meta = json.loads(description.read_bytes())
        if meta.get("node_type") == "array" and _set_checked(meta, description):
            for chunk in (description.parent / "c").rglob("*") if (description.parent / "c").is_dir() else ():
                if chunk.is_file():
                    chunk.write_bytes(checked.encode(plain.decode(chunk.read_bytes())))
            scalar = description.parent / "c"
            if scalar.is_file():
                scalar.write_bytes(checked.encode(plain.decode(scalar.read_bytes())))
        for node in _consolidated(meta):
            if node.get("node_type") == "array":
                _set_checked(node, description)
        description.write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def _consolidated(meta: dict[str, Any]) -> list[dict[str, Any]]:
    inner = meta.get("consolidated_metadata") or {}
    return list(inner.get("metadata", {}).values())


def _set_checked(meta: dict[str, Any], description: Path) -> bool:
    codecs = meta["codecs"]
    if codecs[-1]["name"] != "zstd":
        raise ResultError(
            "an array that cannot carry checksums", where=description, expected="zstd as its last codec", found=codecs
        )
    if codecs[-1]["configuration"].get("checksum"):
        return False
    codecs[-1] = _CHECKED
    return True
