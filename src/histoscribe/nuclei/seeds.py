"""Seeds of nuclei: of the tree of regions above a ladder of thresholds, those that look most like one nucleus each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from histoscribe.nuclei.segmenter import Labels

Float = NDArray[np.float64]

# areas of nuclei: from 3 um2 (no nucleus) the score rises to 12 um2 and falls from 120 um2 to nothing at 240 um2
_NONE_UM2, _SMALL_UM2, _LARGE_UM2 = 3.0, 12.0, 120.0
_SHARPNESS = 8  # power of the filled share: of two touching discs, which fill 0.87, a third is left
_LEAST_SCORE = 0.05
_TIE = 1e-6


@dataclass(slots=True)
class _Step:
    """Regions above one threshold: their labels, how nucleus-like each is, and the best that its branch gives."""

    name: NDArray[np.int32]  # (m,) region of each pixel that lies in one
    place: NDArray[np.intp]  # (m,) and where that pixel is, rising
    score: Float  # (n + 1,), 0 for the background
    best: Float
    whole: NDArray[np.bool_]  # whether a region is better left whole


def seeds_of(contrast: NDArray[np.float32], *, steps: Sequence[float], mpp: float) -> Labels:
    """Choose regions that do not overlap and look most like nuclei.

    Parameters
    ----------
    contrast
        (h, w), higher in nuclei.
    steps
        Rising thresholds.
    mpp
        Microns per pixel.

    Returns
    -------
    (h, w) int32, 0 and 1 to n.
    """
    place = np.flatnonzero(contrast > steps[0])  # all regions lie here, so everything is reckoned on these pixels alone
    y, x = (v.astype(np.float64) for v in np.divmod(place, contrast.shape[1]))
    value = contrast.ravel()[place]
    ladder: list[_Step] = []
    for threshold in steps:
        labels, count = ndimage.label(contrast > threshold)
        if ladder:
            kept = value > threshold
            place, y, x, value = place[kept], y[kept], x[kept], value[kept]
        ladder.append(_step(labels.ravel()[place], place, count, y=y, x=x, mpp=mpp))
    for lower, upper in zip(ladder[-2::-1], ladder[:0:-1], strict=True):
        _compare(lower, upper)
    return _chosen(ladder, contrast.shape)


def _chosen(ladder: list[_Step], shape: tuple[int, ...]) -> Labels:
    """Paint the regions that are better whole, from the lowest step up, each once."""
    seeds = np.zeros(shape, np.int32)
    flat, found = seeds.ravel(), 0
    for step in ladder:
        chosen = step.whole & (step.score > _LEAST_SCORE)
        chosen[0] = False
        chosen[step.name[flat[step.place] > 0]] = False  # within a region that was chosen whole
        names = np.zeros(len(chosen), np.int32)
        count = int(np.count_nonzero(chosen))
        names[chosen] = np.arange(found + 1, found + count + 1)
        found += count
        inside = chosen[step.name]
        flat[step.place[inside]] = names[step.name[inside]]
    return seeds


def _compare(lower: _Step, upper: _Step) -> None:
    """Decide for each region of the lower step whether it is better whole or as its parts in the upper one.

    Parts count by the mean of their scores, each weighted by itself, so that specks do not speak against a nucleus.
    """
    parent = np.zeros(len(upper.score), np.int64)
    parent[upper.name] = lower.name[np.searchsorted(lower.place, upper.place)]
    n = len(lower.score)
    weight = np.bincount(parent, upper.best, minlength=n)
    parts = np.bincount(parent, upper.best**2, minlength=n) / np.maximum(weight, 1e-12)
    lower.whole = lower.score >= parts - _TIE
    lower.best = np.where(lower.whole, lower.score, parts)


def _step(name: NDArray[np.int32], place: NDArray[np.intp], count: int, *, y: Float, x: Float, mpp: float) -> _Step:
    score = _likeness(name, count, y=y, x=x, mpp=mpp)
    return _Step(name, place, score, score.copy(), np.ones(count + 1, bool))


def _likeness(name: NDArray[np.int32], count: int, *, y: Float, x: Float, mpp: float) -> Float:
    """How nucleus-like each region is, 0 to 1, (count + 1,): how well it fills its ellipse, and its area."""
    area = np.bincount(name, minlength=count + 1).astype(np.float64)
    some = np.maximum(area, 1)
    dx = x - (np.bincount(name, x, count + 1) / some)[name]
    dy = y - (np.bincount(name, y, count + 1) / some)[name]
    xx, yy = (np.bincount(name, d * d, count + 1) / some + 1 / 12 for d in (dx, dy))
    xy = np.bincount(name, dx * dy, count + 1) / some
    # an ellipse's area is 4 pi times the root of the determinant of its second moments
    filled = area / (4 * np.pi * np.sqrt(np.maximum(xx * yy - xy**2, 1e-9)))
    um2 = area * mpp**2
    rise = np.clip((um2 - _NONE_UM2) / (_SMALL_UM2 - _NONE_UM2), 0, 1)
    fall = np.clip(2 - um2 / _LARGE_UM2, 0, 1)
    score: Float = np.clip(filled, 0, 1) ** _SHARPNESS * rise * fall
    score[0] = 0
    return score
