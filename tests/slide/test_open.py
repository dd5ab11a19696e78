"""Opening pictures: every kind a user may have comes out as the same RGB; what cannot be read is refused clearly."""

import io
import struct
import time
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image

from histoscribe.errors import ConfigError, InputError
from histoscribe.slide import formats_tiff
from histoscribe.slide.image import SlideImage
from histoscribe.slide.open import open_image
from histoscribe.slide.sources import BoundedCache

HEIGHT, WIDTH = 150, 200


def picture(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """RGB in which every channel is different and smooth, so that a swap or a shift shows."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 255 // (width + height)], axis=-1).astype(np.uint8)


RGB = picture()
GREY = RGB[..., 0]
PLANES = np.ascontiguousarray(np.moveaxis(RGB, 2, 0))


def whole(image: SlideImage, level: int = 0) -> np.ndarray:
    height, width = image.source.shapes[level]
    return image.read(0, 0, width, height, level)


def tiff(path: Path, array: np.ndarray, **options: object) -> Path:
    tifffile.imwrite(path, array, **options)
    return path


def png(size: tuple[int, int], idat: bytes, *, depth: int = 8, colour: int = 2) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", idat) + chunk(b"IEND", b"")


def jpeg_bytes(**options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "JPEG", **options)
    return buffer.getvalue()


# ---- what can be read ----


@pytest.mark.parametrize(
    ("array", "options"),
    [
        pytest.param(RGB, {"photometric": "rgb"}, id="one uncompressed strip"),
        pytest.param(RGB, {"photometric": "rgb", "rowsperstrip": 7}, id="uncompressed strips"),
        pytest.param(RGB, {"photometric": "rgb", "rowsperstrip": 7, "compression": "lzw"}, id="LZW strips"),
        pytest.param(RGB, {"photometric": "rgb", "rowsperstrip": 150, "compression": "zlib"}, id="one deflate strip"),
        pytest.param(RGB, {"photometric": "rgb", "compression": "zlib", "predictor": True}, id="predictor"),
        pytest.param(RGB, {"photometric": "rgb", "tile": (64, 48)}, id="tiles"),
        pytest.param(RGB, {"photometric": "rgb", "tile": (64, 48), "compression": "zstd"}, id="zstd tiles"),
        pytest.param(RGB, {"photometric": "rgb", "tile": (64, 48), "bigtiff": True}, id="BigTIFF"),
        pytest.param(RGB, {"photometric": "rgb", "byteorder": ">"}, id="big-endian"),
        pytest.param(RGB, {"photometric": "rgb", "ome": True, "tile": (64, 48)}, id="OME-TIFF"),
        pytest.param(
            RGB[None], {"photometric": "rgb", "ome": True, "metadata": {"axes": "ZYXS"}}, id="OME of one plane"
        ),
        pytest.param(PLANES, {"photometric": "rgb", "planarconfig": "separate"}, id="planar"),
        pytest.param(
            PLANES, {"photometric": "rgb", "planarconfig": "separate", "compression": "lzw"}, id="planar LZW strips"
        ),
        pytest.param(
            PLANES,
            {"photometric": "rgb", "planarconfig": "separate", "tile": (64, 48), "compression": "lzw"},
            id="planar tiles",
        ),
        pytest.param(PLANES, {"photometric": "minisblack"}, id="channels first"),
        pytest.param(PLANES, {"photometric": "minisblack", "ome": True}, id="OME channels first"),
        pytest.param(
            PLANES, {"photometric": "minisblack", "ome": True, "compression": "zlib"}, id="OME channels first, deflate"
        ),
        pytest.param(PLANES, {"photometric": "minisblack", "imagej": True}, id="ImageJ channels"),
        pytest.param(RGB.astype(np.uint16) * 257, {"photometric": "rgb", "tile": (64, 48)}, id="16 bits"),
        pytest.param(RGB.astype(np.uint16) << 8, {"photometric": "rgb", "byteorder": ">"}, id="16 bits, big-endian"),
        pytest.param(
            RGB.astype(np.uint16) << 4,
            {"photometric": "rgb", "ome": True, "metadata": {"axes": "YXS", "SignificantBits": 12}},
            id="12 bits declared in OME",
        ),
        pytest.param(
            RGB.astype(np.uint16) << 4,
            {"photometric": "rgb", "extratags": [(281, "H", 3, (4095, 4095, 4095), True)]},
            id="12 bits declared by a tag",
        ),
        pytest.param(np.dstack([RGB, np.full_like(GREY, 255)]), {"photometric": "rgb"}, id="opaque alpha"),
    ],
)
def test_every_layout_of_tiff_gives_the_same_picture(tmp_path: Path, array: np.ndarray, options: dict) -> None:
    image = open_image(tiff(tmp_path / "a.tif", array, **options))
    assert image.shape == (HEIGHT, WIDTH)
    np.testing.assert_array_equal(whole(image), RGB)
    np.testing.assert_array_equal(image.read(37, 61, 90, 50), RGB[61:111, 37:127])


@pytest.mark.parametrize(
    ("names", "order"),
    [
        (["b", "g", "r"], (2, 1, 0)),
        (["Red", "Blue", "Green"], (0, 2, 1)),
        (["alpha", "red", "green", "blue"], (1, 2, 3)),
        (["Channel 0", "Channel 1", "Channel 2"], (0, 1, 2)),
        (["Brightfield R", "Brightfield G", "Brightfield B"], (0, 1, 2)),
    ],
)
def test_colours_of_an_ome_tiff_are_taken_by_their_names(tmp_path: Path, names: list[str], order: tuple) -> None:
    planes = np.random.default_rng(0).integers(0, 255, (len(names), 60, 70), np.uint8)
    metadata = {"axes": "CYX", "Channel": {"Name": names}}
    path = tiff(tmp_path / "a.ome.tif", planes, photometric="minisblack", ome=True, metadata=metadata)
    np.testing.assert_array_equal(whole(open_image(path)), np.moveaxis(planes[list(order)], 0, 2))


def test_grey_tiff_becomes_three_equal_channels(tmp_path: Path) -> None:
    image = open_image(tiff(tmp_path / "a.tif", GREY, photometric="minisblack"))
    np.testing.assert_array_equal(whole(image), np.repeat(GREY[..., None], 3, axis=2))


def test_grey_tiff_in_which_zero_is_white_is_turned_round(tmp_path: Path) -> None:
    image = open_image(tiff(tmp_path / "a.tif", GREY, photometric="miniswhite"))
    np.testing.assert_array_equal(whole(image)[..., 1], 255 - GREY)


def test_palette_tiff_is_looked_up(tmp_path: Path) -> None:
    colours = np.random.default_rng(0).integers(0, 256, (3, 256)).astype(np.uint16)
    path = tiff(tmp_path / "a.tif", GREY, photometric="palette", colormap=colours * 257, compression="zlib")
    np.testing.assert_array_equal(whole(open_image(path)), colours.T.astype(np.uint8)[GREY])


def test_cmyk_tiff_without_ink_is_white_and_with_black_ink_is_black(tmp_path: Path) -> None:
    inks = np.zeros((64, 64, 4), np.uint8)
    inks[:, 32:, 3] = 255
    pixels = whole(open_image(tiff(tmp_path / "a.tif", inks, photometric="separated")))
    assert (pixels[:, :32] == 255).all()
    assert (pixels[:, 32:] == 0).all()


def test_jpeg_compressed_tiles_are_close_to_the_picture(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", RGB, photometric="rgb", tile=(64, 64), compression="jpeg")
    assert np.abs(whole(open_image(path)).astype(int) - RGB).mean() < 2  # JPEG's own loss


def pil_mode(path: Path, mode: str) -> np.ndarray:
    """Save the picture in a mode of Pillow and return what it must come out as."""
    image = Image.fromarray(RGB).convert(mode)
    image.save(path)
    return np.asarray(image.convert("RGB"))


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1", "RGBA", "LA"])
def test_every_kind_of_png_becomes_rgb(tmp_path: Path, mode: str) -> None:
    expected = pil_mode(tmp_path / "a.png", mode)
    np.testing.assert_array_equal(whole(open_image(tmp_path / "a.png")), expected)


def test_png_of_16_bits_keeps_the_upper_8(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(imagecodecs.png_encode(RGB.astype(np.uint16) * 257))
    np.testing.assert_array_equal(whole(open_image(tmp_path / "a.png")), RGB)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_what_is_transparent_becomes_white(tmp_path: Path, suffix: str) -> None:
    alpha = np.zeros_like(GREY)
    alpha[:, 100:] = 255
    path = tmp_path / f"a{suffix}"
    if suffix == ".png":
        Image.fromarray(np.dstack([RGB, alpha])).save(path)
    else:
        tiff(path, np.dstack([RGB, alpha]), photometric="rgb", extrasamples=["unassalpha"])
    pixels = whole(open_image(path))
    assert (pixels[:, :100] == 255).all()
    np.testing.assert_array_equal(pixels[:, 100:], RGB[:, 100:])


def test_premultiplied_transparency_is_not_applied_twice(tmp_path: Path) -> None:
    half = np.full((64, 64, 4), 128, np.uint8)  # white at half opacity, stored as 128
    path = tiff(tmp_path / "a.tif", half, photometric="rgb", extrasamples=["assocalpha"])
    assert (whole(open_image(path)) == 255).all()


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_every_kind_of_jpeg_becomes_rgb(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(RGB).convert(mode).save(path, quality=95)
    expected = np.asarray(Image.open(path).convert("RGB"))
    np.testing.assert_array_equal(whole(open_image(path)), expected)


def test_progressive_jpeg_with_bytes_after_its_end_is_read(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg_bytes(progressive=True) + b"\0" * 100)
    assert open_image(tmp_path / "a.jpg").read(0, 0, WIDTH, HEIGHT).shape == (HEIGHT, WIDTH, 3)


# what a viewer shows of an upright picture that is stored with this value of the tag Orientation
STORED = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels),  # shown turned clockwise
    7: lambda pixels: np.rot90(pixels, 2).transpose(1, 0, 2),
    8: lambda pixels: np.rot90(pixels, 3),
}


def written_turned(path: Path, value: int) -> Path:
    stored = np.ascontiguousarray(STORED[value](RGB))
    if path.suffix == ".tif":
        return tiff(path, stored, photometric="rgb", extratags=[(274, "H", 1, value, True)], tile=(64, 48))
    exif = Image.Exif()
    exif[274] = value
    Image.fromarray(stored).save(path, exif=exif, **({"quality": 98} if path.suffix == ".jpg" else {}))
    return path


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("value", STORED)
def test_a_picture_is_read_upright_whatever_its_orientation_tag_says(tmp_path: Path, value: int, suffix: str) -> None:
    image = open_image(written_turned(tmp_path / f"a{suffix}", value))
    assert image.shape == (HEIGHT, WIDTH)
    assert np.abs(whole(image).astype(int) - RGB).mean() < 3
    np.testing.assert_array_equal(image.read(37, 61, 90, 50), whole(image)[61:111, 37:127])
    assert any("Orientation" in note for note in image.notes) == (value != 1)


def test_an_orientation_that_does_not_exist_moves_nothing(tmp_path: Path) -> None:
    image = open_image(tiff(tmp_path / "a.tif", RGB, photometric="rgb", extratags=[(274, "H", 1, 77, True)]))
    np.testing.assert_array_equal(whole(image), RGB)


def test_every_level_of_a_turned_pyramid_is_turned(tmp_path: Path) -> None:
    tag = [(274, "H", 1, 6, True)]
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(np.rot90(RGB), photometric="rgb", subifds=1, extratags=tag)
        file.write(np.rot90(RGB)[::2, ::2], photometric="rgb", subfiletype=1, extratags=tag)
    image = open_image(tmp_path / "a.tif")
    assert [image.source.shapes[k] for k in range(image.n_levels)] == [(150, 200), (75, 100)]
    assert np.abs(whole(image, 1).astype(int) - RGB[::2, ::2]).mean() < 3


def test_the_content_decides_and_not_the_name(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jpg")
    np.testing.assert_array_equal(whole(open_image(tmp_path / "a.jpg")), RGB)


# ---- pyramids ----


def halved(array: np.ndarray) -> np.ndarray:
    height, width = array.shape[0] // 2 * 2, array.shape[1] // 2 * 2
    return array[:height, :width].reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3)).astype(np.uint8)


@pytest.mark.parametrize("ome", [True, False], ids=["OME SubIFDs", "SubIFDs"])
def test_subifds_become_levels(tmp_path: Path, ome: bool) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif", ome=ome) as writer:
        writer.write(RGB, subifds=2, photometric="rgb", tile=(64, 64))
        writer.write(halved(RGB), subfiletype=1, photometric="rgb", tile=(64, 64))
        writer.write(halved(halved(RGB)), subfiletype=1, photometric="rgb", tile=(64, 64))
    image = open_image(tmp_path / "a.tif")
    assert image.source.shapes == ((150, 200), (75, 100), (37, 50))
    assert [image.downsample(k) for k in range(3)] == [1, 2, 4]
    np.testing.assert_array_equal(whole(image, 1), halved(RGB))


def test_reduced_pages_become_levels(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for level, array in enumerate([RGB, halved(RGB)]):
            writer.write(array, subfiletype=int(level > 0), photometric="rgb", rowsperstrip=9, metadata=None)
    image = open_image(tmp_path / "a.tif")
    assert image.source.shapes == ((150, 200), (75, 100))
    np.testing.assert_array_equal(whole(image, 1), halved(RGB))


def test_a_label_of_another_shape_is_no_level(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(RGB[:60, :60], photometric="rgb", metadata=None)
        writer.write(RGB, photometric="rgb", metadata=None)
    image = open_image(tmp_path / "a.tif")
    assert image.source.shapes == ((150, 200),)


def test_svs_is_read_through_openslide_with_its_microns_per_pixel(data_dir: Path) -> None:
    image = open_image(data_dir / "wsi/CMU-1-Small-Region.svs")
    assert image.shape == (2967, 2220)
    assert image.mpp == 0.499
    assert image.mpp_by_source == {"slide scanner (OpenSlide mpp-x)": 0.499, "Aperio description (MPP)": 0.499}
    reference = tifffile.imread(data_dir / "wsi/CMU-1-Small-Region.svs", key=0)
    window = image.read(1000, 500, 300, 200).astype(int)
    assert np.abs(window - reference[500:700, 1000:1300]).max() <= 2  # two JPEG decoders


# ---- laziness, threads, memory ----


def test_opening_a_jpeg_decodes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg_bytes())
    calls = []
    decode = imagecodecs.jpeg8_decode
    monkeypatch.setattr(imagecodecs, "jpeg8_decode", lambda data: calls.append(1) or decode(data))
    image = open_image(tmp_path / "a.jpg")
    assert not calls
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: image.read(0, 0, 40, 40), range(40)))
    assert len(calls) == 1


def test_threads_read_the_same_pixels(tmp_path: Path) -> None:
    image = open_image(tiff(tmp_path / "a.tif", RGB, photometric="rgb", tile=(16, 16), compression="zlib"))
    corners = [(x, y) for x in range(0, 160, 13) for y in range(0, 110, 17)]
    with ThreadPoolExecutor(8) as threads:
        windows = list(threads.map(lambda c: image.read(*c, 40, 40), corners))
    for (x, y), window in zip(corners, windows, strict=True):
        np.testing.assert_array_equal(window, RGB[y : y + 40, x : x + 40])


def test_only_the_tiles_under_the_window_are_decoded(tmp_path: Path) -> None:
    image = open_image(tiff(tmp_path / "a.tif", RGB, photometric="rgb", tile=(16, 16), compression="zlib"))
    image.read(20, 20, 20, 10)
    assert image.source._cache.n_bytes == 2 * 16 * 16 * 3


def test_the_cache_drops_the_oldest_but_never_the_newest() -> None:
    cache = BoundedCache(100)
    for key in range(5):
        cache.put((key,), np.zeros(40, np.uint8))
    assert [cache.get((key,)) is not None for key in range(5)] == [False, False, False, True, True]
    cache.put((9,), np.zeros(1000, np.uint8))
    assert cache.get((9,)) is not None
    assert cache.n_bytes == 1000


def test_a_picture_can_be_neither_changed_nor_spoilt_through_a_window(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="read-only"):
        open_image(tmp_path / "a.png").read(0, 0, 10, 10)[:] = 0


# ---- microns per pixel ----


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"resolution": (20_000, 20_000), "resolutionunit": "CENTIMETER"}, {"TIFF resolution tag": 0.5}),
        ({"resolution": (50_800, 50_800), "resolutionunit": "INCH"}, {"TIFF resolution tag": 0.5}),
        ({"resolution": (72, 72), "resolutionunit": "INCH"}, {}),
        ({"resolution": (300, 300), "resolutionunit": "INCH"}, {}),
        ({"resolution": (20_000, 10_000), "resolutionunit": "CENTIMETER"}, {}),
        ({"resolution": (1, 1), "resolutionunit": "NONE"}, {}),
        (
            {"description": "Aperio Image|AppMag = 20|MPP = 0.4990|", "metadata": None},
            {"Aperio description (MPP)": 0.499},
        ),
        (
            {"imagej": True, "resolution": (2, 2), "resolutionunit": "NONE", "metadata": {"unit": "um"}},
            {"ImageJ scale": 0.5},
        ),
        (
            {"ome": True, "metadata": {"axes": "YXS", "PhysicalSizeX": 0.25, "PhysicalSizeY": 0.25}},
            {"OME-XML PhysicalSizeX": 0.25},
        ),
        (
            {
                "ome": True,
                "metadata": {
                    "axes": "YXS",
                    "PhysicalSizeX": 250,
                    "PhysicalSizeXUnit": "nm",
                    "PhysicalSizeY": 250,
                    "PhysicalSizeYUnit": "nm",
                },
            },
            {"OME-XML PhysicalSizeX": 0.25},
        ),
    ],
)
def test_microns_per_pixel_of_a_tiff(tmp_path: Path, options: dict, expected: dict[str, float]) -> None:
    image = open_image(tiff(tmp_path / "a.tif", RGB, photometric="rgb", **options))
    assert image.mpp_by_source == pytest.approx(expected)
    assert image.mpp == pytest.approx(next(iter(expected.values()), None))


@pytest.mark.parametrize(("dpi", "expected"), [(50_800, 0.5), (72, None), (300, None)])
@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_microns_per_pixel_of_a_resolution_tag(tmp_path: Path, kind: str, dpi: int, expected: float | None) -> None:
    path = tmp_path / "a"
    Image.fromarray(RGB).save(path, kind, dpi=(dpi, dpi))
    image = open_image(path)
    assert image.mpp == (None if expected is None else pytest.approx(expected, rel=1e-3))
    assert list(image.mpp_by_source) == ([] if expected is None else [f"{kind} resolution tag"])


def test_the_argument_wins_over_the_file(tmp_path: Path) -> None:
    path = tiff(tmp_path / "a.tif", RGB, photometric="rgb", resolution=(20_000, 20_000), resolutionunit="CENTIMETER")
    image = open_image(path, mpp=0.7)
    assert image.mpp == 0.7
    assert image.mpp_by_source == pytest.approx({"TIFF resolution tag": 0.5})


@pytest.mark.parametrize("mpp", [0.0, -1.0, float("nan"), float("inf")])
def test_microns_per_pixel_must_be_a_positive_number(tmp_path: Path, mpp: float) -> None:
    Image.fromarray(RGB).save(tmp_path / "a.png")
    with pytest.raises(ConfigError, match="positive"):
        open_image(tmp_path / "a.png", mpp=mpp)


# ---- what is refused ----


def _cut(data: bytes, share: float) -> bytes:
    return data[: int(len(data) * share)]


def _png_bytes() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(RGB).save(buffer, "PNG")
    return buffer.getvalue()


def _tiff_bytes(array: np.ndarray = RGB, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, array, **{"photometric": "rgb", **options})
    return buffer.getvalue()


def _jpeg_header(width: int, height: int) -> bytes:
    """A valid small JPEG whose frame header claims another size."""
    data = bytearray(jpeg_bytes())
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def _damaged_tile() -> bytes:
    buffer = io.BytesIO(_tiff_bytes(tile=(64, 64), compression="zlib", metadata=None))
    with tifffile.TiffFile(buffer) as file:
        offset = file.pages[0].dataoffsets[0]
    data = bytearray(buffer.getvalue())
    data[offset + 4 : offset + 40] = bytes(36)
    return bytes(data)


def _jpeg_tile_without_end() -> bytes:
    buffer = io.BytesIO(_tiff_bytes(tile=(64, 64), compression="jpeg", metadata=None))
    with tifffile.TiffFile(buffer) as file:
        page = file.pages[0]
        offset, count = page.dataoffsets[1], page.databytecounts[1]
    data = bytearray(buffer.getvalue())
    data[offset + count // 2 : offset + count] = bytes(count - count // 2)
    return bytes(data)


def _unwritten_tile() -> bytes:
    def tiles():
        for i in range(4):
            yield None if i == 3 else np.full((64, 64, 3), 200, np.uint8)

    buffer = io.BytesIO()
    tifffile.imwrite(
        buffer, tiles(), shape=(128, 128, 3), dtype=np.uint8, tile=(64, 64), photometric="rgb", compression="zlib"
    )
    return buffer.getvalue()


def _one_strip(side: int, data: bytes) -> bytes:
    """A TIFF of one deflated strip that claims to hold side x side pixels."""
    tags = [
        (256, 4, side),
        (257, 4, side),
        (258, 3, 8),
        (259, 3, 8),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, side),
    ]
    tags += [(279, 4, len(data))]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", t, k, 1, v) for t, k, v in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory + b"\0\0\0\0"


REFUSED = {
    "empty file": ("a.png", b"", "empty"),
    "text called png": ("a.png", b"barcode,x,y\nAAAC,1,2\n", "text file that begins 'barcode"),
    "text called tif": ("a.tif", b"not an image", "text file"),
    "unknown suffix and bytes": ("a.xyz", bytes(range(256)), "unknown kind of file called '.xyz'"),
    "web page": ("a.tif", b"<!doctype html><html>sign in", "web page"),
    "PDF": ("a.pdf", b"%PDF-1.7 \x80", "PDF"),
    "GIF": ("a.gif", b"GIF89a\x80\x01", "GIF"),
    "WebP": ("a.webp", b"RIFF\x10\0\0\0WEBPVP8 ", "WebP"),
    "HDF5": ("a.h5", b"\x89HDF\r\n\x1a\n\0\0", "HDF5"),
    "zip": ("a.zip", b"PK\3\4\x14\0\0\0", "zip"),
    "LFS pointer": ("a.tif", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    "truncated JPEG": ("a.jpg", _cut(jpeg_bytes(), 0.7), "Premature end of JPEG"),
    "truncated progressive JPEG": ("a.jpg", _cut(jpeg_bytes(progressive=True), 0.7), "damaged or incomplete"),
    "JPEG cut in its header": ("a.jpg", jpeg_bytes()[:30], "damaged or incomplete"),
    "truncated PNG": ("a.png", _cut(_png_bytes(), 0.7), "damaged or incomplete"),
    "PNG cut in its header": ("a.png", _png_bytes()[:20], "damaged or incomplete"),
    "PNG with a flipped bit": ("a.png", _png_bytes()[:400] + b"\xa5\x5a" + _png_bytes()[402:], "damaged or incomplete"),
    "truncated uncompressed TIFF": ("a.tif", _cut(_tiff_bytes(), 0.9), "damaged or incomplete"),
    "truncated tiled TIFF": (
        "a.tif",
        _cut(_tiff_bytes(tile=(64, 64), compression="zlib"), 0.9),
        "damaged or incomplete",
    ),
    "TIFF cut in its header": ("a.tif", _tiff_bytes()[:6], "damaged or incomplete"),
    "TIFF of zeros": ("a.tif", b"II*\0" + bytes(100), "damaged or incomplete"),
    "TIFF with a damaged tile": ("a.tif", _damaged_tile(), "damaged or incomplete"),
    "TIFF with half a JPEG tile": ("a.tif", _jpeg_tile_without_end(), "the tile at x=64, y=0 of level 0"),
    "TIFF not written to its end": ("a.tif", _unwritten_tile(), "1 of them empty"),
    "too small PNG": ("a.png", imagecodecs.png_encode(RGB[:31]), "200 x 31 pixels"),
    "too small JPEG": ("a.jpg", imagecodecs.jpeg8_encode(np.ascontiguousarray(RGB[:, :31])), "31 x 150 pixels"),
    "too small TIFF": ("a.tif", _tiff_bytes(RGB[:20]), "200 x 20 pixels"),
    "float TIFF": ("a.tif", _tiff_bytes(RGB.astype(np.float32)), "float32"),
    "signed TIFF": ("a.tif", _tiff_bytes(RGB.astype(np.int16)), "int16"),
    "32-bit TIFF": ("a.tif", _tiff_bytes(RGB.astype(np.uint32)), "uint32"),
    "two-channel TIFF": ("a.tif", _tiff_bytes(PLANES[:2], photometric="minisblack", ome=True), "2 channels"),
    "seven channels": (
        "a.tif",
        _tiff_bytes(np.repeat(PLANES[:1], 7, 0), photometric="minisblack", ome=True),
        "7 channels",
    ),
    "five samples": ("a.tif", _tiff_bytes(np.repeat(RGB[..., :1], 5, 2), planarconfig="contig"), "5 samples per pixel"),
    "fluorescence": (
        "a.tif",
        _tiff_bytes(
            PLANES,
            photometric="minisblack",
            ome=True,
            metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "FITC", "Cy5"]}},
        ),
        "DAPI",
    ),
    "OME planes of antibodies": (
        "a.tif",
        _tiff_bytes(
            PLANES,
            photometric="minisblack",
            ome=True,
            metadata={"axes": "CYX", "Channel": {"Name": ["Nuclei", "CD3", "PanCK"]}},
        ),
        "PanCK",
    ),
    "five dyes in one page": ("a.tif", _tiff_bytes(np.dstack([RGB, RGB[..., :2]]), photometric="minisblack"), "5"),
    "z-stack": ("a.tif", _tiff_bytes(np.stack([RGB] * 4), ome=True, metadata={"axes": "ZYXS"}), "4 focal planes"),
    "time series": ("a.tif", _tiff_bytes(np.stack([RGB] * 4), ome=True, metadata={"axes": "TYXS"}), "4 time points"),
    "pages of one size": ("a.tif", _tiff_bytes(np.stack([RGB] * 3), metadata=None), "3 pictures of one size"),
    "dark 16-bit TIFF": ("a.tif", _tiff_bytes(RGB.astype(np.uint16) << 3), "range of this 16-bit image is not known"),
    "dark 16-bit PNG": ("a.png", imagecodecs.png_encode(RGB.astype(np.uint16) << 3), "range of this 16-bit image"),
    "PNG bomb": ("a.png", png((60_000, 60_000), zlib.compress(bytes(10**6))), "too large to be decoded in one piece"),
    "blank PNG bomb": ("a.png", png((20_000, 20_000), zlib.compress(bytes(10**6))), "made to exhaust memory"),
    "PNG wider than any slide": ("a.png", png((2**31 - 1, 100), b""), "larger than any slide"),
    "JPEG bomb": ("a.jpg", _jpeg_header(65_000, 65_000), "too large to be decoded in one piece"),
    "TIFF bomb": ("a.tif", _one_strip(60_000, zlib.compress(bytes(10**6))), "too large to be decoded in one piece"),
    "blank TIFF bomb": ("a.tif", _one_strip(20_000, zlib.compress(bytes(10**6))), "made to exhaust memory"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_files_are_refused_within_a_second_with_a_fix(tmp_path: Path, case: str) -> None:
    name, data, says = REFUSED[case]
    path = tmp_path / name
    path.write_bytes(data)
    start = time.perf_counter()
    with pytest.raises(InputError) as refusal:
        whole(open_image(path))
    assert time.perf_counter() - start < 1
    error = refusal.value
    assert error.where == str(path)
    assert error.expected
    assert error.found
    assert error.fix
    assert says in str(error)


@pytest.mark.parametrize("share", np.linspace(0.05, 0.99, 12).round(2))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "tiled TIFF", "striped TIFF", "JPEG TIFF"])
def test_a_cut_file_never_comes_out_as_half_a_picture(tmp_path: Path, kind: str, share: float) -> None:
    data = {
        "JPEG": jpeg_bytes(),
        "PNG": _png_bytes(),
        "tiled TIFF": _tiff_bytes(tile=(64, 64)),
        "striped TIFF": _tiff_bytes(rowsperstrip=8, compression="lzw"),
        "JPEG TIFF": _tiff_bytes(tile=(64, 64), compression="jpeg"),
    }[kind]
    path = tmp_path / "cut"
    path.write_bytes(_cut(data, share))
    with pytest.raises(InputError, match="cut"):
        whole(open_image(path))


@pytest.mark.parametrize("options", [{}, {"rowsperstrip": 8, "compression": "lzw"}, {"tile": (64, 64)}])
def test_a_cut_tiff_is_refused_on_opening(tmp_path: Path, options: dict) -> None:
    (tmp_path / "a.tif").write_bytes(_tiff_bytes(**options)[:-1])
    with pytest.raises(InputError, match="damaged or incomplete"):
        open_image(tmp_path / "a.tif")


def test_a_missing_file_names_what_is_like_it(tmp_path: Path) -> None:
    (tmp_path / "section_A1.tif").write_bytes(b"")
    with pytest.raises(InputError, match=r"did you mean section_A1\.tif"):
        open_image(tmp_path / "section_A1.tiff")


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        open_image(tmp_path / "no" / "a.tif")


def test_a_folder_lists_the_images_in_it(tmp_path: Path) -> None:
    Image.fromarray(RGB).save(tmp_path / "tissue.png")
    with pytest.raises(InputError, match=r"folder with the images: tissue\.png"):
        open_image(tmp_path)


def test_a_truncated_slide_is_refused(data_dir: Path, tmp_path: Path) -> None:
    data = (data_dir / "wsi/CMU-1-Small-Region.svs").read_bytes()
    (tmp_path / "cut.svs").write_bytes(data[: len(data) // 3])
    with pytest.raises(InputError, match=r"cut\.svs"):
        whole(open_image(tmp_path / "cut.svs"))


def test_a_large_tiled_tiff_is_opened_from_its_directory(tmp_path: Path) -> None:
    side, tile = 100_000, 1000  # a real slide's size; all tiles share one stored tile
    data = zlib.compress(bytes([200]) * (1008 * 1008))
    n = (-(-side // 1008)) ** 2
    values = struct.pack(f"<{n}I", *[8] * n) + struct.pack(f"<{n}I", *[len(data)] * n)
    at = 8 + len(data)
    tags = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1), (277, 3, 1, 1)]
    tags += [(322, 4, 1, 1008), (323, 4, 1, 1008), (324, 4, n, at), (325, 4, n, at + 4 * n)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    path = tmp_path / "a.tif"
    path.write_bytes(b"II*\0" + struct.pack("<I", at + len(values)) + data + values + directory + b"\0\0\0\0")
    start = time.perf_counter()
    image = open_image(path)
    assert (image.read(99_000, 99_000, tile, tile) == 200).all()
    assert time.perf_counter() - start < 2


def test_strips_of_one_band_stay_in_the_cache(tmp_path: Path) -> None:
    assert formats_tiff._CACHE_BYTES == 256 * 2**20
    wide = open_image(
        tiff(tmp_path / "a.tif", picture(64, 60_000), photometric="rgb", rowsperstrip=1, compression="lzw")
    )
    assert wide.source._cache.max_bytes == 2560 * 60_000 * 3


def test_pillows_own_limit_is_left_alone(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    (tmp_path / "a.png").write_bytes(png((15_000, 15_000), bytes(5 * 10**6)))
    assert open_image(tmp_path / "a.png").shape == (15_000, 15_000)  # 225 Mpx: Pillow's own open would refuse it
    assert before == Image.MAX_IMAGE_PIXELS
