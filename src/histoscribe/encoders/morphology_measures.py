"""Measures of the `morphology` encoder on tiles: stains, spectra, blobs, local patterns, nuclei, fibres.

Each function takes a batch and returns one row per tile. A row depends on its own tile only, and most measures are
ratios, so that a paler or darker stain moves them little. Lengths are in pixels of the tile; scales are powers of the
square root of two, from chromatin to gland.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from histoscribe.slide.unmixing import PUBLISHED, unit_rows

F32 = NDArray[np.float32]

# edges of the rings of spatial frequency, in cycles per pixel: half octaves, wavelengths from 2 to 45 pixels
_RING_EDGES = 0.5 / np.sqrt(2.0) ** np.arange(9, -1, -1)

# standard deviations of the blob filters: a disc of radius r gives the largest response at r / sqrt(2)
BLOB_SIGMAS = (1.4, 2.0, 2.8, 4.0, 5.6)
_BORDER = 8  # responses of the blob filters nearer to the border than this wrap round, and are left out

_TINY = np.float32(1e-6)
_BINS = 64  # of the histogram in which the threshold for nuclei is sought
_DENSEST = 2.0  # optical density at its upper end
_FAINTEST = 0.12  # optical density of haematoxylin below which nothing is a nucleus


def stains(tiles: NDArray[np.uint8]) -> F32:
    """Optical densities of haematoxylin, eosin and the rest, (3, n, h, w)."""
    density = -np.log((tiles.astype(np.float32) + 1) / 256)  # (n, h, w, 3)
    inverse = _unmixing()
    red, green, blue = (density[..., channel] for channel in range(3))
    return np.stack([red * row[0] + green * row[1] + blue * row[2] for row in inverse])


@cache
def _unmixing() -> F32:
    h, e = unit_rows(PUBLISHED)
    rest = np.cross(h, e)  # at right angles to both
    return np.linalg.inv(np.array([h, e, rest / np.linalg.norm(rest)])).T.astype(np.float32)


def amounts(stain: F32) -> F32:
    """Mean, spread, skewness and five quantiles of each stain, and how the two stains go together, (n, 26)."""
    flat = stain.reshape(3, stain.shape[1], -1)  # (3, n, h * w)
    columns = []
    for values in flat:
        ordered = np.sort(values[:, ::4], axis=1)  # a quarter of the pixels is enough for quantiles
        quantiles = ordered[:, [int(q * (ordered.shape[1] - 1)) for q in (0.05, 0.25, 0.5, 0.75, 0.95)]]
        mean, spread, skewness, _ = _moments(values)
        columns += [np.stack([mean, spread, skewness], axis=1), quantiles]
    together = _correlation(flat[0], flat[1])
    blank = np.mean(flat[0] + flat[1] < 0.15, axis=1)
    return np.concatenate([*columns, together[:, None], blank[:, None]], axis=1).astype(np.float32)


def spectra(stain: F32) -> F32:
    """Energy, direction and coherence of haematoxylin and eosin per ring of spatial frequency, (n, 47).

    Energy is the logarithm of a ring's share in the whole; direction is the length of the mean of exp(2 i theta),
    weighted by energy: 0 for a texture that looks alike from all sides, 1 for stripes; coherence is the correlation of
    the two stains within a ring.
    """
    from scipy.fft import rfft2

    n, side = stain.shape[1], stain.shape[2]
    window = np.hanning(side + 1)[:-1].astype(np.float32)
    order, starts, twice = _rings(side)
    centred = stain[:2] - stain[:2].reshape(2, n, -1).mean(axis=2)[..., None, None]
    waves = rfft2(centred * (window[:, None] * window)).reshape(2, n, -1)[..., order]  # (2, n, frequencies)
    power = np.square(waves.real) + np.square(waves.imag)
    energy = np.add.reduceat(power, starts, axis=2) + _TINY  # (2, n, rings)
    direction = np.abs(np.add.reduceat(power * twice, starts, axis=2)) / energy
    cross = np.add.reduceat((waves[0] * waves[1].conj()).real, starts, axis=1)
    whole = energy.sum(axis=2, keepdims=True)
    columns = [np.log(energy[k] / whole[k]) for k in (0, 1)] + [direction[0], direction[1]]
    columns += [cross / np.sqrt(energy[0] * energy[1]), np.log(whole[0]), np.log(whole[1])]
    return np.concatenate(columns, axis=1).astype(np.float32)


@cache
def _rings(side: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.complex64]]:
    """Frequencies sorted by ring, where each ring starts, and exp(2 i theta) of each frequency."""
    fy, fx = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    ring = np.digitize(np.hypot(fy, fx).ravel(), _RING_EDGES) - 1
    inside = (ring >= 0) & (ring < len(_RING_EDGES) - 1)
    order = np.flatnonzero(inside)[np.argsort(ring[inside], kind="stable")]
    starts = np.searchsorted(ring[order], np.arange(len(_RING_EDGES) - 1))
    return order, starts, np.exp(2j * np.arctan2(fy, fx).ravel()[order]).astype(np.complex64)


def blobs(haematoxylin: F32) -> F32:
    """Dark blobs of five sizes in haematoxylin, (n, 25).

    The response to each scale-normalised Laplacian of a Gaussian (Lindeberg 1998, Int. J. Comput. Vis. 30, 79-116) over
    the tile's own spread: its energy, skewness and kurtosis, how many clear maxima there are and how high they stand.
    """
    from scipy.fft import irfft2, rfft2

    n, side = haematoxylin.shape[:2]
    spread = haematoxylin.reshape(n, -1).std(axis=1) + np.float32(0.02)
    waves = rfft2(haematoxylin)
    columns = []
    for kernel in _blob_kernels(side):
        response = irfft2(waves * kernel, s=(side, side))[:, _BORDER:-_BORDER, _BORDER:-_BORDER]
        response = response / spread[:, None, None]
        peak = _maxima(response) & (response[:, 1:-1, 1:-1] > 0.3)
        count = peak.reshape(n, -1).sum(axis=1)
        height = np.where(peak, response[:, 1:-1, 1:-1], 0).reshape(n, -1).sum(axis=1) / np.maximum(count, 1)
        _, deviation, skewness, kurtosis = _moments(np.ascontiguousarray(response).reshape(n, -1))
        columns += [np.log(deviation + 1e-3), skewness, kurtosis, np.sqrt(count), height]
    return np.stack(columns, axis=1).astype(np.float32)


@cache
def _blob_kernels(side: int) -> list[F32]:
    fy, fx = np.meshgrid(np.fft.fftfreq(side), np.fft.rfftfreq(side), indexing="ij")
    squared = (2 * np.pi) ** 2 * (fy**2 + fx**2)
    return [(s**2 * squared * np.exp(-(s**2) * squared / 2)).astype(np.float32) for s in BLOB_SIGMAS]


def _maxima(image: F32) -> NDArray[np.bool_]:
    """Which inner pixels stand above all eight neighbours, (n, h - 2, w - 2)."""
    rows = np.maximum(np.maximum(image[:, :-2], image[:, 2:]), image[:, 1:-1])  # (n, h - 2, w)
    sides = np.maximum(rows[:, :, :-2], rows[:, :, 2:])
    above = np.maximum(image[:, :-2, 1:-1], image[:, 2:, 1:-1])
    return image[:, 1:-1, 1:-1] > np.maximum(sides, above)


def patterns(channel: F32, *, steps: tuple[int, ...]) -> F32:
    """Share of each rotation-invariant uniform local binary pattern (Ojala 2002), 10 for every step: (n, 10 k).

    The eight neighbours of a pixel lie `step` apart. Brighter by less than a little counts as not brighter, so that
    noise on blank glass makes no pattern.
    """
    columns = []
    for step in steps:
        centre = channel[:, step:-step, step:-step] + np.float32(0.01)
        h, w = centre.shape[1:]
        around = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))
        bits = [channel[:, y * step : y * step + h, x * step : x * step + w] > centre for y, x in around]
        ones = sum(bit.view(np.uint8) for bit in bits)
        turns = sum((bits[k] ^ bits[k - 1]).view(np.uint8) for k in range(8))
        code = np.where(turns <= 2, ones, np.uint8(9)).reshape(len(channel), -1)
        columns += [np.mean(code == k, axis=1) for k in range(10)]
    shares: F32 = np.sqrt(np.stack(columns, axis=1)).astype(np.float32)
    return shares


def fibres(channel: F32) -> F32:
    """How strictly edges are aligned, in cells of an eighth and a quarter of the tile and over all, (n, 5).

    Coherence of the structure tensor (Bigun and Granlund 1987), weighted by its energy.
    """
    side = channel.shape[1]
    dx = channel[:, 1:-1, 2:] - channel[:, 1:-1, :-2]  # (n, h - 2, w - 2)
    dy = channel[:, 2:, 1:-1] - channel[:, :-2, 1:-1]
    columns = []
    for cells in (8, 4, 1):
        edge = (side - 2) // cells
        tensor = [_cells(product, cells, edge) for product in (dx * dx, dy * dy, dx * dy)]  # each (n, cells ** 2)
        energy = tensor[0] + tensor[1] + _TINY
        coherence = np.sqrt((tensor[0] - tensor[1]) ** 2 + 4 * tensor[2] ** 2) / energy
        columns.append((coherence * energy).sum(axis=1) / energy.sum(axis=1))
        if cells > 1:
            columns.append(coherence.std(axis=1))
    return np.stack(columns, axis=1).astype(np.float32)


def _cells(values: F32, cells: int, edge: int) -> F32:
    """Mean in each of `cells` x `cells` squares, (n, cells ** 2)."""
    used = values[:, : cells * edge, : cells * edge].reshape(len(values), cells, edge, cells, edge)
    means: F32 = used.mean(axis=4).mean(axis=2).reshape(len(values), -1)
    return means


def nuclei(stain: F32) -> F32:
    """Measure number, size, shape, spacing and clustering of what is dark in haematoxylin, (n, 16)."""
    mask = stain[0] > _thresholds(stain[0])[:, None, None]
    n = len(mask)
    flat = mask.reshape(n, -1)
    share = flat.mean(axis=1)
    weight = flat.sum(axis=1) + 1
    inside = [(flat * values.reshape(n, -1)).sum(axis=1) / weight for values in stain[:2]]
    texture = np.sqrt(np.maximum((flat * stain[0].reshape(n, -1) ** 2).sum(axis=1) / weight - inside[0] ** 2, 0))
    outline = (mask[:, 1:] ^ mask[:, :-1]).reshape(n, -1).sum(axis=1)
    outline = outline + (mask[:, :, 1:] ^ mask[:, :, :-1]).reshape(n, -1).sum(axis=1)
    density = [_cells(mask.astype(np.float32), cells, mask.shape[1] // cells).std(axis=1) for cells in (8, 4)]
    objects = np.stack([_objects(one) for one in mask])  # (n, 9)
    columns = [share, inside[0], inside[1], texture, np.log((outline + 1) / weight), *density]
    spread = np.sqrt(share * (1 - share)) + 0.05
    columns[5:7] = [column / spread for column in columns[5:7]]
    return np.concatenate([np.stack(columns, axis=1), objects], axis=1).astype(np.float32)


def _thresholds(haematoxylin: F32) -> F32:
    """Otsu's threshold of each tile (Otsu 1979), (n,); never below what the faintest nucleus takes up."""
    n = len(haematoxylin)
    bins = np.clip(haematoxylin.reshape(n, -1) * (_BINS / _DENSEST), 0, _BINS - 1).astype(np.int32)
    bins += np.arange(n, dtype=np.int32)[:, None] * _BINS
    share = np.bincount(bins.ravel(), minlength=n * _BINS).reshape(n, _BINS) / bins.shape[1]
    below = np.cumsum(share, axis=1)
    mass = np.cumsum(share * np.arange(_BINS), axis=1)
    between = (mass[:, -1:] * below - mass) ** 2 / np.maximum(below * (1 - below), 1e-9)
    edge = (between.argmax(axis=1) + 1) * (_DENSEST / _BINS)
    threshold: F32 = np.maximum(edge, _FAINTEST).astype(np.float32)
    return threshold


