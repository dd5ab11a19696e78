"""Nuclei of a whole slide, block by block, in a folder from which an interrupted run continues.

    labels.zarr             (h, w) int32 at the segmenter's scale, 0 or the nucleus' number
    parts/00000017.parquet  measures and outlines of the nuclei that block 17 owns; written last, when the block is done

A block is read with context around it, and owns the nuclei with their centroid in it; so each nucleus is found whole
and kept once. Memory holds one block, whatever the slide. What a block writes depends only on the blocks before it, so
doing it again writes the same.

Examples
--------
>>> from pathlib import Path
>>> from histoscribe import SlideImage, make_phantom
>>> from histoscribe.nuclei import SEGMENTERS
>>> from histoscribe.nuclei.engine import find_nuclei
>>> from histoscribe.nuclei.spots import spot_features
>>> from histoscribe.nuclei.table import join_parts
>>> from histoscribe.slide.tissue import tissue_mask
>>> phantom = make_phantom(7, size_um=400.0, mpp=0.5)
>>> image, folder = SlideImage(phantom.image, mpp=phantom.mpp), Path("nuclei")
>>> folder.mkdir()
>>> record = find_nuclei(image, tissue_mask(image), SEGMENTERS.get("classical")(), folder=folder)
>>> nuclei = join_parts(folder, mpp=phantom.mpp)
>>> bool(0.95 < len(nuclei) / len(phantom.nuclei()) < 1.05)
True
>>> spot_features(nuclei, phantom.spots().obsm["spatial"], diameter_um=55.0, mpp=phantom.mpp).shape
(12, 20)
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from histoscribe.errors import InputError
from histoscribe.nuclei.canvas import BLOCK_PX, Block, Canvas
from histoscribe.nuclei.features import measure
from histoscribe.nuclei.haematoxylin import stain_vectors
from histoscribe.nuclei.ink import without_ink
from histoscribe.nuclei.segmenter import Instances, Segmenter
from histoscribe.nuclei.table import PARTS, part_count, write_part
from histoscribe.slide.image import SlideImage
from histoscribe.slide.tissue import TissueMask
from histoscribe.store import arrays

LABELS = "labels.zarr"
_SEEN_TWICE = 0.5  # share of a nucleus' pixels that another holds already, from which it is the same nucleus

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class _Slide:
    """What every block needs."""

    canvas: Canvas
    mask: TissueMask
    segmenter: Segmenter
    vectors: NDArray[np.float64]
    labels: Any


def find_nuclei(
    image: SlideImage,
    mask: TissueMask,
    segmenter: Segmenter,
    *,
    folder: Path,
    block_px: int = BLOCK_PX,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Find and measure the nuclei on the tissue of a slide.

    Parameters
    ----------
    image
        With its microns per pixel; resampled to the segmenter's.
    mask
        Nuclei with their centroid off the tissue are not kept.
    segmenter
        As built; it is prepared here on up to 16 squares of the slide's tissue, without what a pen has marked.
    folder
        An existing folder; `labels.zarr` and `parts/` are made in it, or continued.
    block_px
        Side of a block at the segmenter's scale. The nuclei do not depend on it, their numbers do.
    progress
        Called with the number of blocks done and of all.

    Returns
    -------
    Facts for the record: number of nuclei, what the segmenter measured, the scale.

    Raises
    ------
    InputError
        Where the image has no microns per pixel, or the segmenter's labels do not fit its picture.
    """
    canvas = Canvas(image, mpp=segmenter.mpp)
    with threadpool_limits(limits=1):
        sample = without_ink(canvas.sample(mask))
        prepared = segmenter.prepare(sample)
        labels = _open_labels(folder / LABELS, canvas)
        slide = _Slide(canvas, mask, prepared, stain_vectors(sample), labels)
        (folder / PARTS).mkdir(exist_ok=True)
        total, blocks = 0, canvas.blocks(prepared.halo_px, block_px=block_px)
        for block in blocks:
            if canvas.has_tissue(mask, block.x, block.y, block.width, block.height):
                total += _do_block(slide, block, folder, first=total + 1)
            if progress is not None:
                progress(block.index + 1, len(blocks))
    return {
        "nuclei": total,
        "mpp": canvas.mpp,
        "segmenter": prepared.record(),
        "stains": slide.vectors.round(6).tolist(),
    }


