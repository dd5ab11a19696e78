"""Damage that can be known is refused, or read with a note where the user allows it; whole pictures pass."""

import io
import os
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from histoscribe.errors import InputError
from histoscribe.slide.image import SlideImage
from histoscribe.slide.open import open_image

MPP = {"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}  # 0.5 um/px


def levels(image: SlideImage) -> list[np.ndarray]:
    return [image.read(0, 0, width, height, k) for k, (height, width) in enumerate(image.source.shapes)]


def pillow(array: np.ndarray, kind: str, *, mode: str | None = None, **options: object) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(array)
    image.convert(mode or image.mode).save(buffer, kind, dpi=(50_800, 50_800), **options)
    return buffer.getvalue()


def tiff(array: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, photometric="rgb", **options)
    return buffer.getvalue()


def ome(array: np.ndarray, **options: object) -> bytes:
    sizes = {"axes": "YXS", "PhysicalSizeX": 0.5, "PhysicalSizeY": 0.5}
    return tiff(array, ome=True, tile=(64, 64), metadata=sizes, **options)


def svs(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        options = {"photometric": "rgb", "compression": "jpeg", "metadata": None}
        says = "Aperio Image Library v11.2.1 \r\n330x260 (64x64) JPEG/RGB Q=90|AppMag = 20|MPP = 0.4990"
        writer.write(array, tile=(64, 64), description=says, **options)
        writer.write(
            array[::4, ::4].copy(), rowsperstrip=16, description="Aperio Image Library v11.2.1 \r\n", **options
        )
        label = "Aperio Image Library v11.2.1 \r\nlabel 50x40"
        writer.write(array[:40, :50].copy(), rowsperstrip=16, description=label, subfiletype=1, **options)
    return buffer.getvalue()


MAKERS = {
    "JPEG": lambda a: pillow(a, "JPEG", quality=90),
    "progressive JPEG": lambda a: pillow(a, "JPEG", quality=90, progressive=True),
    "grey JPEG": lambda a: pillow(a[..., 0], "JPEG", quality=90),
    "CMYK JPEG": lambda a: pillow(a, "JPEG", mode="CMYK", quality=90),
    "PNG": lambda a: pillow(a, "PNG"),
    "TIFF of deflated strips": lambda a: tiff(a, rowsperstrip=16, compression="zlib", **MPP),
    "TIFF of LZW strips": lambda a: tiff(a, rowsperstrip=16, compression="lzw", **MPP),
    "TIFF of JPEG tiles": lambda a: tiff(a, tile=(64, 64), compression="jpeg", **MPP),
    "uncompressed TIFF": lambda a: tiff(a, rowsperstrip=16, **MPP),
    "uncompressed TIFF, directory last": lambda a: pillow(a, "TIFF"),
    "OME-TIFF": lambda a: ome(a, compression="zlib"),
    "uncompressed OME-TIFF": ome,
    "BigTIFF": lambda a: tiff(a, bigtiff=True, tile=(64, 64), compression="lzw", **MPP),
    "SVS": svs,
}
TIFFS = [kind for kind in MAKERS if "TIFF" in kind or kind == "SVS"]


@pytest.fixture(scope="session")
def whole(tissue: np.ndarray) -> dict[str, bytes]:
    """One whole file of every kind."""
    return {kind: make(tissue) for kind, make in MAKERS.items()}


def opened(folder: Path, data: bytes, **options: object) -> tuple[SlideImage, list[np.ndarray]]:
    path = folder / "picture"
    path.write_bytes(data)
    image = open_image(path, **options)
    return image, levels(image)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_whole_picture_is_read_without_a_note(tmp_path: Path, whole: dict[str, bytes], kind: str) -> None:
    image, pixels = opened(tmp_path, whole[kind])
    allowed, same = opened(tmp_path, whole[kind], allow_damaged=True)
    assert image.mpp == pytest.approx(0.5, rel=0.01)
    assert image.notes == allowed.notes == ()
    assert all((a == b).all() for a, b in zip(pixels, same, strict=True))


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("lost", [1, 2, 3, 17, 100, 511])
def test_a_picture_that_ends_early_is_refused(tmp_path: Path, whole: dict[str, bytes], kind: str, lost: int) -> None:
    with pytest.raises(InputError, match=r"damaged or incomplete|cannot be opened"):
        opened(tmp_path, whole[kind][:-lost])


@pytest.mark.parametrize("kind", TIFFS)
def test_a_tiff_longer_than_its_picture_is_refused(tmp_path: Path, whole: dict[str, bytes], kind: str) -> None:
    with pytest.raises(InputError, match="last thing that the file's directories point at"):
        opened(tmp_path, whole[kind] + bytes(range(1, 40)))


@pytest.mark.parametrize("kind", TIFFS)
def test_a_few_zeros_after_a_tiff_are_padding(tmp_path: Path, whole: dict[str, bytes], kind: str) -> None:
    assert opened(tmp_path, whole[kind] + b"\0\0\0")[0].notes == ()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
@pytest.mark.parametrize("kind", [kind for kind in MAKERS if "JPEG" not in kind and kind != "SVS"])
def test_bytes_lost_or_put_in_are_known_wherever_they_are(
    tmp_path: Path, whole: dict[str, bytes], kind: str, data: st.DataObject
) -> None:
    stored = whole[kind]
    at = data.draw(st.integers(0, len(stored) - 70))
    n = data.draw(st.integers(1, 64))
    other = data.draw(st.sampled_from([b"", b"\xa5" * n + stored[at : at + n]]))
    with pytest.raises(InputError):
        opened(tmp_path, stored[:at] + other + stored[at + n :])


# ---- JPEG ----


HOW = [
    "surplus data before its end",
    "half of its data missing",
    "no end marker",
    "a marker where data belong",
    "quantisation table of zeros",
    "Huffman table of zeros",
    "bytes between its segments",
    "a frame of another height",
]


def damaged_jpeg(stored: bytes, how: str) -> bytes:
    scan = stored.rindex(b"\xff\xda")
    middle = (scan + len(stored)) // 2
    return {
        "surplus data before its end": stored[:-2] + bytes(range(1, 60)) + stored[-2:],
        "half of its data missing": stored[:middle] + stored[-2:],
        "no end marker": stored[:-2],
        "a marker where data belong": stored[:middle] + b"\xff\xd9" + stored[middle:],
        "quantisation table of zeros": _in_segment(stored, 0xDB, 5, bytes(30)),
        "Huffman table of zeros": _in_segment(stored, 0xC4, 24, bytes(4)),
        "bytes between its segments": stored.replace(b"\xff\xdb", b"\1\2\3\xff\xdb", 1),
        "a frame of another height": _in_segment(stored, 0xC2 if b"\xff\xc2" in stored[:800] else 0xC0, 1, b"\1\x50"),
    }[how]


def _in_segment(stored: bytes, marker: int, at: int, put: bytes) -> bytes:
    start = stored.index(bytes([0xFF, marker])) + 4 + at
    return stored[:start] + put + stored[start + len(put) :]


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("kind", ["JPEG", "progressive JPEG", "grey JPEG", "CMYK JPEG"])
def test_a_jpeg_that_its_decoder_would_fill_up_is_refused(
    tmp_path: Path, whole: dict[str, bytes], kind: str, how: str
) -> None:
    with pytest.raises(InputError, match="damaged or incomplete"):
        opened(tmp_path, damaged_jpeg(whole[kind], how))


def test_restart_markers_out_of_order_are_refused(tmp_path: Path, tissue: np.ndarray) -> None:
    stored = pillow(tissue, "JPEG", quality=90, restart_marker_rows=1)
    assert opened(tmp_path, stored)[0].notes == ()
    with pytest.raises(InputError, match="damaged or incomplete"):
        opened(tmp_path, stored.replace(b"\xff\xd1", b"\xff\xd5"))


def test_a_jpeg_that_is_brighter_than_white_is_refused(tmp_path: Path) -> None:
    grey = np.full((64, 64), 250, np.uint8)
    grey[:, :32] = 120
    stored = pillow(grey, "JPEG", quality=75)
    whole, _ = opened(tmp_path, stored)
    assert whole.notes == ()
    step = stored.index(b"\xff\xdb") + 5  # of brightness: twice as large, all that is stored is twice as bright
    with pytest.raises(InputError, match="brighter than white"):
        opened(tmp_path, stored[:step] + bytes([2 * stored[step]]) + stored[step + 1 :])


def test_white_and_black_are_no_damage(tmp_path: Path) -> None:
    board = np.kron(np.indices((12, 12)).sum(0) % 2, np.ones((11, 11))) * 255
    for quality in (1, 30, 75, 100):
        for array in (board, np.zeros((64, 64)), np.full((64, 64), 255)):
            for progressive in (False, True):
                stored = pillow(array.astype(np.uint8), "JPEG", quality=quality, progressive=progressive)
                assert opened(tmp_path, stored)[0].notes == ()


@pytest.mark.parametrize("kind", ["TIFF of JPEG tiles", "SVS"])
def test_a_damaged_jpeg_tile_is_refused_by_its_place_when_it_is_read(
    tmp_path: Path, whole: dict[str, bytes], kind: str
) -> None:
    path = tmp_path / "picture"
    path.write_bytes(whole[kind])
    with tifffile.TiffFile(path) as tif:
        offset, count = tif.pages[0].dataoffsets[8], tif.pages[0].databytecounts[8]  # column 2 of row 1
    path.write_bytes(whole[kind][: offset + count // 2] + bytes(count // 2) + whole[kind][offset + count // 2 * 2 :])
    image = open_image(path)
    assert image.read(0, 0, 60, 60).shape == (60, 60, 3)
    with pytest.raises(InputError, match="the tile at x=128, y=64 of level 0"):
        image.read(100, 100, 60, 60)
    allowed = open_image(path, allow_damaged=True)
    assert "the tile at x=128, y=64 of level 0" in allowed.notes[0]
    assert allowed.read(100, 100, 60, 60).shape == (60, 60, 3)


# ---- PNG ----


@pytest.mark.parametrize("chunk", [b"IHDR", b"pHYs", b"IDAT", b"IEND"])
def test_every_chunk_of_a_png_is_held_to_its_checksum(tmp_path: Path, whole: dict[str, bytes], chunk: bytes) -> None:
    stored = bytearray(whole["PNG"])
    stored[stored.index(chunk) + 5] ^= 1
    with pytest.raises(InputError, match="damaged or incomplete"):
        opened(tmp_path, bytes(stored))


# ---- TIFF ----


def entry(stored: bytes, tag: int) -> int:
    """Place of a tag's entry in the first directory of a little-endian TIFF."""
    first = struct.unpack_from("<I", stored, 4)[0]
    n = struct.unpack_from("<H", stored, first)[0]
    places = [first + 2 + 12 * k for k in range(n)]
    return next(place for place in places if struct.unpack_from("<H", stored, place)[0] == tag)


def changed(stored: bytes, at: int, code: str, *values: int) -> bytes:
    data = bytearray(stored)
    struct.pack_into(code, data, at, *values)
    return bytes(data)


def looped(stored: bytes) -> bytes:
    first = struct.unpack_from("<I", stored, 4)[0]
    n = struct.unpack_from("<H", stored, first)[0]
    return changed(stored, first + 2 + 12 * n, "<I", first)


def overlapping(stored: bytes) -> bytes:
    offsets = struct.unpack_from("<I", stored, entry(stored, 324) + 8)[0]
    return changed(stored, offsets, "<I", struct.unpack_from("<I", stored, offsets + 4)[0] + 10)


TIFF_DAMAGE = {
    "directories in a circle": (looped, "leads back to itself"),
    "tiles that lie over one another": (overlapping, "lie over one another"),
    "a tag of an unknown type": (lambda s: changed(s, entry(s, 282) + 2, "<H", 99), "unknown type 99"),
    "a resolution that is text": (lambda s: changed(s, entry(s, 282) + 2, "<H", 2), "values of type 2"),
    "a width that is a ratio": (lambda s: changed(s, entry(s, 256) + 2, "<H", 5), "tag 256"),
    "a resolution outside the file": (lambda s: changed(s, entry(s, 282) + 8, "<I", 2**31), "tag 282 lies at bytes"),
    "a list of tiles outside the file": (lambda s: changed(s, entry(s, 324) + 8, "<I", 2**31), "tag 324 lies at"),
    "fewer tiles than its size needs": (lambda s: changed(s, entry(s, 257) + 8, "<I", 2600), "tiles are listed"),
    "no directory": (lambda s: changed(s, 4, "<I", 2**30), "a directory should lie at byte"),
}


@pytest.mark.parametrize("how", TIFF_DAMAGE)
def test_directories_that_do_not_fit_the_file_are_refused_on_opening(
    tmp_path: Path, tissue: np.ndarray, how: str
) -> None:
    damage, says = TIFF_DAMAGE[how]
    (tmp_path / "a.tif").write_bytes(damage(tiff(tissue, tile=(64, 64), compression="zlib", **MPP)))
    with pytest.raises(InputError, match=says):
        open_image(tmp_path / "a.tif")


def test_tiles_may_be_shared(tmp_path: Path) -> None:
    stored = tiff(np.full((128, 128, 3), 200, np.uint8), tile=(64, 64), compression="zlib", metadata=None)
    offsets = struct.unpack_from("<I", stored, entry(stored, 324) + 8)[0]
    (first,) = struct.unpack_from("<I", stored, offsets)
    (tmp_path / "a.tif").write_bytes(changed(stored, offsets, "<IIII", first, first, first, first))
    image = open_image(tmp_path / "a.tif", allow_damaged=True)  # what the other tiles held is now surplus
    assert (levels(image)[0] == 200).all()
    assert "over one another" not in str(image.notes)


@pytest.mark.parametrize(
    ("put", "says"),
    [
        (b"<OME", "the OME-XML cannot be read"),
        (b'SizeX="331', "the OME-XML describes 331 x 260 pixels, the picture has 330 x 260"),
    ],
)
def test_ome_xml_that_does_not_fit_its_picture_is_refused(
    tmp_path: Path, whole: dict[str, bytes], put: bytes, says: str
) -> None:
    stored = whole["OME-TIFF"]
    at = stored.index(b'SizeX="330') if put.startswith(b"SizeX") else stored.index(b"<Pixels")
    (tmp_path / "a.ome.tif").write_bytes(stored[:at] + put + stored[at + len(put) :])
    with pytest.raises(InputError, match=says):
        open_image(tmp_path / "a.ome.tif")


@pytest.mark.parametrize("kind", ["OME-TIFF", "SVS"])
@pytest.mark.parametrize("declares", ["<!DOCTYPE OME [<!ENTITY a 'b'>]>", "<!DOCTYPE OME SYSTEM 'file:///etc/hosts'>"])
def test_xml_with_a_document_type_is_refused(tmp_path: Path, tissue: np.ndarray, kind: str, declares: str) -> None:
    text = f"<?xml version='1.0'?>{declares}<OME><Image/></OME>"
    if kind == "SVS":
        text = f"Aperio Image Library v11 \r\n{text}|MPP = 0.5"
    stored = tiff(tissue, tile=(64, 64), compression="jpeg", description=text, metadata=None)
    (tmp_path / "a.tif").write_bytes(stored)
    for allow_damaged in (False, True):
        with pytest.raises(InputError, match="document type"):
            open_image(tmp_path / "a.tif", allow_damaged=allow_damaged)


# ---- what the user allows ----


def test_a_picture_that_is_allowed_to_be_damaged_says_so(tmp_path: Path, whole: dict[str, bytes]) -> None:
    for kind, data in {
        "JPEG": whole["JPEG"][:-40],
        "TIFF of deflated strips": whole["TIFF of deflated strips"] + b"more" * 200,
        "PNG": whole["PNG"][:-4],
    }.items():
        image, pixels = opened(tmp_path, data, allow_damaged=True)
        assert image.notes[0].startswith("the image is damaged and was read all the same"), kind
        assert pixels[0].shape == (260, 330, 3)


def test_a_tile_that_cannot_be_decoded_is_white_where_that_is_allowed(tmp_path: Path, tissue: np.ndarray) -> None:
    path = tmp_path / "a.tif"
    stored = tiff(tissue, tile=(64, 64), compression="zlib", metadata=None)
    path.write_bytes(stored)
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[0].dataoffsets[0]
    path.write_bytes(changed(stored, offset + 100, "<16s", b"\xff" * 16))
    image = open_image(path, allow_damaged=True)
    assert "the tile at x=0, y=0 of level 0" in image.notes[0]
    pixels = levels(image)[0]
    assert (pixels[:64, :64] == 255).all()
    np.testing.assert_array_equal(pixels[64:], tissue[64:])


def test_what_cannot_be_decoded_at_all_stays_refused(tmp_path: Path, whole: dict[str, bytes]) -> None:
    with pytest.raises(InputError):
        opened(tmp_path, whole["PNG"][:5000], allow_damaged=True)


# ---- what is no file ----


def test_a_pipe_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.tif")
    raised: list[BaseException] = []

    def attempt() -> None:
        try:
            open_image(tmp_path / "a.tif")
        except InputError as error:
            raised.append(error)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(5)
    assert raised
    assert "pipe" in str(raised[0])


def test_a_device_is_refused() -> None:
    with pytest.raises(InputError, match="device"):
        open_image(Path("/dev/zero"))


def test_millions_of_directories_are_not_followed(tmp_path: Path) -> None:
    n = 200_000  # empty directories, each leading to the next
    chain = b"".join(struct.pack("<HHHIII", 1, 305, 2, 1, 65, 8 + 18 * (k + 1)) for k in range(n))
    (tmp_path / "a.tif").write_bytes(b"II*\0" + struct.pack("<I", 8) + chain)
    start = time.perf_counter()
    with pytest.raises(InputError):
        open_image(tmp_path / "a.tif")
    assert time.perf_counter() - start < 2
