"""The streaming engine: tiles of a slide through an encoder into a checksummed array, resumable chunk by chunk.

A reader thread cuts the tiles of the next chunk while the encoder works on this one. A chunk is on disk as soon as it
is done. A run that was killed goes on at the first chunk that is missing or damaged, with the same way of running the
network as before, so that it ends with the same bytes.

Examples
--------
>>> from pathlib import Path
>>> from histoscribe import SlideImage, make_phantom
>>> from histoscribe.encoders import build_encoder, embed, load_card
>>> phantom = make_phantom(7, size_um=800.0, mpp=1.0)
>>> image, xy_px = SlideImage(phantom.image, mpp=phantom.mpp), phantom.spots().obsm["spatial"]
>>> encoder = build_encoder(load_card("morphology"))
>>> features = embed(image, xy_px, encoder, tile_um=112.0, folder=Path("embedding.zarr"))
>>> features.shape
(52, 154)
"""

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.encoders.base import RGB, Choice, Encoder, Features
from histoscribe.errors import ConfigError, InputError, ResultError
from histoscribe.slide.image import SlideImage
from histoscribe.slide.tiles import read_tiles, reading_order
from histoscribe.store import arrays
from histoscribe.store.files import writing_to
from histoscribe.store.received import require_size

# version of the engine's numbers: raised when it would give others for the same work
ENGINE = 1


@dataclass(frozen=True, slots=True)
class EmbedSettings:
    """How the engine works; nothing here changes a number beyond float arithmetic.

    Parameters
    ----------
    chunk_tiles
        Tiles per chunk on disk: what a killed run loses at most.
    ahead
        Chunks of tiles that are read ahead and wait in memory.
    block_px
        Side of the square of level-0 pixels that is read at once.
    """

    chunk_tiles: int = 256
    ahead: int = 1
    block_px: int = 2048


