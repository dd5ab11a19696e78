"""Damages to pictures and sparse matrices that can be detected, and whether they are read without a warning.

Only what can be detected counts; what cannot is drawn again:

JPEG      bytes of the scan cut off (with an end marker put back or not), removed, inserted, zeroed, doubled or
          flipped, where an independent reading of the scan finds the damage (see `robustness_jpeg`)
OME-TIFF  the file cut by 1 to 512 bytes or anywhere, bytes removed, inserted, zeroed or doubled, where a tag or a tile
          lies beyond the file, a deflated tile does not unpack to its size by its checksum, or the OME-XML is no XML
matrices  every damage to pointers, indices, data and shape that makes them contradict each other, in h5ad by rows and
          by columns, in a layer of it, and in a 10x HDF5

A damage is silent where the input is read as other content, pixels or scale than the sound one, and no warning or note
reports it.
"""

import itertools
import struct
import xml.parsers.expat
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from support import robustness_mutate as text
from support.robustness_child import Job, ends, made_by
from support.robustness_families import SECTIONS, Family
from support.robustness_families_other import painted, read_picture, write_ome
from support.robustness_jpeg import scan_fault
from support.robustness_mutate_arrays import STRUCTURE, damage_structure
from support.robustness_mutate_pictures import directories, jpeg_segments, layout_of, values_of

_RUNS = (text.zero_run, text.remove_run, text.insert_run, text.double_run, text.random_bytes, text.flip_bits)


@dataclass(frozen=True, slots=True)
class Known:
    """One damage that can be detected, and the outcome: "refused", "equal", "noted", "silent" or a fault."""

    kind: str
    damage: str
    outcome: str


def known(work: Path, share: float) -> Iterator[Known]:
    """Read 120 damaged JPEGs, 120 OME-TIFFs and every damage to the structure of four matrices, or a share of them."""
    folder = work / "known"
    folder.mkdir(parents=True, exist_ok=True)
    count = max(1, round(120 * share))
    yield from _pictures(folder, "JPEG", "jpg", _jpegs(), _damaged_jpeg, count)
    yield from _pictures(folder, "OME-TIFF", "ome.tif", [_ome(folder)], _damaged_ome, count)
    yield from _matrices(work, share)


def _pictures(
    folder: Path,
    kind: str,
    suffix: str,
    sound: list[bytes],
    damage: Callable[[bytes, Random], tuple[bytes, str]],
    count: int,
) -> Iterator[Known]:
    paths = []
    for number, data in enumerate(sound):
        paths.append(folder / f"sound{number}.{suffix}")
        paths[-1].write_bytes(data)
    expected = [made_by(lambda path=path: read_picture(path)) for path in paths]
    done, jobs = [], []
    for number in range(count):
        data, what = damage(sound[number % len(sound)], Random(f"{kind}/{number}"))
        path = folder / f"{number}.{suffix}"
        path.write_bytes(data)
        done.append(what)
        jobs.append(lambda path=path: read_picture(path))
    for number, end in enumerate(ends(jobs)):
        outcome = _outcome(end.kind, end.value, expected[number % len(sound)])
        yield Known(
            kind, f"{number}: {done[number]}", outcome if end.kind == "value" else f"{outcome} {end.detail}"[:200]
        )


def _outcome(kind: str, value: Any, expected: Any) -> str:
    if kind != "value":
        return kind
    if value["content"] == expected["content"]:
        return "equal"
    return "noted" if value.get("noted") else "silent"


# ---- JPEG ----


def _jpegs() -> list[bytes]:
    """Write a small phantom as JPEG: colours sampled fully and at half, grey, and with restart markers."""

    def encoded() -> list[str]:
        import io

        import imagecodecs
        from PIL import Image

        picture = painted(96)
        restarts = io.BytesIO()
        Image.fromarray(picture).save(restarts, "JPEG", quality=90, restart_marker_blocks=7)
        found = [
            imagecodecs.jpeg8_encode(picture, level=90, subsampling="444"),
            imagecodecs.jpeg8_encode(picture, level=85, subsampling="420"),
            imagecodecs.jpeg8_encode(picture[..., 0].copy(), level=90),
            restarts.getvalue(),
        ]
        return [bytes(one).hex() for one in found]

    return [bytes.fromhex(one) for one in made_by(encoded)]