def _objects(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Measure the pieces of one mask (h, w): number, areas, elongation, half-widths, distances between them, (9,)."""
    from scipy.ndimage import distance_transform_edt, label

    pieces, _ = label(mask)
    area = np.bincount(pieces.ravel())[1:]
    kept = np.flatnonzero(area >= 8)
    half = mask[::2, ::2]
    inward = distance_transform_edt(half)[half] if half.any() else np.zeros(1)
    outward = distance_transform_edt(~half) if half.any() else np.full(half.shape, float(len(half)))
    rows, columns = np.nonzero(pieces)
    which = pieces[rows, columns] - 1
    log_area = np.log(area[kept]) if len(kept) else np.zeros(1)
    stretch = _elongation(which, rows, columns, area)[kept] if len(kept) else np.zeros(1)
    return np.array(
        [
            np.sqrt(len(kept)),
            log_area.mean(),
            log_area.std(),
            stretch.mean(),
            stretch.std(),
            np.log(inward.mean()) if half.any() else 0.0,
            np.log(inward.max()) if half.any() else 0.0,
            np.log1p(outward.mean()),
            np.log1p(outward.max()),
        ]
    )


def _elongation(
    which: NDArray[np.intp], rows: NDArray[np.intp], columns: NDArray[np.intp], area: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Length of the axis of inertia's eccentricity vector of each piece: 0 for a disc, towards 1 for a line."""
    y, x = rows.astype(np.float64), columns.astype(np.float64)
    n = len(area)
    mean_y, mean_x = (np.bincount(which, values, n) / area for values in (y, x))
    dy, dx = y - mean_y[which], x - mean_x[which]
    yy, xx, xy = (np.bincount(which, values, n) / area for values in (dy * dy, dx * dx, dy * dx))
    stretch: NDArray[np.float64] = np.sqrt((yy - xx) ** 2 + 4 * xy**2) / (yy + xx + 1 / 6)
    return stretch


def _moments(values: F32) -> tuple[F32, F32, F32, F32]:
    """Mean, standard deviation, skewness and root of kurtosis of each row, the last two damped where it is flat."""
    mean = values.mean(axis=1)
    centred = values - mean[:, None]
    squared = centred * centred
    variance = squared.mean(axis=1)
    deviation = np.sqrt(variance)
    safe = deviation + np.float32(0.01)
    skewness = (squared * centred).mean(axis=1) / safe**3
    return mean, deviation, np.cbrt(skewness), np.sqrt((squared * squared).mean(axis=1)) / safe**2


def _correlation(a: F32, b: F32) -> F32:
    a, b = (values - values.mean(axis=1, keepdims=True) for values in (a, b))
    scale = np.sqrt((a * a).mean(axis=1) * (b * b).mean(axis=1)) + np.float32(1e-4)
    product: F32 = (a * b).mean(axis=1) / scale
    return product