def _do_block(slide: _Slide, block: Block, folder: Path, *, first: int) -> int:
    path = folder / PARTS / f"{block.index:08d}.parquet"
    done = part_count(path)
    if done is not None:
        return done
    x, y, width, height = block.window
    rgb = slide.canvas.read(x, y, width, height)
    found = slide.segmenter.segment(rgb)
    if found.labels.shape != (height, width):
        raise InputError(
            "the segmenter's labels do not fit its picture", expected=(height, width), found=found.labels.shape
        )
    here = np.asarray(slide.labels[y : y + height, x : x + width])  # (height, width)
    here[here >= first] = 0  # left by an interrupted attempt at this block
    kept = _owned(found, block, slide, held=here > 0)
    labels = kept.labels * (here == 0)
    table, outlines = measure(kept.labels, rgb, mpp=slide.canvas.mpp, vectors=slide.vectors)
    slide.labels[y : y + height, x : x + width] = np.where(labels > 0, labels + (first - 1), here)
    table["x"] += x
    table["y"] += y
    corner = np.array([x, y])
    shown = [(corners + corner) * slide.canvas.scale for corners in kept.outlines or outlines]
    write_part(path, _placed(table, kept, scale=slide.canvas.scale, first=first), shown)
    return len(table)


def _owned(found: Instances, block: Block, slide: _Slide, *, held: NDArray[np.bool_]) -> Instances:
    """Nuclei with their centroid in the block and on tissue that no earlier block has kept."""
    labels, count = found.labels, int(found.labels.max(initial=0))
    place = np.flatnonzero(labels)
    name = labels.ravel()[place]
    area = np.bincount(name, minlength=count + 1)
    some = np.maximum(area, 1)
    rows, columns = np.divmod(place, labels.shape[1])
    x = np.bincount(name, columns, count + 1) / some + 0.5 + block.window[0]
    y = np.bincount(name, rows, count + 1) / some + 0.5 + block.window[1]
    twice = np.bincount(name, held.ravel()[place], count + 1) / some > _SEEN_TWICE
    keep = (area > 0) & block.owns(x, y) & ~twice
    keep[0] = False
    keep[keep] = slide.mask.at(np.column_stack([x[keep], y[keep]]) * slide.canvas.scale)
    chosen = np.flatnonzero(keep)
    names = np.zeros(count + 1, np.int32)
    names[chosen] = np.arange(1, len(chosen) + 1)
    return Instances(
        names[labels],
        None if found.outlines is None else tuple(found.outlines[k - 1] for k in chosen),
        None if found.probability is None else found.probability[chosen - 1],
    )


def _placed(table: pd.DataFrame, kept: Instances, *, scale: float, first: int) -> pd.DataFrame:
    """Add the number and the place in level-0 pixels, and round to what can be known."""
    xy = table.pop("x").to_numpy() * scale, table.pop("y").to_numpy() * scale
    table = table.astype(np.float32)
    table.insert(0, "nucleus", np.arange(first, first + len(table), dtype=np.int64))
    table.insert(1, "x_px", np.asarray(xy[0], np.float64).round(3))
    table.insert(2, "y_px", np.asarray(xy[1], np.float64).round(3))
    probability = np.full(len(table), np.nan) if kept.probability is None else kept.probability
    table["probability"] = np.asarray(probability, np.float32)
    return table


def _open_labels(path: Path, canvas: Canvas) -> Any:
    if path.is_dir():
        return arrays.open_array(path, writable=True)
    facts = {"mpp": canvas.mpp, "level_0_pixels": canvas.scale}
    chunk = min(BLOCK_PX, max(canvas.height, canvas.width))
    # chunks of glass are not written: they are zero, as zarr reads what is absent
    return arrays.create(
        path, shape=(canvas.height, canvas.width), dtype=np.int32, chunks=(chunk, chunk), attributes=facts
    )
