"""Nuclei without weights: haematoxylin, a local threshold, and a watershed from seeds of nuclear size and shape.

1. Haematoxylin by colour deconvolution with the slide's own stains, smoothed over half a micron.
2. Local contrast: where a pixel stands between the mean of the background (0) and that of the nuclei (1) within some
   tens of microns; both means lean on the slide's where one of them is hardly seen. Half-way is the local threshold of
   Ridler & Calvard 1978.
3. Seeds: the regions above each of a ladder of contrasts form a tree (regions above a higher step lie in those above a
   lower one). A region is nucleus-like if it fills the ellipse of its own second moments and has a nucleus' area; the
   tree is cut where regions are more nucleus-like than what they split into (as maximally stable regions are chosen:
   Arteta et al., MICCAI 2012). So a clump falls apart at the step where its parts show, and a nucleus with coarse
   chromatin does not.
4. Watershed from the seeds down to the local threshold.

All lengths are microns. Only the stains and the levels of both classes are measured, once per slide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from histoscribe.nuclei.haematoxylin import haematoxylin, stain_vectors
from histoscribe.nuclei.seeds import seeds_of
from histoscribe.nuclei.segmenter import RGB, Instances, Labels, checked_picture

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

_SMOOTHING_UM = 0.5
_SURROUND_UM = 16.0  # standard deviation of the window of local means
_POOL_PX = 8  # local means are taken on a grid this much coarser; divides ALIGN_PX
_PRIOR_AREA = 0.05  # how much of the window's area the slide's own means count as
_THRESHOLD = 0.45  # local contrast of a nucleus' border
_LEAST_CONTRAST_OD = 0.05  # of nuclei over background; less is noise
_LEAST_MEAN = 0.6  # local contrast of a nucleus as a whole; paler regions are cytoplasm
_GROWTH_UM = 1.5  # from a seed to the border of its nucleus; what is reached farther off is cytoplasm
_OPENING_UM = 0.75
_SMALLEST_UM2 = 7.0  # a circle of 3 um
_REACH_UM = 80.0  # of the local means, three standard deviations and a square, and of a large nucleus and its neighbour
_CONTRAST_STEPS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.05, 1.2, 1.5)


@dataclass(frozen=True, slots=True)
class Levels:
    """Haematoxylin, in optical density, of the slide's nuclei and of the tissue between them."""

    nuclei: float
    background: float

    @property
    def middle(self) -> float:
        """Half-way."""
        return (self.nuclei + self.background) / 2


class ClassicalSegmenter:
    """Haematoxylin, local threshold, shape-aware watershed. Prepared on one slide, or else on each picture.

    Parameters
    ----------
    mpp
        Microns per pixel to work at.
    """

    name = "classical"

    def __init__(self, *, mpp: float = 0.5) -> None:
        self.mpp = mpp
        self.halo_px = round(_REACH_UM / mpp)
        self._vectors: NDArray[np.float64] | None = None
        self._levels: Levels | None = None

    def prepare(self, sample: Sequence[RGB]) -> "ClassicalSegmenter":
        """Measure stains and levels on crops of one slide; see `Segmenter`."""
        made = ClassicalSegmenter(mpp=self.mpp)
        made._vectors = stain_vectors(sample)
        made._levels = _levels([self._stain(crop, made._vectors) for crop in sample])
        return made

    def segment(self, rgb: RGB) -> Instances:
        """Find nuclei; see `Segmenter`."""
        checked_picture(rgb)
        if self._vectors is None:
            return self.prepare([rgb]).segment(rgb)
        empty = Instances(np.zeros(rgb.shape[:2], np.int32))
        if self._levels is None:
            return empty
        stain = self._stain(rgb, self._vectors)
        contrast = local_contrast(stain, self._levels, mpp=self.mpp)
        seeds = seeds_of(contrast, steps=_CONTRAST_STEPS, mpp=self.mpp)
        if not seeds.any():
            return empty
        return Instances(_grown(seeds, contrast, mpp=self.mpp))

    def record(self) -> dict[str, Any]:
        """Return settings and measurements; see `Segmenter`."""
        return {
            "name": self.name,
            "mpp": self.mpp,
            "stains": None if self._vectors is None else self._vectors.round(6).tolist(),
            "levels": None if self._levels is None else [self._levels.nuclei, self._levels.background],
        }

    def _stain(self, rgb: RGB, vectors: NDArray[np.float64]) -> Float:
        return _smooth(haematoxylin(rgb, vectors), _SMOOTHING_UM / self.mpp)


