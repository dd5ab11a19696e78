"""What the colours of a slide say of its stain: whether light went through it, and what absorbed the light.

Colours are means over pixels of the tissue mask, at places spread evenly over the tissue and beside it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histoscribe.slide.image import SlideImage
from histoscribe.slide.tissue import TissueMask

_PLACES, _BESIDE = 200, 60
_STAINED_OD = 0.3
_BROWN = 1.05  # blue over green: DAB has 1.36, haematoxylin 0.41, eosin 0.11


@dataclass(frozen=True, slots=True)
class StainSigns:
    """Colours of the tissue and of what lies beside it.

    Parameters
    ----------
    density
        Median optical density of the tissue in red, green and blue, measured from the glass.
    span
        Median difference between the channel that absorbs most and the one that absorbs least: 0 in a grey picture.
    palest
        95th percentile of the darkest channel on tissue, 0 to 255: how much light of all colours comes through it.
    darker_beside
        Share of the places beside the tissue that are darker than half of the tissue is; None where hardly anything
        lies beside it.
    brown
        Share of the stained tissue that absorbs more blue than green, as DAB does.
    """

    density: tuple[float, float, float]
    span: float
    palest: float
    darker_beside: float | None
    brown: float


def stain_signs(image: SlideImage, tissue: TissueMask) -> StainSigns:
    """Measure the colours of a slide that has tissue.

    Examples
    --------
    >>> from histoscribe import SlideImage, make_phantom
    >>> from histoscribe.slide.stain_signs import stain_signs
    >>> from histoscribe.slide.tissue import tissue_mask
    >>> phantom = make_phantom(7, size_um=800.0, mpp=1.0)
    >>> image = SlideImage(phantom.image, mpp=phantom.mpp)
    >>> signs = stain_signs(image, tissue_mask(image))
    >>> red, green, blue = signs.density
    >>> green > red, green > blue, signs.brown
    (True, True, 0.0)
    """
    on = _colours(image, tissue, tissue.mask, _PLACES)  # (n, 3)
    beside = _colours(image, tissue, ~tissue.mask, _BESIDE)
    half = np.median(on.max(axis=1))
    bright = beside[beside.max(axis=1) > half]
    glass = np.median(bright, axis=0) if len(bright) > 0.1 * len(beside) else np.full(3, 255.0)
    density = np.maximum(-np.log((on + 1) / (glass + 1)), 0.0)
    stained = density[density.max(axis=1) > _STAINED_OD]
    red, green, blue = (float(value) for value in np.median(density, axis=0))
    return StainSigns(
        density=(red, green, blue),
        span=float(np.median(np.ptp(density, axis=1))),
        palest=float(np.percentile(on.min(axis=1), 95)),
        darker_beside=float((beside.max(axis=1) < half).mean()) if len(beside) == _BESIDE else None,
        brown=float((stained[:, 2] > _BROWN * stained[:, 1]).mean()) if len(stained) else 0.0,
    )


def _colours(image: SlideImage, tissue: TissueMask, where: NDArray[np.bool_], at_most: int) -> NDArray[np.float64]:
    """Mean colours of pixels of the mask, evenly spread over those in `where`, (n, 3)."""
    level = max((k for k in range(image.n_levels) if image.downsample(k) <= tissue.downsample), key=image.downsample)
    side = tissue.downsample / image.downsample(level)  # of a pixel of the mask, in pixels of the level
    rows, columns = image.source.shapes[level]
    places = np.argwhere(where)
    chosen = places[np.unique(np.linspace(0, len(places) - 1, at_most).astype(np.intp))] if len(places) else places
    width = max(1, int(side))
    colours = [
        image.read(min(int(x * side), columns - width), min(int(y * side), rows - width), width, width, level)
        for y, x in chosen
    ]
    return np.array([pixels.reshape(-1, 3).mean(axis=0) for pixels in colours]).reshape(-1, 3)
