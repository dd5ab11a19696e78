"""The interface of segmenters of nuclei: a picture at a known scale in, whole nuclei out.

The engine reads the slide at the segmenter's own microns per pixel, block by block, and keeps each nucleus once.
Whatever a method measures on the slide as a whole (stain, percentiles), it measures in `prepare`, on a sample that
does not depend on the blocks; `segment` depends on the pixels it is given and on nothing else.

Frame: pixel (row i, column j) covers [j, j + 1) x [i, i + 1), as everywhere; its middle is at j + 0.5, i + 0.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from histoscribe.errors import InputError

RGB = NDArray[np.uint8]
Labels = NDArray[np.int32]
# under this in every colour is black; a disc of this width, all of it black, is no nucleus
_BLACK, _WIDER_THAN_UM = 30, 16.0

# The engine's windows start at multiples of this many pixels of the segmenter's scale, so that what a method pools or
# halves falls on the same places in every window.
ALIGN_PX = 64


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """Nuclei found in one picture.

    Parameters
    ----------
    labels
        (h, w) int32: 0 where there is no nucleus, 1 to n on the pixels of the n nuclei.
    outlines
        Where the method knows outlines: n arrays (k, 2) float64 of corners, x before y, in pixels of the picture;
        the outline at place i belongs to label i + 1. None where only the pixels are known.
    probability
        (n,) float32, 0 to 1, in the same order; None where the method gives none.
    """

    labels: Labels
    outlines: tuple[NDArray[np.float64], ...] | None = None
    probability: NDArray[np.float32] | None = None


class Segmenter(Protocol):
    """Finds nuclei; classes of this kind are registered in `SEGMENTERS` and can be built without arguments.

    A class names in `takes` the settings that it can be built with: "model" (the path of a user's weights),
    "prob_threshold", "nms_threshold".
    """

    @property
    def name(self) -> str:
        """Its name in the registry."""

    @property
    def mpp(self) -> float:
        """Microns per pixel it works at; the engine resamples to it."""

    @property
    def halo_px(self) -> int:
        """How far, in pixels of its own scale, a nucleus' pixels can depend on what surrounds the nucleus' centre.

        The engine gives this much context around each block: half the largest nucleus plus the reach of the method.
        """

    def prepare(self, sample: Sequence[RGB]) -> "Segmenter":
        """Return a segmenter fitted to one slide.

        Parameters
        ----------
        sample
            Crops of tissue, (h, w, 3) uint8 each, at the segmenter's `mpp`, in a fixed order; possibly none, where
            the slide has no tissue.
        """

    def segment(self, rgb: RGB) -> Instances:
        """Find the nuclei of a picture.

        Parameters
        ----------
        rgb
            (h, w, 3) uint8 at `mpp`, at least one pixel.

        Raises
        ------
        ConfigError
            Where the segmenter was not prepared and cannot do without.
        """

    def record(self) -> dict[str, Any]:
        """Return the settings and what `prepare` measured: all that the result depends on, fit for JSON."""


def black_areas(rgb: RGB, *, mpp: float) -> NDArray[np.bool_]:
    """Black areas wider than any nucleus, (h, w): frames, blots and what a scanner left out; no tissue.

    A single pixel tells nothing: in a strongly stained section a nucleus can be as dark. The picture is continued by
    its mirror image, so that a frame counts as twice as wide.
    """
    black = np.asarray((rgb < _BLACK).all(axis=2))
    radius = _WIDER_THAN_UM / 2 / mpp
    if np.count_nonzero(black) < radius**2:
        return np.zeros_like(black)
    reach = int(np.ceil(radius)) + 1
    core = ndimage.distance_transform_edt(np.pad(black, reach, mode="symmetric")) > radius
    if not core.any():
        return np.zeros_like(black)
    # half as far again: into the corners of a square
    wide = ndimage.distance_transform_edt(~core)[reach:-reach, reach:-reach] <= 1.5 * radius
    return np.asarray(black & wide)


def checked_picture(rgb: RGB) -> RGB:
    """Return `rgb` where it is a picture; raises InputError otherwise."""
    if not isinstance(rgb, np.ndarray) or rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype != np.uint8 or not rgb.size:
        found = f"{rgb.dtype} {rgb.shape}" if isinstance(rgb, np.ndarray) else type(rgb).__name__
        raise InputError("a segmenter takes a colour picture", expected="uint8 (h, w, 3)", found=found)
    return rgb
