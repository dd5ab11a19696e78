"""Where the tissue is: one adaptive method for white, grey, tinted and black backgrounds.

Glass is smooth, tissue is not, and glass has one colour. So the colour of the glass is the commonest colour among the
smooth pixels, and tissue is what differs from it in colour, darkness or texture, cut where two classes part best.
All lengths are microns and all thresholds are optical densities, so that no slide needs a number of its own.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from histoscribe.slide.image import RGB, SlideImage

Bool = NDArray[np.bool_]
Float = NDArray[np.float32]

_BLACK = 40  # brightest channel of a pixel that no transmitted light reached; stained tissue is never so dark for long
_SMOOTH_OD = 0.005  # noise of clean glass, in optical density; the weight of smoother pixels grows no further
_GLASS_TEXTURE_OD = 0.012  # median texture of what may be glass: glass has 0.001 to 0.009, smooth pale tissue 0.02
_WHITE_OD, _NOISY_TEXTURE_OD = 0.12, 0.03  # what is as good as white may be glass through a noisy camera
_GLASS_CHROMA_OD = 0.25  # span of the channels of what may be glass: tinted glass has up to 0.1, stained tissue 0.3
_GREY_CHROMA_OD = 0.02  # chroma under which a picture is taken to be grey
_CUT_OD = (0.035, 0.12)  # where the cut may lie: over the noise of glass, under pale tissue
_SMOOTHING_UM = 12.0
_BRIDGE_UM = 25.0  # gaps within tissue that are closed: lumina, fat cells, alveoli
_SMALLEST_MM2 = 0.02  # a fiducial dot is 0.01 mm2, a needle biopsy a hundred times that
_SMALLEST_SHARE = 0.1  # of a picture that is itself hardly larger than that


@dataclass(frozen=True, slots=True, eq=False)
class TissueMask:
    """Tissue or not, on a coarse grid over the whole picture.

    Parameters
    ----------
    mask
        bool (h, w).
    downsample
        Number of level-0 pixels that one pixel of the mask spans.
    """

    mask: Bool
    downsample: float

    @property
    def share(self) -> float:
        """Share of the picture that is tissue."""
        return float(self.mask.mean())

    def area_mm2(self, mpp: float) -> float:
        """Area of tissue in square millimetres, where level 0 has `mpp` microns per pixel."""
        return float(np.count_nonzero(self.mask)) * (self.downsample * mpp / 1000) ** 2

    def at(self, xy_px: NDArray[np.float64]) -> Bool:
        """Whether points lie on tissue; points outside the picture do not.

        Parameters
        ----------
        xy_px
            (n, 2), x before y, in level-0 pixels.

        Returns
        -------
        bool (n,).
        """
        height, width = self.mask.shape
        column, row = np.floor(np.asarray(xy_px, np.float64) / self.downsample).T  # (n,), (n,)
        # the picture's last pixels may fill less than one pixel of the mask
        inside = (column >= 0) & (row >= 0) & (column <= width) & (row <= height)
        found = np.zeros(len(column), bool)
        rows, columns = row[inside].astype(np.intp), column[inside].astype(np.intp)
        found[inside] = self.mask[np.minimum(rows, height - 1), np.minimum(columns, width - 1)]
        return found

    def fraction(self, xy_px: NDArray[np.float64], *, diameter_px: float) -> NDArray[np.float64]:
        """Share of each spot's footprint that is tissue; what lies outside the picture is not.

        The footprint is a square of the disc's area, so that an integral image gives it exactly, at any size.

        Parameters
        ----------
        xy_px
            Centres, (n, 2), x before y, in level-0 pixels.
        diameter_px
            Diameter of a spot in level-0 pixels.

        Returns
        -------
        float64 (n,), from 0 to 1.
        """
        centre = np.asarray(xy_px, np.float64)[:, ::-1] / self.downsample  # (n, 2) row, column
        side = max(diameter_px / self.downsample * np.sqrt(np.pi) / 2, 1e-3)
        total = np.pad(self.mask.cumsum(0, dtype=np.float64).cumsum(1), ((1, 0), (1, 0)))  # (h + 1, w + 1)

        def up_to(corner: NDArray[np.float64]) -> NDArray[np.float64]:
            # linear interpolation of an integral image is exact for pixels of one value
            return ndimage.map_coordinates(total, corner.T, order=1, mode="nearest")  # type: ignore[no-any-return]

        low, high = centre - side / 2, centre + side / 2
        mixed = np.stack([low[:, 0], high[:, 1]], axis=1), np.stack([high[:, 0], low[:, 1]], axis=1)
        area = up_to(high) - up_to(mixed[0]) - up_to(mixed[1]) + up_to(low)
        share: NDArray[np.float64] = np.clip(area / side**2, 0.0, 1.0)
        return share


def tissue_mask(image: SlideImage, *, mask_um: float = 8.0, max_side: int = 2048) -> TissueMask:
    """Find the tissue of a picture.

    Parameters
    ----------
    image
        The picture; where its `mpp` is unknown, its longer side is taken to be 1,024 pixels of `mask_um`.
    mask_um
        Wanted side of a pixel of the mask, in microns.
    max_side
        Longest side that the mask may have.

    Returns
    -------
    TissueMask; empty for blank glass, nearly full for a picture that is all tissue.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe import SlideImage, make_phantom
    >>> from histoscribe.slide.tissue import tissue_mask
    >>> phantom = make_phantom(7, size_um=800.0, mpp=1.0)
    >>> tissue = tissue_mask(SlideImage(phantom.image, mpp=phantom.mpp))
    >>> tissue.mask.shape, tissue.downsample
    ((100, 100), 8.0)
    >>> print(f"{tissue.area_mm2(phantom.mpp):.1f} mm2 of tissue")
    0.5 mm2 of tissue
    >>> tissue.at(np.array([[400.0, 400.0], [1.0, 1.0]]))
    array([ True, False])
    """
    wanted = 1024 if image.mpp is None else int(np.ceil(max(image.shape) * image.mpp / mask_um))
    picture, downsample = image.overview(max_side=min(max(wanted, 1), max_side))
    pixel_um = mask_um if image.mpp is None else image.mpp * downsample
    return TissueMask(_segment(picture, pixel_um), downsample)


def _segment(picture: RGB, pixel_um: float) -> Bool:
    density = -np.log((picture.astype(np.float32) + 1) / 256)  # (h, w, 3) optical density
    lit = _lit(picture)
    if not lit.any():
        return lit
    texture = _texture(density.mean(2))
    found = _glass(density, texture, lit)
    if found is None:
        return _tidy(lit, pixel_um)
    glass, roughness = found
    sigma = max(0.8, _SMOOTHING_UM / pixel_um)
    darkness, chroma = _difference(density, glass, sigma)
    # darkness counts half: shadows, dust and printed frames are dark, but only stain is coloured
    rough = np.maximum(_smooth(texture, sigma) - roughness, 0)
    evidence = np.sqrt((darkness / 2) ** 2 + (chroma**2).sum(2) + rough**2)  # (h, w)
    tissue = _tidy((evidence > _cut(evidence[lit])) & lit, pixel_um)
    return _without_foreign(tissue, chroma, rough, pixel_um)


def _lit(picture: RGB) -> Bool:
    """Pixels that light went through: not a black background, nor a small picture set into one."""
    bright = picture.max(2) >= _BLACK
    black = ndimage.binary_opening(~bright, iterations=1)
    if not black.any():
        return np.ones_like(bright)
    lit: Bool = ~ndimage.binary_dilation(black, iterations=2)  # the smeared edge is neither black nor tissue
    islands, count = ndimage.label(lit)
    sizes = np.bincount(islands.ravel())[1:]
    for number, place in enumerate(ndimage.find_objects(islands), start=1):
        # tissue on black has a ragged outline; an exact rectangle beside a larger island is a picture in the picture
        filled = sizes[number - 1] / islands[place].size
        if count > 1 and filled > 0.97 and sizes[number - 1] < sizes.max():
            lit[islands == number] = False
    return lit


def _texture(density: Float) -> Float:
    """Local standard deviation of the optical density over 3 x 3 pixels."""
    mean = ndimage.uniform_filter(density, 3)
    return np.sqrt(np.maximum(ndimage.uniform_filter(density**2, 3) - mean**2, 0))  # type: ignore[no-any-return]


def _glass(density: Float, texture: Float, lit: Bool) -> tuple[Float, float] | None:
    """Optical density of the bare glass, (3,), and its texture, or None where the picture shows no glass."""
    mean, rough = density.mean(2)[lit], texture[lit]  # (n,), (n,)
    weight = 1 / (rough**2 + _SMOOTH_OD**2)
    step = 0.02
    histogram, edges = np.histogram(mean, bins=np.arange(0, 5.6, step), weights=weight)
    peak = edges[int(np.argmax(ndimage.gaussian_filter1d(histogram, 1)))] + step / 2
    near = np.abs(mean - peak) < 1.5 * step
    if not near.any():
        return None
    glass: Float = np.average(density[lit][near], axis=0, weights=weight[near]).astype(np.float32)
    roughness = float(np.median(rough[near]))
    white = glass.mean() < _WHITE_OD and np.ptp(glass) < _WHITE_OD / 2
    smooth = roughness < (_NOISY_TEXTURE_OD if white else _GLASS_TEXTURE_OD)
    return (glass, roughness) if smooth and np.ptp(glass) < _GLASS_CHROMA_OD else None


def _difference(density: Float, glass: Float, sigma: float) -> tuple[Float, Float]:
    """Smoothed difference from glass, parted into darkness (h, w) and chroma (h, w, 3)."""
    difference = density - glass
    darkness = difference.mean(2)
    chroma = difference - darkness[..., None]
    return _smooth(darkness, sigma), np.stack([_smooth(chroma[..., c], sigma) for c in range(3)], axis=2)


def _smooth(values: Float, sigma: float) -> Float:
    return ndimage.gaussian_filter(values, sigma)  # type: ignore[no-any-return]


def _cut(evidence: Float) -> float:
    """Return Otsu's threshold of the logarithm, kept within what glass and tissue can show.

    The logarithm, because tissue spans tenfold in density, and its dark parts must not push the pale ones out.
    """
    from skimage.filters import threshold_otsu

    offset = 0.02
    cut = float(np.exp(threshold_otsu(np.log(evidence + offset)))) - offset
    return float(np.clip(cut, *_CUT_OD))


def _tidy(mask: Bool, pixel_um: float) -> Bool:
    """Close small gaps, fill enclosed holes of that order, open hair-thin bridges, and drop specks."""
    # a single field of view may be smaller than the smallest piece of a slide
    smallest = min(_SMALLEST_MM2 / (pixel_um / 1000) ** 2, _SMALLEST_SHARE * mask.size)
    closed = _eroded(_dilated(mask, _BRIDGE_UM / pixel_um), _BRIDGE_UM / pixel_um)
    return _without_small(~_without_small(~closed, smallest), smallest)


def _dilated(mask: Bool, radius: float) -> Bool:
    if not mask.any() or radius < 1:
        return mask
    return ndimage.distance_transform_edt(~mask) <= radius  # type: ignore[no-any-return]


def _eroded(mask: Bool, radius: float) -> Bool:
    if mask.all() or radius < 1:
        return mask
    return ndimage.distance_transform_edt(mask) > radius  # type: ignore[no-any-return]


def _without_small(mask: Bool, smallest: float) -> Bool:
    islands, _ = ndimage.label(mask)
    keep = np.bincount(islands.ravel()) >= smallest
    keep[0] = False
    return keep[islands]  # type: ignore[no-any-return]


def _without_foreign(mask: Bool, chroma: Float, texture: Float, pixel_um: float) -> Bool:
    """Drop what differs from glass but is not tissue: washed-out stain, shadows, fiducials, ink, dust.

    The island with most stain and structure says what this tissue looks like. Paler and smoother is a wash or shadow,
    without its colour is a print or dust, of another hue is ink. The colour of a grey picture is not used.
    """
    strength = np.linalg.norm(chroma, axis=2)  # (h, w)
    islands, count = ndimage.label(mask)
    if count == 0:
        return mask
    stain = ndimage.sum_labels(strength * texture, islands, np.arange(1, count + 1))
    main = islands == 1 + int(np.argmax(stain))
    main_strength, main_texture = float(np.median(strength[main])), float(np.median(texture[main]))
    if main_strength < _GREY_CHROMA_OD:
        shadow = main_texture < _GLASS_TEXTURE_OD  # as smooth and as colourless as glass
        return np.zeros_like(mask) if shadow else mask
    hue = chroma[main].mean(0)  # (3,)
    hue /= np.linalg.norm(hue)
    wash = (strength < 0.6 * main_strength) & (texture < 0.25 * main_texture)
    # wide smoothing, so that lumina and fat keep the colour of the walls around them
    colourless = _smooth(chroma @ hue, _BRIDGE_UM / pixel_um) < 0.18 * main_strength
    islands, count = ndimage.label(_tidy(mask & ~wash & ~colourless, pixel_um))
    index = np.arange(1, count + 1)
    colour = np.stack([ndimage.mean(chroma[..., c], islands, index) for c in range(3)], axis=1)  # (k, 3)
    along = colour @ hue  # (k,) chroma of the tissue's own hue
    across = np.sqrt(np.maximum((colour**2).sum(1) - along**2, 0))
    keep = (along > 0.25 * main_strength) & (along > across)
    return np.concatenate([[False], keep])[islands]  # type: ignore[no-any-return]
