"""Seeds of nuclei: of the tree of regions above a ladder of thresholds, those that look most like one nucleus each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from histoscribe.nuclei.regions import depth_px, edges, likeness
from histoscribe.nuclei.segmenter import Labels

Float = NDArray[np.float64]
Picture = NDArray[np.float32]

_DEPTH_FROM = 0.4  # depth is measured in the mask above this contrast
_DEPTH_UM = 3.0  # deeper is in the middle of any nucleus
_DEPTH_WEIGHT = 0.1  # contrast per micron of depth: the middle of a nucleus of 6 um stands 0.3 over its border
_LEAST_LIKENESS = 0.03
_TIE = 1e-6


@dataclass(slots=True)
class _Step:
    """Regions above one threshold: their labels, how nucleus-like each is, and the best that its branch gives."""

    name: NDArray[np.int32]  # (m,) region of each pixel that lies in one
    place: NDArray[np.intp]  # (m,) and where that pixel is, rising
    parent: NDArray[np.int32]  # (n + 1,) region of the step below that a region lies in
    score: Float  # (n + 1,), 0 for the background
    best: Float
    whole: NDArray[np.bool_]  # whether a region is better left whole


def seeds_of(contrast: Picture, slope: Picture, *, steps: Sequence[float], mpp: float) -> Labels:
    """Choose regions that do not overlap and look most like nuclei.

    The thresholds cut a landscape: contrast, and a little more the deeper inside a stained patch. So nuclei that touch
    fall apart where it is paler between them, and also where the patch has a waist.

    Parameters
    ----------
    contrast
        (h, w), higher in nuclei.
    slope
        (h, w), of the contrast; see `likeness`.
    steps
        Rising thresholds.
    mpp
        Microns per pixel.

    Returns
    -------
    (h, w) int32, 0 and 1 to n.
    """
    deep = depth_px(contrast > _DEPTH_FROM, max(1, round(_DEPTH_UM / mpp)))
    landscape = contrast + deep * np.float32(_DEPTH_WEIGHT * mpp)
    ladder = _ladder(landscape, slope, steps=steps, mpp=mpp)
    for lower, upper in zip(ladder[-2::-1], ladder[:0:-1], strict=True):
        _compare(lower, upper)
    return _chosen(ladder, contrast.shape)


def _ladder(landscape: Picture, slope: Picture, *, steps: Sequence[float], mpp: float) -> list[_Step]:
    place = np.flatnonzero(landscape > steps[0])  # all regions lie here: everything is reckoned on these pixels alone
    value = landscape.ravel()[place]
    name = np.zeros(len(place), np.int32)
    ladder: list[_Step] = []
    for threshold in steps:
        mask = landscape > threshold
        labels, count = ndimage.label(mask)
        kept = value > threshold
        place, value, below = place[kept], value[kept], name[kept]
        name = labels.ravel()[place]
        parent = np.zeros(count + 1, np.int32)
        parent[name] = below
        score = likeness(name, place, edge=edges(mask), slope=slope, mpp=mpp)
        ladder.append(_Step(name, place, parent, score, score.copy(), np.ones(count + 1, bool)))
    return ladder


def _chosen(ladder: list[_Step], shape: tuple[int, ...]) -> Labels:
    """Paint the regions that are better whole, from the lowest step up, each once."""
    seeds = np.zeros(shape, np.int32)
    flat, found = seeds.ravel(), 0
    for step in ladder:
        chosen = step.whole & (step.score > _LEAST_LIKENESS)
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

    Parts count by the mean of their scores, each weighted by itself, so that specks hardly count against a nucleus.
    """
    n = len(lower.score)
    weight = np.bincount(upper.parent, upper.best, minlength=n)
    parts = np.bincount(upper.parent, upper.best**2, minlength=n) / np.maximum(weight, 1e-12)
    lower.whole = lower.score >= parts - _TIE
    lower.best = np.where(lower.whole, lower.score, parts)