def _damaged_jpeg(data: bytes, rng: Random) -> tuple[bytes, str]:
    _, at, length = jpeg_segments(data)[-1]
    head, scan = data[: at + 2 + length], data[at + 2 + length : -2]
    while True:
        if rng.random() < 0.33:
            fixed = rng.random() < 0.5
            changed = head + scan[: rng.randrange(len(scan))] + (b"\xff\xd9" if fixed else b"")
            what = "cut, end marker put back" if fixed else "cut"
        else:
            damage = rng.choice(_RUNS)
            changed, what = head + damage(scan, rng) + b"\xff\xd9", damage.__name__
        fault = scan_fault(changed)
        if fault is not None:
            return changed, f"{what} ({fault})"


# ---- OME-TIFF ----


def _ome(folder: Path) -> bytes:
    made_by(lambda: write_ome(folder / "sound.ome.tif"))
    return (folder / "sound.ome.tif").read_bytes()


def _damaged_ome(data: bytes, rng: Random) -> tuple[bytes, str]:
    while True:
        damage = rng.choice((text.truncate_little, text.truncate_little, text.truncate, *_RUNS))
        changed = damage(data, rng)
        fault = tiff_fault(changed) if len(changed) > 8 else "nothing is left"
        if fault is not None:
            return changed, f"{damage.__name__} ({fault})"


def tiff_fault(data: bytes) -> str | None:
    """Say what shows the damage of a TIFF of deflated tiles with OME-XML; None where nothing does."""
    try:
        how, pages = layout_of(data), directories(data)
        if not pages:
            return "no directory"
        for tags in pages:
            by_code = {tag.code: tag for tag in tags}
            for tag in tags:
                if tag.value_at + tag.size > len(data):
                    return f"tag {tag.code} lies beyond the file"
            if 270 in by_code:
                description = by_code[270]
                xml.parsers.expat.ParserCreate().Parse(
                    data[description.value_at : description.value_at + description.count].rstrip(b"\0"), True
                )
            side = values_of(data, by_code[322], how)[0] * values_of(data, by_code[323], how)[0] * 3
            for begin, count in zip(*(values_of(data, by_code[code], how) for code in (324, 325)), strict=True):
                if begin + count > len(data):
                    return "a tile lies beyond the file"
                if len(zlib.decompress(data[begin : begin + count])) != side:
                    return "a tile of another size"
    except (struct.error, KeyError, ValueError, IndexError):
        return "a directory that contradicts itself"
    except zlib.error:
        return "a tile that does not unpack"
    except xml.parsers.expat.ExpatError:
        return "OME-XML that is no XML"
    return None


# ---- matrices ----


def _matrices(work: Path, share: float) -> Iterator[Known]:
    by_name = {one.name: one for one in SECTIONS}
    places = (("h5ad csr", "s.h5ad", "X"), ("h5ad csc", "s.h5ad", "X"), ("h5ad csr", "s.h5ad", "layers/counts"))
    matrix = "s/outs/filtered_feature_bc_matrix.h5"
    jobs, done, sound = [], [], {}
    step = max(1, round(1 / share))
    for name, file, group in (*places, ("visium h5", matrix, "matrix")):
        family, key = by_name[name], f"{name} {group}"
        folder = work / "known" / key.replace(" ", "_").replace("/", "_")
        made_by(lambda family=family, folder=folder, group=group: _written(family, folder, group))
        sound[key] = made_by(lambda family=family, folder=folder: family.read(folder))
        for damage in itertools.islice(STRUCTURE, 0, None, step):
            done.append((key, damage))
            jobs.append(_damaged_matrix(family, folder, (file, group), damage))
    for (key, damage), end in zip(done, ends(jobs), strict=True):
        outcome = _outcome(end.kind, end.value, sound[key])
        yield Known(f"matrix of {key}", damage, outcome if end.kind == "value" else f"{outcome} {end.detail}"[:200])


def _written(family: Family, folder: Path, group: str) -> None:
    folder.mkdir(parents=True)
    family.write(folder)
    if group.startswith("layers/"):
        import anndata
        import numpy as np

        table = anndata.read_h5ad(folder / "s.h5ad")
        table.layers["counts"] = table.X.copy()
        table.X = np.log1p(table.X)
        table.write_h5ad(folder / "s.h5ad")


def _damaged_matrix(family: Family, folder: Path, place: tuple[str, str], damage: str) -> Job:
    def job() -> Any:
        import shutil

        copy = folder.with_name(f"{folder.name}-hurt")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(folder, copy)
        damage_structure(copy / place[0], place[1], damage, Random(f"{folder.name}/{damage}"))
        return family.read(copy)

    return job
