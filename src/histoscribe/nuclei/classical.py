"""Nuclei without weights: haematoxylin, a local threshold, and a watershed from seeds of nuclear size and shape.

1. Haematoxylin by colour deconvolution with the slide's own stains, smoothed over half a micron.
2. Local contrast: where a pixel stands between the mean of the background (0) and that of the nuclei (1) within some
   tens of microns; both means are drawn towards the slide's where a class is rare. Half-way is the local threshold of
   Ridler & Calvard 1978.
   Small pits within nuclei are filled: a vesicular nucleus is a dark rim around a pale middle.
3. Seeds: the regions above each of a ladder of contrasts form a tree (regions above a higher step lie in those above a
   lower one). A region is nucleus-like if it fills the ellipse of its own second moments, has a nucleus' area and a
   steep border; pixels deep inside a patch stand a little higher, so that a waist parts as a paler line does. The tree
   is cut where regions are more nucleus-like than what they split into (as extremal regions are chosen: Arteta et al.,
   MICCAI 2012, with a score from physical sizes in place of a learned one). So a clump falls apart at the step where
   its parts show, and a nucleus with coarse chromatin does not.
4. Watershed from the seeds down to each nucleus' own threshold, a fixed share of its own contrast: the border of a pale
   nucleus is sought at a paler level than that of a dark one.
5. What came out is kept if it is nucleus-like and dark enough.

All lengths are microns. Only the stains and the levels of both classes are measured, once per slide.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from histoscribe.nuclei.haematoxylin import haematoxylin, stain_vectors
from histoscribe.nuclei.regions import edges, likeness, slope_of, without_pits
from histoscribe.nuclei.seeds import seeds_of
from histoscribe.nuclei.segmenter import RGB, Instances, Labels, black_areas, checked_picture

Float = NDArray[np.float32]
Bool = NDArray[np.bool_]

_SMOOTHING_UM = 0.5
_RIM_UM = 1.0  # of black areas
_SURROUND_UM = 16.0  # standard deviation of the window of local means
_POOL_PX = 8  # local means are taken on a grid this much coarser; divides ALIGN_PX
_PRIOR_AREA = 0.05  # how much of the window's area the slide's own means count as
_LEAST_CONTRAST_OD = 0.05  # of nuclei over background; less is noise
_PIT_STEPS = (0.4, 0.6)
_PIT_UM2 = 30.0  # the middle of a vesicular nucleus is smaller, the lumen of a gland larger
_STEEP_PER_UM = 0.8  # contrast per micron: a sharp edge from 0 to 1, smoothed over half a micron
_BORDER = 0.4  # local contrast of a nucleus' border, as a share of the nucleus' own
_FAINTEST_BORDER = 0.2
_GROWTH_UM = 2.0  # from a seed to the border of its nucleus; what is reached farther off is cytoplasm
_OPENING_UM = 0.5
_LEAST_LIKENESS = 0.2  # times mean contrast
_SMALLEST_UM2 = 7.0  # a circle of 3 um
_REACH_UM = 80.0  # of the local means, three standard deviations and a square, and of a large nucleus and its neighbour
_CONTRAST_STEPS = (0.3, 0.45, 0.6, 0.75, 0.9, 1.05, 1.2, 1.35, 1.5, 1.65, 1.8)


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

    Examples
    --------
    >>> from histoscribe.nuclei.classical import ClassicalSegmenter
    >>> from histoscribe.nuclei.metrics import score_nuclei
    >>> from histoscribe.phantom import make_phantom
    >>> phantom = make_phantom(7, size_um=400.0, mpp=0.5)
    >>> picture = phantom.image.read(200, 200, 400, 400, level=0)
    >>> found = ClassicalSegmenter(mpp=0.5).segment(picture)
    >>> score = score_nuclei(found.labels, phantom.nuclei_labels(200, 200, 400, 400))
    >>> score.n_known, score.f1 > 0.9
    (145, True)
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
        made._levels = _levels([self._stain(crop, made._vectors)[~self._no_tissue(crop)] for crop in sample])
        return made

    def segment(self, rgb: RGB) -> Instances:
        """Find nuclei; see `Segmenter`."""
        checked_picture(rgb)
        if self._vectors is None:
            return self.prepare([rgb]).segment(rgb)
        empty = Instances(np.zeros(rgb.shape[:2], np.int32))
        if self._levels is None:
            return empty
        stain = self._stain(rgb, self._vectors, black=self._levels.background)
        contrast = local_contrast(stain, self._levels, mpp=self.mpp)
        contrast = without_pits(contrast, _PIT_STEPS, largest_px=_PIT_UM2 / self.mpp**2)
        slope = slope_of(contrast, steepest=_STEEP_PER_UM, mpp=self.mpp)
        seeds = seeds_of(contrast, slope, steps=_CONTRAST_STEPS, mpp=self.mpp)
        if not seeds.any():
            return empty
        grown = _grown(seeds, contrast, mpp=self.mpp)
        return Instances(_nuclei_among(grown, contrast, slope, mpp=self.mpp))

    def record(self) -> dict[str, Any]:
        """Return settings and measurements; see `Segmenter`."""
        return {
            "name": self.name,
            "mpp": self.mpp,
            "stains": None if self._vectors is None else self._vectors.round(6).tolist(),
            "levels": None if self._levels is None else [self._levels.nuclei, self._levels.background],
        }

    def _stain(self, rgb: RGB, vectors: NDArray[np.float64], *, black: float = 0.0) -> Float:
        """Haematoxylin, (h, w); where there is no tissue, the amount that is given for it."""
        stain = haematoxylin(rgb, vectors)
        absent = self._no_tissue(rgb)
        stain[absent] = black
        return _smooth(stain, _SMOOTHING_UM / self.mpp)

    def _no_tissue(self, rgb: RGB) -> Bool:
        """Black, and the rim of it that resampling has mixed with tissue, (h, w)."""
        black = black_areas(rgb, mpp=self.mpp)
        return dilated(black, max(1.0, _RIM_UM / self.mpp)) if black.any() else black


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
    """Mean haematoxylin of the two classes that Otsu's threshold separates; None where there is one class only."""
    from skimage.filters import threshold_otsu

    values = np.concatenate([stain.ravel()[::4] for stain in stains] or [np.zeros(0, np.float32)])
    if len(values) == 0 or np.ptp(values) < _LEAST_CONTRAST_OD:
        return None
    nuclear = values > threshold_otsu(values)
    found = Levels(float(values[nuclear].mean()), float(values[~nuclear].mean()))
    return found if found.nuclei - found.background > _LEAST_CONTRAST_OD else None