def local_contrast(stain: Float, levels: Levels, *, mpp: float) -> Float:
    """Where each pixel stands between the background (0) and the nuclei (1) around it, (h, w) -> (h, w) float32."""
    sigma = _SURROUND_UM / mpp / _POOL_PX
    nuclear: Bool = stain > levels.middle
    amount = _smooth(_pooled(stain), sigma)
    share = _smooth(_pooled(nuclear.astype(np.float32)), sigma)
    inside = _smooth(_pooled(stain * nuclear), sigma)
    high = (inside + _PRIOR_AREA * levels.nuclei) / (share + _PRIOR_AREA)
    low = (amount - inside + _PRIOR_AREA * levels.background) / (1 - share + _PRIOR_AREA)
    slope = 1 / np.maximum(high - low, _LEAST_CONTRAST_OD)
    contrast = stain * _spread(slope, stain.shape)
    contrast -= _spread(low * slope, stain.shape)
    return contrast


def _levels(stains: Sequence[Float]) -> Levels | None:
    """Mean haematoxylin of the two classes that Otsu's threshold parts; None where there is nothing to part."""
    from skimage.filters import threshold_otsu

    values = np.concatenate([stain.ravel()[::4] for stain in stains] or [np.zeros(0, np.float32)])
    if len(values) == 0 or np.ptp(values) < _LEAST_CONTRAST_OD:
        return None
    nuclear = values > threshold_otsu(values)
    found = Levels(float(values[nuclear].mean()), float(values[~nuclear].mean()))
    return found if found.nuclei - found.background > _LEAST_CONTRAST_OD else None


def _grown(seeds: Labels, contrast: Float, *, mpp: float) -> Labels:
    """Grow seeds to the local threshold, not far; cut off threads, drop specks and the pale; number what is left."""
    from skimage.segmentation import watershed

    near = dilated(seeds > 0, _GROWTH_UM / mpp)
    mask = ((contrast > _THRESHOLD) & near) | (seeds > 0)
    grown = watershed(-contrast, seeds, mask=mask)
    opening_px = _OPENING_UM / mpp
    grown *= dilated(~dilated(grown == 0, opening_px), opening_px)
    place = np.flatnonzero(grown)
    name = grown.ravel()[place]
    total = np.bincount(name, contrast.ravel()[place])
    pale = total < _LEAST_MEAN * np.bincount(name)
    grown[pale[grown]] = 0
    return numbered(grown, smallest_px=_SMALLEST_UM2 / mpp**2)


def numbered(labels: Labels, *, smallest_px: float) -> Labels:
    """Labels 1 to n in order, without regions of fewer pixels than `smallest_px`."""
    keep = np.bincount(labels.ravel()) >= max(smallest_px, 1)
    keep[0] = False
    names = np.zeros(len(keep), np.int32)
    names[keep] = np.arange(1, np.count_nonzero(keep) + 1, dtype=np.int32)
    return names[labels]


def dilated(mask: Bool, radius_px: float) -> Bool:
    """Dilate with a disc of a few pixels: for those, one pass per pixel of the disc is the quickest way."""
    reach = int(radius_px)
    height, width = mask.shape
    padded = np.pad(mask, reach)
    out = np.zeros_like(mask)
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy**2 + dx**2 <= radius_px**2 + 0.01:
                out |= padded[reach + dy : reach + dy + height, reach + dx : reach + dx + width]
    return out


def _smooth(values: Float, sigma: float) -> Float:
    return ndimage.gaussian_filter(values, sigma, truncate=3.0)  # type: ignore[no-any-return]


def _pooled(values: Float) -> Float:
    """Means of squares of `_POOL_PX` pixels; the last ones may be smaller."""
    rows, columns = (np.arange(0, side, _POOL_PX) for side in values.shape)
    total = np.add.reduceat(np.add.reduceat(values, rows, axis=0), columns, axis=1)
    height, width = (
        np.diff(starts, append=side) for starts, side in ((rows, values.shape[0]), (columns, values.shape[1]))
    )
    means: Float = (total / np.outer(height, width)).astype(np.float32)
    return means


def _spread(coarse: Float, shape: tuple[int, ...]) -> Float:
    """Bring a pooled picture back to `shape`, linearly between the middles of its squares."""
    for axis, side in enumerate(shape):
        place = np.clip((np.arange(side) + 0.5) / _POOL_PX - 0.5, 0, coarse.shape[axis] - 1)
        low = np.minimum(place.astype(np.intp), coarse.shape[axis] - 1)
        high = np.minimum(low + 1, coarse.shape[axis] - 1)
        weight = (place - low).astype(np.float32)
        weight = weight[:, None] if axis == 0 else weight
        coarse = np.take(coarse, low, axis) * (1 - weight) + np.take(coarse, high, axis) * weight
    return coarse