def embed(
    image: SlideImage,
    xy_px: NDArray[np.float64],
    encoder: Encoder,
    *,
    tile_um: float,
    folder: Path,
    settings: EmbedSettings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Features:
    """Encode the tile round every spot.

    Parameters
    ----------
    image
        The section's picture, with its microns per pixel.
    xy_px
        (n, 2) float64, centres of the spots, x before y, in level-0 pixels.
    tile_um
        Side of a tile in microns.
    folder
        Where the array is kept, rows in reading order. What an earlier run of the same work left there is used; the
        remains of other work are replaced.
    progress
        Called with (spots done, all spots) after each chunk.

    Returns
    -------
    (n, dimension) float32, in the order of the spots.

    Raises
    ------
    InputError
        Where coordinates are not finite, or the image cannot be read.
    ConfigError
        Where a size is not positive.
    ResultError
        Where `folder` cannot be written.
    """
    settings = settings or EmbedSettings()
    xy_px = _checked(xy_px, tile_um=tile_um, settings=settings)
    order = reading_order(image.shape, xy_px, block_px=settings.block_px)
    work = {
        "engine": ENGINE,
        "card": encoder.card.to_dict(),
        "tile_um": float(tile_um),
        "image": {"shape": list(image.shape), "mpp": image.mpp, "pixels": _glance(image, xy_px[order])},
        "coordinates": hashlib.sha256(np.ascontiguousarray(xy_px[order]).tobytes()).hexdigest(),
        "chunk_tiles": settings.chunk_tiles,
    }
    shape = (len(xy_px), encoder.card.dimension)
    array, choice = _array(folder, work, order, shape=shape, choice=encoder.choice)
    if choice != encoder.choice:  # an interrupted run goes on as it began
        encoder = encoder.with_choice(choice)
    _fill(array, image, xy_px[order], encoder=encoder, tile_um=tile_um, settings=settings, progress=progress)
    return load_embedding(folder)


def load_embedding(folder: Path) -> Features:
    """Read what `embed` left in `folder`, (n, dimension) float32, in the order of the spots.

    Raises
    ------
    ResultError
        Where there is no whole, undamaged embedding.
    """
    array = arrays.open_array(folder)
    require_size(math.prod(map(max, array.shape, array.chunks)) * array.dtype.itemsize, where=folder)
    damaged = [k for k in range(-(-array.shape[0] // array.chunks[0])) if not arrays.chunk_is_sound(array, (k, 0))]
    if damaged or "order" not in array.attrs:
        raise ResultError(
            f"{len(damaged)} chunks of the embedding are missing or damaged",
            where=folder,
            fix="run the same command again; what is missing is done anew",
        )
    features = np.empty(array.shape, np.float32)
    features[np.asarray(array.attrs["order"], np.intp)] = array[...]
    return features


def _glance(image: SlideImage, xy_px: NDArray[np.float64]) -> str:
    """Hash of the pixels at a few spots, so that another picture of the same size is not taken for this one."""
    digest = hashlib.sha256()
    for x, y in xy_px[:: max(1, len(xy_px) // 4)][:4]:
        column, row = (int(np.clip(v, 0, side - 1)) for v, side in ((x, image.width), (y, image.height)))
        window = image.read(column, row, min(64, image.width - column), min(64, image.height - row))
        digest.update(np.ascontiguousarray(window).tobytes())
    return digest.hexdigest()


def _checked(xy_px: NDArray[np.float64], *, tile_um: float, settings: EmbedSettings) -> NDArray[np.float64]:
    sizes = {"chunk_tiles": settings.chunk_tiles, "ahead": settings.ahead, "block_px": settings.block_px}
    for name, size in {"tile_um": tile_um, **sizes}.items():
        if not (np.isfinite(size) and size > 0):
            raise ConfigError("a size must be a positive number", where=name, found=size)
    xy_px = np.asarray(xy_px, np.float64)
    if xy_px.ndim != 2 or xy_px.shape[1] != 2 or not np.isfinite(xy_px).all():
        raise InputError(
            "the spots' coordinates cannot be used",
            where="xy_px",
            expected="finite numbers (n, 2), x before y",
            found=f"{xy_px.shape}, {int((~np.isfinite(xy_px)).sum()):,} not finite",
        )
    return xy_px


def _array(
    folder: Path, work: dict[str, Any], order: NDArray[np.intp], *, shape: tuple[int, int], choice: Choice
) -> tuple[Any, Choice]:
    """Array to fill and its `Choice`: those of an earlier run of the same work, or new ones."""
    if folder.is_dir():
        array, begun = _begun(folder, work | {"shape": list(shape), "order": order.tolist()})
        if begun is not None:
            return array, begun
        arrays.discard(folder)
    attributes = {**work, "choice": choice.to_json(), "order": order.tolist()}
    with writing_to(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        chunks = (int(work["chunk_tiles"]), shape[1])
        return arrays.create(folder, shape=shape, dtype=np.float32, chunks=chunks, attributes=attributes), choice


def _begun(folder: Path, work: dict[str, Any]) -> tuple[Any, Choice | None]:
    """Array and choice of an earlier run of the same work; None where it is of other work or damaged."""
    try:
        array = arrays.open_array(folder, writable=True)
        kept = {**array.attrs, "shape": list(array.shape)}
        choice = Choice(**kept.pop("choice"))
    except (ResultError, KeyError, TypeError):
        return None, None
    same = kept == work and array.dtype == np.float32
    return array, choice if same else None


def _fill(
    array: Any,
    image: SlideImage,
    xy_px: NDArray[np.float64],
    *,
    encoder: Encoder,
    tile_um: float,
    settings: EmbedSettings,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Compute the chunks that are missing or damaged; `xy_px` is in reading order."""
    n, step = len(xy_px), settings.chunk_tiles
    todo = [k for k in range(-(-n // step)) if not arrays.chunk_is_sound(array, (k, 0))]
    done = n - sum(min(step, n - k * step) for k in todo)
    if progress is not None and done:
        progress(done, n)

    def read(k: int) -> RGB:
        rows = slice(k * step, (k + 1) * step)
        return read_tiles(image, xy_px[rows], tile_um=tile_um, out_px=encoder.card.input_px, block_px=settings.block_px)

    for k, tiles in _read_ahead(read, todo, ahead=settings.ahead):
        features = encoder.encode(tiles)  # (step, d)
        with writing_to(Path(str(array.store.root))):
            array[k * step : k * step + len(features)] = features
        done += len(features)
        if progress is not None:
            progress(done, n)


def _read_ahead(read: Callable[[int], RGB], chunks: Sequence[int], *, ahead: int) -> Iterator[tuple[int, RGB]]:
    """Read chunks in a thread of its own, at most `ahead` of them waiting; what reading raises is raised here."""
    with ThreadPoolExecutor(1, thread_name_prefix="read tiles") as pool:
        waiting: deque[Future[RGB]] = deque(pool.submit(read, k) for k in chunks[:ahead])
        try:
            for position, k in enumerate(chunks):
                tiles = waiting.popleft().result()
                if position + ahead < len(chunks):
                    waiting.append(pool.submit(read, chunks[position + ahead]))
                yield k, tiles
        finally:
            pool.shutdown(cancel_futures=True)
