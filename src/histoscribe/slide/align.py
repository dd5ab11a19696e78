"""One global shift, and a small scale, that brings spots and tissue together: one rule for all, applied on demand.

The score is the share of the spots' ground that agrees with the picture: tissue under spots, none beside them. It is
taken at every shift at once, as a cross-correlation of the tissue with the spots drawn on the same grid.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage
from scipy.spatial import cKDTree

from histoscribe.errors import ConfigError
from histoscribe.slide.tissue import TissueMask

_GRID_SIDE = 1024  # finer would cost time for no gain: a shift is wanted to a fraction of a spot
_FLAT = 0.02  # a score that varies less than this over all shifts cannot distinguish them
_TIE = 0.002  # shifts that are as good as the best; the smallest of them is taken

Points = NDArray[np.float64]
Grid = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Alignment:
    """How the spots would have to move: `xy_px * scale + shift_px`.

    Parameters
    ----------
    shift_px
        x, y in level-0 pixels; (0, 0) where nothing better was found or the shift is not determined.
    scale
        Factor on the coordinates, 1 for none.
    score_before, score_after
        Share of the spots' ground that agrees with the tissue, from 0 to 1, as given and when moved.
    determined
        False where the score is flat, as on a picture that is all tissue: then shifts cannot be distinguished.
    """

    shift_px: tuple[float, float]
    scale: float
    score_before: float
    score_after: float
    determined: bool = True

    @property
    def message(self) -> str:
        """One sentence for the report."""
        if not self.determined:
            return "The tissue fits equally well at every shift, so that a shift cannot be estimated."
        dx, dy = self.shift_px
        size = "" if self.scale == 1 else f" and scaling them by {self.scale:.4g}"
        if (dx, dy, self.scale) == (0, 0, 1):
            return f"No shift of the spots fits the tissue better than none ({self.score_before:.1%} agreement)."
        return (
            f"Moving the spots by {dx:+.1f}, {dy:+.1f} px (x, y){size} raises their agreement with the tissue "
            f"from {self.score_before:.1%} to {self.score_after:.1%}."
        )


def estimate_shift(
    mask: TissueMask,
    xy_px: Points,
    *,
    diameter_px: float,
    max_shift_px: float,
    off_tissue_xy_px: Points | None = None,
    scales: Sequence[float] = (1.0,),
) -> Alignment:
    """Find the shift, and of `scales` the factor, at which the spots agree best with the tissue.

    Parameters
    ----------
    mask
        Where the tissue is.
    xy_px
        Centres of the spots that lie on tissue, (n, 2), x before y, in level-0 pixels.
    diameter_px
        Diameter of a spot in level-0 pixels; 0 where it is not known.
    max_shift_px
        Longest shift along x and along y that is looked at.
    off_tissue_xy_px
        Centres of the spots that the vendor calls off tissue, (m, 2). Where there are none, the ground next to the
        spots takes their part, at no more weight than the spots.
    scales
        Factors to try besides no scaling.

    Returns
    -------
    Alignment; of equally good shifts the smallest.

    Raises
    ------
    ConfigError
        Where there are no spots, or `max_shift_px` or a scale is not positive.
    """
    if not len(xy_px) or not max_shift_px > 0 or not all(scale > 0 for scale in scales):
        raise ConfigError(
            "a shift needs at least one spot, a positive longest shift and positive scales",
            where="estimate_shift",
            found=f"{len(xy_px)} spots, max_shift_px={max_shift_px}, scales={tuple(scales)}",
        )
    tissue, step = _grid(mask)
    off = np.empty((0, 2)) if off_tissue_xy_px is None else off_tissue_xy_px
    reach = max(1, int(np.ceil(min(max_shift_px / step, max(tissue.shape)))))
    spacing = max(_spacing(xy_px), diameter_px, step)
    tried = {}
    for scale in dict.fromkeys((1.0, *scales)):
        drawn = _draw(xy_px * scale / step, off * scale / step, spacing * scale / step, tissue.shape, reach)
        tried[scale] = _scores(tissue, drawn, reach)  # (2 reach + 1, 2 reach + 1), centre: no shift
    before = float(tried[1.0][reach, reach])
    best = max(float(scores.max()) for scores in tried.values())
    if all(np.ptp(scores) < _FLAT for scores in tried.values()):
        return Alignment((0.0, 0.0), 1.0, before, before, determined=False)
    if best - before < _TIE:
        return Alignment((0.0, 0.0), 1.0, before, before)
    scale = min((s for s in tried if tried[s].max() >= best - _TIE), key=lambda s: abs(np.log(s)))
    dx, dy, after = _smallest(tried[scale], reach)
    return Alignment((dx * step, dy * step), scale, before, after)


def apply_alignment(xy_px: Points, alignment: Alignment) -> Points:
    """Move coordinates, (n, 2), x before y, in level-0 pixels, as `alignment` says."""
    return np.asarray(xy_px, np.float64) * alignment.scale + np.asarray(alignment.shift_px)  # type: ignore[no-any-return]


def _grid(mask: TissueMask) -> tuple[Grid, float]:
    """Tissue share on a grid of at most 1,024 a side, and the level-0 pixels that one of its cells spans."""
    factor = -(-max(mask.mask.shape) // _GRID_SIDE)
    height, width = (-(-side // factor) * factor for side in mask.mask.shape)
    padded = np.zeros((height, width))
    padded[: mask.mask.shape[0], : mask.mask.shape[1]] = mask.mask
    tissue = padded.reshape(height // factor, factor, width // factor, factor).mean((1, 3))
    return tissue, mask.downsample * factor


def _spacing(xy_px: Points) -> float:
    """Distance to the fourth nearest neighbour: the pitch on any lattice, a typical gap where there is none."""
    if len(xy_px) < 2:
        return 0.0
    some = xy_px[:: max(1, len(xy_px) // 2000)]
    distance = cKDTree(xy_px).query(some, k=min(5, len(xy_px)))[0]
    return float(np.median(distance[:, -1]))


def _draw(xy: Points, off: Points, spacing: float, shape: tuple[int, ...], reach: int) -> Grid:
    """Weights on the grid, padded by `reach`: positive under spots, negative where no tissue should be; sum of |.| 1.

    Coordinates and spacing are in cells of the grid.
    """
    size = (shape[0] + 2 * reach, shape[1] + 2 * reach)
    to_spot, n_lost = _distance(xy + reach, size)
    on = to_spot <= max(spacing / 2, 0.5)
    if len(off):
        beside = (_distance(off + reach, size)[0] <= max(spacing / 2, 0.5)) & ~on
        weight = 1.0
    else:
        beside = (to_spot > spacing) & (to_spot <= 2 * spacing)
        weight = min(1.0, on.sum() / max(beside.sum(), 1))
    drawn = on - weight * beside
    lost = n_lost / max(len(xy) - n_lost, 1) * on.sum()  # spots beyond the padding count as off tissue
    return drawn / max(np.abs(drawn).sum() + lost, 1)  # type: ignore[no-any-return]


def _distance(xy: Points, size: tuple[int, int]) -> tuple[Grid, int]:
    """Distance of every cell to the nearest point, and how many points lie outside."""
    inside = ((xy >= 0) & (xy < (size[1], size[0]))).all(axis=1)
    column, row = np.floor(xy[inside]).astype(np.intp).T
    free = np.ones(size, bool)
    free[row, column] = False
    if free.all():
        return np.full(size, np.inf), len(xy)
    return ndimage.distance_transform_edt(free), int((~inside).sum())


def _scores(tissue: Grid, drawn: Grid, reach: int) -> Grid:
    """Agreement at every shift of up to `reach` cells; row is the shift in y, column in x."""
    size = [fft.next_fast_len(side + 2 * reach, real=True) for side in drawn.shape]
    # sum over cells of drawn(cell) * tissue(cell + shift): a correlation, by the convolution theorem
    spectrum = fft.rfft2(tissue, size) * np.conj(fft.rfft2(drawn, size))
    whole = fft.irfft2(spectrum, size)
    # `drawn` is padded by `reach` and `tissue` is not, hence a shift of d stands at d - reach
    index = [np.arange(-2 * reach, 1) % side for side in size]
    # + 1 for every negative cell without tissue
    return np.round(whole[np.ix_(*index)] - np.minimum(drawn, 0).sum(), 9)  # type: ignore[no-any-return]


def _smallest(scores: Grid, reach: int) -> tuple[int, int, float]:
    rows, columns = np.nonzero(scores >= scores.max() - _TIE)
    nearest = np.lexsort((columns, rows, (rows - reach) ** 2 + (columns - reach) ** 2))[0]
    row, column = int(rows[nearest]), int(columns[nearest])
    return column - reach, row - reach, float(scores[row, column])
