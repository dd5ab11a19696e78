"""How much haematoxylin a pixel carries: colour deconvolution with the slide's own stain vectors.

Ruifrok & Johnston 2001 unmix optical densities; Macenko et al. (ISBI 2009) find the vectors in the slide itself: the
densities of stained pixels lie in a plane, and the two stains are its extreme directions. Where a sample does not show
two stains, the published vectors stand in, so that any picture can be unmixed.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from histoscribe.nuclei.segmenter import RGB

Float = NDArray[np.float32]

# Ruifrok & Johnston 2001, table 1: haematoxylin and eosin; rows of unit length over R, G, B
PUBLISHED = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105]])
_LIGHT = 256.0
_STAINED_OD = 0.15  # Macenko's beta: a pixel with less in every channel carries no stain
_BLACK = 30
_EXTREME = (1.0, 99.0)  # percentiles of the angle, as in the paper
_LEAST_PIXELS = 1000
_LEAST_ANGLE = np.deg2rad(8.0)  # nearer than this, one stain only was seen
_SAMPLE_PX = 400_000

DENSITY = -np.log((np.arange(256, dtype=np.float32) + 1) / np.float32(_LIGHT))  # optical density of each 8-bit value


def stain_vectors(sample: Sequence[RGB]) -> NDArray[np.float64]:
    """Directions of haematoxylin and eosin in optical density, (2, 3), unit rows, measured on crops of one slide."""
    pixels = np.concatenate([crop.reshape(-1, 3) for crop in sample] or [np.zeros((0, 3), np.uint8)])
    pixels = pixels[:: max(1, len(pixels) // _SAMPLE_PX)]
    density = DENSITY[pixels[pixels.max(axis=1) >= _BLACK]].astype(np.float64)  # (n, 3)
    density = density[density.min(axis=1) > _STAINED_OD]
    if len(density) < _LEAST_PIXELS:
        return _unit(PUBLISHED)
    _, vectors = np.linalg.eigh(np.cov(density.T))
    plane = vectors[:, [2, 1]]  # (3, 2) the two widest directions
    plane = plane * np.where(plane.sum(axis=0) < 0, -1.0, 1.0)
    along = density @ plane
    angle = np.arctan2(along[:, 1], along[:, 0])
    ends = plane @ np.array([(np.cos(a), np.sin(a)) for a in np.percentile(angle, _EXTREME)]).T  # (3, 2)
    found = _unit(ends.T[np.argsort(-ends[0])])  # haematoxylin absorbs more red
    apart = np.arccos(np.clip(found[0] @ found[1], -1, 1))
    sound = apart > _LEAST_ANGLE and (found > -0.2).all() and found[0, 0] > 0.3
    return found if sound else _unit(PUBLISHED)


def haematoxylin(rgb: RGB, vectors: NDArray[np.float64]) -> Float:
    """Amount of haematoxylin of each pixel, (h, w, 3) uint8 -> (h, w) float32, in optical density, 0 or more."""
    weights = np.linalg.pinv(vectors.T)[0].astype(np.float32)  # (3,)
    tables = [DENSITY * weight for weight in weights]  # one look-up per channel instead of a product per pixel
    amount: Float = tables[0][rgb[..., 0]]
    amount += tables[1][rgb[..., 1]]
    amount += tables[2][rgb[..., 2]]
    np.maximum(amount, 0, out=amount)
    return amount


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    unit: NDArray[np.float64] = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return unit