def _grown(seeds: Labels, contrast: Float, *, mpp: float) -> Labels:
    """Grow seeds, not far, to the threshold of each, and cut off threads."""
    from skimage.segmentation import watershed

    near = dilated(seeds > 0, _GROWTH_UM / mpp)
    rim = edges(seeds) & (seeds > 0)  # what is inside a seed takes no part, and need not wait in the queue
    zone = (contrast > _FAINTEST_BORDER) & near & (seeds == 0)
    grown: Labels = np.where(rim | (seeds == 0), watershed(-contrast, seeds * rim, mask=zone | rim), seeds)
    threshold = np.maximum(_BORDER * _means(seeds, contrast), _FAINTEST_BORDER).astype(np.float32)
    grown *= contrast > threshold[grown]
    opening_px = _OPENING_UM / mpp
    grown *= dilated(~dilated(grown == 0, opening_px), opening_px)
    return grown


def _nuclei_among(regions: Labels, contrast: Float, slope: Float, *, mpp: float) -> Labels:
    """Keep the regions that are nucleus-like and dark, numbered from 1."""
    place = np.flatnonzero(regions)
    like = likeness(regions.ravel()[place], place, edge=edges(regions), slope=slope, mpp=mpp)
    kept = like * np.clip(_means(regions, contrast)[: len(like)], 0, 1) > _LEAST_LIKENESS
    return numbered(regions * kept[regions], smallest_px=_SMALLEST_UM2 / mpp**2)


def _means(regions: Labels, picture: Float) -> NDArray[np.float64]:
    """Mean of the picture in each region, (n + 1,); 0 for the background."""
    place = np.flatnonzero(regions)
    name = regions.ravel()[place]
    means: NDArray[np.float64] = np.bincount(name, picture.ravel()[place]) / np.maximum(np.bincount(name), 1)
    return means


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
