"""A picture on a white background: what the tissue mask does not call tissue is white, at every level."""

from dataclasses import dataclass, replace

import numpy as np

from histoscribe.slide.image import RGB, PixelSource, SlideImage
from histoscribe.slide.tissue import TissueMask


@dataclass(frozen=True, slots=True, eq=False)
class WhiteBackground:
    """Pixels of another source, white off the tissue; as lazy as that source.

    Parameters
    ----------
    source
        The picture's own.
    downsamples
        Number of level-0 pixels that one pixel of each level spans.
    tissue
        Of the same picture.
    """

    source: PixelSource
    downsamples: tuple[float, ...]
    tissue: TissueMask

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of every level."""
        return self.source.shapes

    def read(self, x: int, y: int, width: int, height: int, level: int) -> RGB:
        """Window of a level, (height, width, 3); see `PixelSource.read`."""
        pixels = self.source.read(x, y, width, height, level)
        step = self.downsamples[level] / self.tissue.downsample
        rows, columns = (
            # middles of the pixels; the picture's last ones may lie beyond the last whole pixel of the mask
            np.minimum(((first + np.arange(count) + 0.5) * step).astype(np.intp), last - 1)
            for first, count, last in zip((y, x), (height, width), self.tissue.mask.shape, strict=True)
        )
        on_tissue = self.tissue.mask[np.ix_(rows, columns)]  # (height, width)
        return np.where(on_tissue[..., None], pixels, np.uint8(255))


def on_white(image: SlideImage, tissue: TissueMask) -> SlideImage:
    """Return the picture with everything white that its tissue mask does not call tissue.

    Examples
    --------
    >>> from histoscribe import SlideImage, make_phantom
    >>> from histoscribe.slide.background import on_white
    >>> from histoscribe.slide.tissue import tissue_mask
    >>> phantom = make_phantom(7, size_um=800.0, mpp=1.0)
    >>> image = SlideImage(phantom.image, mpp=phantom.mpp)
    >>> white = on_white(image, tissue_mask(image))
    >>> int(image.read(0, 0, 8, 8).min()), int(white.read(0, 0, 8, 8).min())  # glass
    (233, 255)
    >>> bool((image.read(400, 400, 8, 8) == white.read(400, 400, 8, 8)).all())  # tissue
    True
    """
    downsamples = tuple(image.downsample(level) for level in range(image.n_levels))
    return replace(image, source=WhiteBackground(image.source, downsamples, tissue))
