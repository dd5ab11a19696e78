"""TIFF, BigTIFF and OME-TIFF: windows of tiled, striped, planar and uncompressed pictures, and their pyramids.

Only the strips or tiles under a window are read and decoded. The file is opened for each read, so that an image holds
no descriptor and any number of threads may read it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError, listing
from histoscribe.slide.channels import colour_order
from histoscribe.slide.checks_tiff import check_layout, check_length
from histoscribe.slide.damage import Damage
from histoscribe.slide.formats_tiff_pieces import DECODING, decode_piece
from histoscribe.slide.formats_tiff_tags import (
    channel_names,
    imagej_labels,
    ome_images,
    ome_pixels,
    significant_bits,
    tiff_mpp,
)
from histoscribe.slide.image import RGB
from histoscribe.slide.sources import (
    MIN_SIDE_PX,
    SAVE_RGB,
    BoundedCache,
    Samples,
    check_piece,
    check_size,
    damaged,
    refuse_dark_16_bit,
)
from histoscribe.slide.turns import AS_IT_IS, ORIENTATION, UPRIGHT

_CACHE_BYTES = 256 * 2**20
# Readers walk a picture in bands of blocks; strips run over its whole width, so the cache must hold a band of them.
_BAND_ROWS = 2560

_JPEG = (6, 7)
_MODELS = {0: "inverted", 1: "grey", 2: "rgb", 3: "palette", 5: "cmyk", 6: "rgb"}
_ALPHA = {1: "premultiplied", 2: "straight"}
_DYES = re.compile(r"dapi|hoechst|fitc|tritc|cy[357]|alexa|[gry]fp|texas|opal|af\d{3}|cd\d+|dna|draq", re.IGNORECASE)


@dataclass(frozen=True, slots=True, eq=False)
class _Level:
    """One resolution: whole pictures or colour planes, each cut into strips or tiles."""

    shape: tuple[int, int]
    planes: Sequence[Any]  # tifffile pages: one, or one per colour
    page: Any  # the page that describes them all
    piece: tuple[int, int]  # (rows, columns) of one strip or tile
    mapped: tuple[int, np.dtype[Any], tuple[int, ...], bool] | None  # offset, dtype, shape, planar: stored as it is


class TiffSource:
    """Pixels of a TIFF file, window by window."""

    def __init__(
        self, damage: Damage, levels: list[_Level], samples: Samples, order: tuple[int, ...] | None = None
    ) -> None:
        self.turn = UPRIGHT.get(levels[0].page.tags.valueof(ORIENTATION, 1), AS_IT_IS)
        self.path = damage.path
        self._damage = damage
        self._checked: set[tuple[int, int, int]] = set()  # level, plane, index: not again when it left the cache
        self._levels = levels
        self._samples = samples
        self._order = order  # where red, green and blue stand; None where they are as they are stored
        band = max(0 if level.page.is_tiled else _BAND_ROWS * level.shape[1] * 3 for level in levels)
        self._cache = BoundedCache(max(_CACHE_BYTES, band))

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of every level."""
        return tuple(level.shape for level in self._levels)

    def read(self, x: int, y: int, width: int, height: int, level: int) -> RGB:
        """Window of a level; raises InputError where the file is damaged under it."""
        stored = self._stored(x, y, width, height, level)
        return self._samples.to_rgb(stored if self._order is None else stored[..., list(self._order)])

    def inspect(self) -> None:
        """Decode every strip and tile once, which checks them."""
        with self.path.open("rb") as file:
            for number, level in enumerate(self._levels):
                if level.mapped is None:
                    for plane, frame in enumerate(level.planes):
                        for index in range(len(frame.dataoffsets)):
                            self._decoded(file, number, plane, index)

    def brightest(self) -> int:
        """Largest stored value in 25 small windows spread over the coarsest level."""
        level = len(self._levels) - 1
        rows, columns = self._levels[level].shape
        side = min(64, rows, columns)
        corners = [(round((columns - side) * i / 4), round((rows - side) * j / 4)) for i in range(5) for j in range(5)]
        return max(int(self._stored(x, y, side, side, level).max()) for x, y in corners)

    def _stored(self, x: int, y: int, width: int, height: int, level: int) -> NDArray[Any]:
        """Return the samples as they are stored, (height, width, s)."""
        try:
            if self._levels[level].mapped:
                return _read_mapped(self.path, self._levels[level].mapped, x, y, width, height)
            with self.path.open("rb") as file:
                return self._read_pieces(file, x, y, width, height, level)
        except InputError:
            raise
        except DECODING as error:
            raise damaged(self.path, "TIFF", error) from error

    def _read_pieces(self, file: Any, x: int, y: int, width: int, height: int, level: int) -> NDArray[Any]:
        at = self._levels[level]
        rows, columns = at.piece
        across, down = -(-at.shape[1] // columns), -(-at.shape[0] // rows)
        n_separate = at.page.shaped[0] if len(at.planes) == 1 else len(at.planes)
        n_samples = n_separate * at.page.shaped[4]
        window = np.empty((height, width, n_samples), at.page.dtype.newbyteorder("="))
        for separate in range(n_separate):
            plane = separate if len(at.planes) > 1 else 0
            offset = separate * across * down if len(at.planes) == 1 else 0
            first = separate * at.page.shaped[4]
            for row in range(y // rows, -(-(y + height) // rows)):
                for column in range(x // columns, -(-(x + width) // columns)):
                    piece = self._piece(file, level, plane, offset + row * across + column)  # (rows, columns, s)
                    top, left = row * rows, column * columns
                    y0, y1 = max(y, top), min(y + height, top + rows)
                    x0, x1 = max(x, left), min(x + width, left + columns)
                    window[y0 - y : y1 - y, x0 - x : x1 - x, first : first + piece.shape[2]] = piece[
                        y0 - top : y1 - top, x0 - left : x1 - left
                    ]
        return window

    def _piece(self, file: Any, level: int, plane: int, index: int) -> NDArray[Any]:
        """One decoded strip or tile, from the cache or the file."""
        key = (level, plane, index)
        piece = self._cache.get(key)
        if piece is None:
            piece = self._decoded(file, level, plane, index)
            self._cache.put(key, piece)
        return piece

    def _decoded(self, file: Any, level: int, plane: int, index: int) -> NDArray[Any]:
        at = self._levels[level]

        def met(fault: str) -> None:
            rows, columns = at.piece
            row, column = divmod(
                index % (-(-at.shape[1] // columns) * -(-at.shape[0] // rows)), -(-at.shape[1] // columns)
            )
            kind = "tile" if at.page.is_tiled else "strip"
            self._damage.met(f"the {kind} at x={column * columns:,}, y={row * rows:,} of level {level}: {fault}")

        key = (level, plane, index)
        piece = decode_piece(file, at.page, at.planes[plane], index, met=met, is_checked=key in self._checked)
        self._checked.add(key)
        # what cannot be decoded and is wanted all the same is white, as glass without tissue
        return np.full((*at.piece, at.page.shaped[4]), self._samples.white(), at.page.dtype) if piece is None else piece


def open_tiff(path: Path, damage: Damage) -> tuple[TiffSource, dict[str, float]]:
    """Read the directories of a TIFF file.

    Of several pictures in one file the largest is the section's. A (3, height, width) picture is taken as red, green
    and blue, unless its channels have other names. Values of 16 bits are scaled by the range that the file declares
    (OME SignificantBits, BitsPerSample, MaxSampleValue), else by 65,535 if the picture reaches that far.

    Returns
    -------
    The source, and the plausible microns per pixel by source.

    Raises
    ------
    InputError
        Where the file is cut, or holds something else than one colour picture of integers.
    """
    from tifffile import TiffFile

    try:
        layout = check_layout(path, met=damage.met)
        with TiffFile(path) as tif:
            source, mpp = _open(path, tif, damage)
            pictures = [series.dataoffset + series.nbytes for series in tif.series if series.dataoffset is not None]
        check_length(path, layout, end=max(pictures, default=0), met=damage.met)
    except InputError:
        raise
    except DECODING as error:
        raise damaged(path, "TIFF", error) from error
    return source, mpp


def _open(path: Path, tif: Any, damage: Damage) -> tuple[TiffSource, dict[str, float]]:
    images = ome_images(tif, damage)
    pictures = [series for series in tif.series if {"Y", "X"} <= set(series.axes)]
    if not pictures:
        raise damaged(path, "TIFF", "no picture in it")
    main = max(pictures, key=lambda series: _size(series)[0] * _size(series)[1])
    height, width = _size(main)
    check_size(path, width, height)
    pixels = ome_pixels(images, damage, width=width, height=height)
    page = main.keyframe
    order = _colours(path, main, channel_names(pixels), labels=imagej_labels(tif))
    colours = 3 if _n_planes(main) > 1 else 1
    samples = _samples(path, page, colours=colours, bits=significant_bits(page, pixels) or 16)
    levels = [_level(damage, tif, series) for series in _pyramid(main)]
    source = TiffSource(damage, levels, samples, order)
    if samples.bits > 8 and significant_bits(page, pixels) is None:
        refuse_dark_16_bit(path, source.brightest())
    return source, tiff_mpp(tif, page, pixels)


def _axes(series: Any) -> dict[str, int]:
    """Axes and sizes of a series, in order, without those of size 1: {"Y": 900, "X": 1000, "S": 3}."""
    return {axis: int(n) for axis, n in zip(series.axes, series.shape, strict=True) if n > 1 or axis in "YX"}


def _size(series: Any) -> tuple[int, int]:
    """(height, width) of a series."""
    return _axes(series)["Y"], _axes(series)["X"]


def _n_planes(series: Any) -> int:
    """How many grey pages make one colour picture; 1 where a page holds the colours."""
    first, *rest = _axes(series).items()
    return first[1] if first[0] in "CQ" and [axis for axis, _ in rest] == ["Y", "X"] else 1


def _colours(path: Path, series: Any, names: list[str], *, labels: list[str]) -> tuple[int, ...] | None:
    """Where red, green and blue stand among planes or samples, None for as stored.

    Raises
    ------
    InputError
        Where it is a stack, a time series or fluorescence.
    """
    axes = _axes(series)
    others = {axis: n for axis, n in axes.items() if axis not in "YXS"}
    n = _n_planes(series) if others else axes.get("S", 1)
    if not any(names) and (colour_order(labels) or any(map(_DYES.search, labels))):
        names = labels
    named = any(names) and (len(names) == n or len(names) > 1)
    order = colour_order(names) if named and len(names) == n else colour_order([""] * n) if not named else None
    dyed = any(map(_DYES.search, names))
    if not others and not dyed and not (named and order is None):
        return order if named and order != tuple(range(len(order or ()))) else None
    if n > 1 and order is not None and not dyed and (named or n == 3):
        return None if order == (0, 1, 2) and n == 3 else order
    kinds = {"Z": "focal planes", "T": "time points", "C": "channels", "Q": "planes", "I": "pictures of one size"}
    kinds["S"] = "samples"
    raise InputError(
        "this TIFF is no H&E: its channels are not red, green and blue"
        if dyed or named
        else "this TIFF is a stack or has separate channels, not one colour picture",
        where=path,
        expected="one H&E picture: red, green and blue",
        found=", ".join(f"{n} {kinds.get(axis, f'planes ({axis})')}" for axis, n in (others or {"S": n}).items())
        + (f": {listing(names)}" if names else ""),
        fix=f"choose the H&E plane and {SAVE_RGB}; fluorescence is not read",
    )


def _samples(path: Path, page: Any, *, colours: int, bits: int) -> Samples:
    """How the page's numbers make colours; refuses what is no 8- or 16-bit colour picture."""
    n = colours * int(page.samplesperpixel)
    found = f"{n} samples per pixel of type {page.dtype}, photometric {getattr(page.photometric, 'name', 'unknown')}"
    refusal = InputError(
        "the values of this TIFF cannot be shown as H&E",
        where=path,
        expected="1 to 4 samples per pixel (grey, RGB, RGB with transparency, CMYK, palette) of 8 or 16 bits, unsigned",
        found=found,
        fix=f"{SAVE_RGB}; fluorescence is not read",
    )
    model = _MODELS.get(int(page.photometric))
    ycbcr_undecoded = int(page.photometric) == 6 and page.compression not in _JPEG
    if model is None or ycbcr_undecoded or page.dtype not in (np.uint8, np.uint16) or page.bitspersample < 8:
        raise refusal
    if model in ("grey", "inverted") and n in (3, 4):
        model = "rgb"
    needed = {"rgb": 3, "cmyk": 4}.get(model, 1)
    extra = [int(kind) for kind in page.extrasamples]
    alpha = _ALPHA.get(extra[0]) if n == needed + 1 and len(extra) == 1 else None
    if n != needed + (alpha is not None) or (model == "palette" and (page.dtype != np.uint8 or page.colormap is None)):
        raise refusal
    palette = (np.asarray(page.colormap).T >> 8).astype(np.uint8) if model == "palette" else None  # (256, 3)
    return Samples(model, 8 if page.dtype == np.uint8 else bits, alpha, palette)  # type: ignore[arg-type]


def _pyramid(main: Any) -> list[Any]:
    """Levels of a picture, the largest first, without those that are no smaller copy of it."""
    height, width = _size(main)
    levels = [main]
    for series in main.levels[1:]:
        rows, columns = _size(series)
        scale = width / columns
        same = list(_axes(series)) == list(_axes(main)) and series.dtype == main.dtype
        same = same and series.keyframe.samplesperpixel == main.keyframe.samplesperpixel
        smaller = min(rows, columns) >= MIN_SIDE_PX and columns < _size(levels[-1])[1]
        if same and smaller and abs(rows * scale - height) <= 2 * scale:
            levels.append(series)
    return levels


def _level(damage: Damage, tif: Any, series: Any) -> _Level:
    page, shape, path = series.keyframe, _size(series), damage.path
    n_planes, length = _n_planes(series), tif.filehandle.size
    together = series.dataoffset is not None and page.imagedepth == 1
    if together and series.dataoffset + series.nbytes > length:
        damage.met(f"{length:,} bytes; the picture ends at {series.dataoffset + series.nbytes:,}")
    elif together:
        dtype = np.dtype(page.dtype).newbyteorder(tif.byteorder)
        axes = _axes(series)
        mapped = (int(series.dataoffset), dtype, tuple(axes.values()), next(reversed(axes)) == "X")
        return _Level(shape, [page], page, shape, mapped)
    planes = [series[i] for i in range(n_planes)]
    if any(plane is None or plane.parent is not tif for plane in planes) or page.imagedepth != 1:
        raise InputError(
            "parts of this TIFF lie in other files, or it is a volume",
            where=path,
            expected="one file with one colour picture",
            found=f"axes {series.axes}, shape {series.shape}",
            fix=SAVE_RGB,
        )
    piece = (page.tilelength, page.tilewidth) if page.is_tiled else (min(page.rowsperstrip, shape[0]), shape[1])
    for plane in planes:
        _check_pieces(damage, plane, page, piece, length)
    page.init_decode()
    return _Level(shape, planes, page, piece, None)


def _check_pieces(damage: Damage, plane: Any, page: Any, piece: tuple[int, int], length: int) -> None:
    """Refuse, from the directory alone, files that are cut, unfinished or bombs."""
    offsets, counts = np.asarray(plane.dataoffsets, np.int64), np.asarray(plane.databytecounts, np.int64)
    n_separate, _, height, width, _ = page.shaped
    expected = n_separate * -(-height // piece[0]) * -(-width // piece[1])
    if len(offsets) != expected or len(counts) != expected:
        raise damaged(damage.path, "TIFF", f"{len(offsets):,} of {expected:,} strips or tiles are listed")
    if (counts == 0).any():
        damage.met(f"{expected:,} strips or tiles, {int((counts == 0).sum()):,} of them empty: not written to its end")
    end = int((offsets + counts).max())
    if end > length:
        damage.met(f"{length:,} bytes; the pixels end at {end:,}")
    kind = "one tile of the TIFF" if page.is_tiled else "one strip of the TIFF"
    check_piece(damage.path, kind, (piece[1], piece[0]), stored_bytes=int(counts.max()))


def _read_mapped(path: Path, mapped: Any, x: int, y: int, width: int, height: int) -> NDArray[Any]:
    """Window of an uncompressed picture; mapped for this read only, so that pages read do not pile up in memory."""
    offset, dtype, shape, planar = mapped
    array = np.memmap(path, dtype, "r", offset, shape)
    if planar and len(shape) == 3:  # (s, h, w)
        window = np.moveaxis(array[:, y : y + height, x : x + width], 0, 2)
    else:
        window = array[y : y + height, x : x + width]
        window = window if window.ndim == 3 else window[..., None]
    return np.array(window, dtype.newbyteorder("="), order="C")
