"""Pen marks on the tissue: pieces of an unusual colour are left out of what is measured on the whole slide."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from histoscribe.nuclei.haematoxylin import DENSITY
from histoscribe.nuclei.segmenter import RGB

_SIDE_PX = 64
_FARTHEST = 5.0  # robust standard deviations, over three features together; 1 % of a slide without ink is over 4
_LEAST_SPREAD = 0.1  # of a feature; a uniform slide has less, and small differences are no sign of ink
_FAINT_OD = 0.02
_FEW = 16  # with so few pieces there is no clear majority


def without_ink(sample: Sequence[RGB]) -> list[RGB]:
    """Cut a sample of tissue into pieces of 64 pixels and drop those with a colour far from the majority's.

    A pen mark is darker than stain and of another hue; left in, it would set the levels at which nuclei are found
    everywhere on the slide. Odd tissue may be dropped too, which does no harm.
    """
    pieces = [
        crop[top : top + _SIDE_PX, left : left + _SIDE_PX]
        for crop in sample
        for top in range(0, crop.shape[0], _SIDE_PX)
        for left in range(0, crop.shape[1], _SIDE_PX)
    ]
    if len(pieces) < _FEW:
        return list(sample)
    look = np.array([_look(piece) for piece in pieces])  # (n, 3)
    off = look - np.median(look, axis=0)
    spread = np.maximum(1.4826 * np.median(np.abs(off), axis=0), _LEAST_SPREAD)
    far = np.linalg.norm(off / spread, axis=1)
    return [piece for piece, distance in zip(pieces, far, strict=True) if distance <= _FARTHEST]


def _look(piece: RGB) -> NDArray[np.float64]:
    """Hue and darkness: logarithms of red and of blue over green density, and of the mean density."""
    red, green, blue = DENSITY[piece].mean(axis=(0, 1)).astype(np.float64) + _FAINT_OD
    return np.log([red / green, blue / green, (red + green + blue) / 3])
