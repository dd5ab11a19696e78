"""Write a picture of any size with bounded memory: a tiled TIFF, and its small versions from the same pass."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.phantom.paint import BLOCK_PX, PhantomImage

RGB = NDArray[np.uint8]
Compression = Literal["jpeg", "zstd", "none"]

_JPEG_QUALITY = 92
_BIG_BYTES = 3 << 30  # uncompressed size from which a TIFF needs 64-bit offsets


def write_tiff(
    image: PhantomImage, path: Path, *, mpp: float, compression: Compression = "jpeg", max_side: int = 2000
) -> RGB:
    """Write the picture as a tiled RGB TIFF with its resolution, drawing one tile at a time.

    Parameters
    ----------
    image
        The picture.
    path
        File to write; a BigTIFF where the picture is large.
    mpp
        Microns per pixel, for the resolution tags.
    compression
        "jpeg" (small, slightly lossy, as scanners write), "zstd" or "none".
    max_side
        Size of the small version.

    Returns
    -------
    The picture averaged down so that its longer side has `max_side` pixels, (h, w, 3); the picture itself where it is
    no larger.
    """
    import tifffile

    height, width = image.shapes[0]
    small = _Shrinker(height, width, max_side)
    codecs: dict[str, dict[str, Any]] = {
        "jpeg": {"compression": "jpeg", "compressionargs": {"level": _JPEG_QUALITY}},
        "zstd": {"compression": "zstd"},
        "none": {},
    }
    with tifffile.TiffWriter(path, bigtiff=height * width * 3 > _BIG_BYTES) as file:
        file.write(
            _tiles(image, small),
            shape=(height, width, 3),
            dtype=np.uint8,
            photometric="rgb",
            tile=(BLOCK_PX, BLOCK_PX),
            resolution=(1e4 / mpp, 1e4 / mpp),
            resolutionunit="CENTIMETER",
            metadata=None,
            software=False,
            maxworkers=1,
            **codecs[compression],
        )
    return small.picture()


def shrink(image: PhantomImage, max_side: int) -> RGB:
    """Average the picture down so that its longer side has at most `max_side` pixels, tile by tile; (h, w, 3)."""
    small = _Shrinker(*image.shapes[0], max_side)
    for _ in _tiles(image, small):
        pass
    return small.picture()


def shrink_array(picture: RGB, max_side: int) -> RGB:
    """Return a picture in memory averaged down so that its longer side has at most `max_side` pixels, (h, w, 3)."""
    small = _Shrinker(picture.shape[0], picture.shape[1], max_side)
    small.add(0, 0, picture)
    return small.picture()


def write_png(path: Path, picture: RGB) -> None:
    """Write a small picture; the same picture gives the same bytes."""
    import imagecodecs

    path.write_bytes(imagecodecs.png_encode(np.ascontiguousarray(picture), level=3))


class _Shrinker:
    """Collects tiles into exact area averages on a coarser grid of pixels."""

    def __init__(self, height: int, width: int, max_side: int) -> None:
        scale = min(1.0, max_side / max(height, width))
        self._full = (height, width)
        self._total = np.zeros((max(1, round(height * scale)), max(1, round(width * scale)), 3))

    def add(self, x: int, y: int, pixels: RGB) -> None:
        height, width = pixels.shape[:2]
        top, rows = _area_weights(self._full[0], self._total.shape[0], y, height)
        left, columns = _area_weights(self._full[1], self._total.shape[1], x, width)
        tall = rows @ pixels.reshape(height, -1).astype(np.float32)  # (k, w * 3)
        wide = tall.reshape(-1, width, 3).transpose(1, 0, 2).reshape(width, -1)
        means = (columns @ wide).reshape(columns.shape[0], -1, 3).transpose(1, 0, 2)
        self._total[top : top + means.shape[0], left : left + means.shape[1]] += means

    def picture(self) -> RGB:
        return np.clip(np.rint(self._total), 0, 255).astype(np.uint8)


def _area_weights(n_full: int, n_small: int, start: int, length: int) -> tuple[int, sparse.csr_matrix]:
    """First small pixel that full pixels [start, start + length) reach, and their shares in it and the next ones."""
    step = n_full / n_small  # at least 1, so a full pixel lies in one small pixel or across the border of two
    full = np.arange(start, start + length)
    own = np.minimum((full / step).astype(int), n_small - 1)
    share = np.clip((own + 1) * step - full, 0, 1)
    share[own == n_small - 1] = 1
    rows, columns = np.concatenate([own, own + 1]), np.tile(full - start, 2)
    weights = np.concatenate([share, 1 - share]) / step
    used = weights > 0
    first, last = own[0], rows[used].max()
    shape = (last - first + 1, length)
    matrix = sparse.csr_matrix((weights[used].astype(np.float32), (rows[used] - first, columns[used])), shape=shape)
    return int(first), matrix


def _tiles(image: PhantomImage, small: _Shrinker) -> Iterator[RGB]:
    height, width = image.shapes[0]
    for y in range(0, height, BLOCK_PX):
        for x in range(0, width, BLOCK_PX):
            pixels = image.read(x, y, min(BLOCK_PX, width - x), min(BLOCK_PX, height - y))
            small.add(x, y, pixels)
            below, right = BLOCK_PX - pixels.shape[0], BLOCK_PX - pixels.shape[1]
            yield np.pad(pixels, ((0, below), (0, right), (0, 0)), mode="edge") if below or right else pixels
