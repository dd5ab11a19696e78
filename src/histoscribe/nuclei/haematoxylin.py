"""How much haematoxylin a pixel carries: colour deconvolution with the slide's own stain vectors.

Where a sample does not show two stains, the published vectors stand in, so that any picture can be unmixed.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from histoscribe.nuclei.segmenter import RGB
from histoscribe.slide.unmixing import PUBLISHED, STAINED_OD, stain_directions, unit_rows

Float = NDArray[np.float32]

_LIGHT = 256.0
_BLACK = 30
_LEAST_PIXELS = 1000
_LEAST_ANGLE = np.deg2rad(8.0)  # nearer than this, one stain only was seen
_SAMPLE_PX = 400_000

DENSITY = -np.log((np.arange(256, dtype=np.float32) + 1) / np.float32(_LIGHT))  # optical density of each 8-bit value


def stain_vectors(sample: Sequence[RGB]) -> NDArray[np.float64]:
    """Directions of haematoxylin and eosin in optical density, (2, 3), unit rows, measured on crops of one slide."""
    pixels = np.concatenate([crop.reshape(-1, 3) for crop in sample] or [np.zeros((0, 3), np.uint8)])
    pixels = pixels[:: max(1, len(pixels) // _SAMPLE_PX)]
    density = DENSITY[pixels[pixels.max(axis=1) >= _BLACK]].astype(np.float64)  # (n, 3)
    density = density[density.min(axis=1) > STAINED_OD]
    if len(density) < _LEAST_PIXELS:
        return unit_rows(PUBLISHED)
    found = stain_directions(density)
    apart = np.arccos(np.clip(found[0] @ found[1], -1, 1))
    sound = apart > _LEAST_ANGLE and (found > -0.2).all() and found[0, 0] > 0.3
    return found if sound else unit_rows(PUBLISHED)


def haematoxylin(rgb: RGB, vectors: NDArray[np.float64]) -> Float:
    """Amount of haematoxylin of each pixel, (h, w, 3) uint8 -> (h, w) float32, in optical density, 0 or more."""
    weights = np.linalg.pinv(vectors.T)[0].astype(np.float32)  # (3,)
    tables = [DENSITY * weight for weight in weights]  # one look-up per channel instead of a product per pixel
    amount: Float = tables[0][rgb[..., 0]]
    amount += tables[1][rgb[..., 1]]
    amount += tables[2][rgb[..., 2]]
    np.maximum(amount, 0, out=amount)
    return amount
