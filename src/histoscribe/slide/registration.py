"""Where one picture lies in another of the same section: its turn, its scale and the part of it that was cut out.

Normalised cross-correlation of optical density at every place at once (Lewis, Fast normalized cross-correlation, Vision
Interface 1995, as scikit-image has it), for the eight turns and a range of scales, from coarse to fine; the best is
then polished to a fraction of a pixel.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from histoscribe.slide.image import SlideImage
from histoscribe.slide.turns import EIGHT, Turn

Grid = NDArray[np.float64]

_COARSE, _MIDDLE, _FINE = 64, 160, 240  # cells along the longer side of the reference
_SMALLEST = 16  # cells of a part, at the coarse level: a quarter of the section's side
_MARGIN = 3  # cells by which a part may overlap the edge: sizes are rounded
_STEP = 1.06  # from one scale to the next
_LIKELY = 3  # turns that are looked at more closely
_STRETCH = 0.02  # sides of a whole picture may be rounded by so much
# Parts of real lowres pictures, of a third of the side and more, .97 at least; whole and half pictures of another
# section, be it the next one of the same block, .76 at most; parts of phantoms, whose texture is finer, .89 at least
# with nothing above .44 elsewhere (benchmarks/belonging.py, tests/io/test_same_picture.py)
LEAST, _SURE, _APART = 0.85, 0.95, 0.05
_FOUND = 0.9  # a correlation that needs no further search
_DARKEST = 1.5  # optical density; black that was painted around a section would outweigh the tissue


@dataclass(frozen=True, slots=True)
class Registration:
    """Where a picture lies in a reference.

    Parameters
    ----------
    turn
        What was done to the reference's way round to give the picture's.
    scale
        Pixels of the picture per pixel of the reference.
    origin_px
        x, y of the upright picture's upper left corner, in pixels of the reference.
    size_px
        Width and height of the upright picture, in its own pixels.
    score
        Correlation of optical density, 1 where both show the same.
    second
        The highest correlation of another turn, or of another place at this turn.
    scores
        The highest correlation by turn's name.
    """

    turn: Turn
    scale: float
    origin_px: tuple[float, float]
    size_px: tuple[float, float]
    score: float
    second: float
    scores: dict[str, float]

    def points(self, xy_px: Grid) -> Grid:
        """Move points, (n, 2), from pixels of the reference to pixels of the picture."""
        return self.turn.points((np.asarray(xy_px) - self.origin_px) * self.scale, self.size_px)

    def back(self, xy_px: Grid) -> Grid:
        """Move points, (n, 2), from pixels of the picture to pixels of the reference."""
        size = self.size_px[::-1] if self.turn.swap else self.size_px
        moved: Grid = self.turn.inverse.points(xy_px, size) / self.scale + np.asarray(self.origin_px)
        return moved

    @property
    def settled(self) -> bool:
        """Whether the place is beyond doubt: nothing else comes near, the less so the lower the correlation is."""
        return self.score >= LEAST and self.score - self.second >= _APART + max(0.0, 1.5 * (_SURE - self.score))


@dataclass(frozen=True, slots=True)
class _Try:
    """One turn, scale and place: correlation, and the corner in cells of a reference of `cells` a side."""

    turn: Turn
    scale: float
    corner: tuple[float, float]  # x, y
    score: float
    second: float


def register(picture: SlideImage, reference: SlideImage, *, scales: Iterable[float] = ()) -> Registration | None:
    """Find a whole picture, or a part that was cut out of it, in a reference.

    Parameters
    ----------
    picture
        The picture, which may be turned, mirrored, of another scale, and a part of the reference's ground.
    reference
        What is known to be the right way round.
    scales
        Pixels of the picture per pixel of the reference that are tried before all others.

    Returns
    -------
    The best place; None where the picture is too small a part of the reference, or has another shape than any part.
    """
    both = _Pair(picture, reference)
    found = both.wholes()
    if _highest(found) < _FOUND:
        _keep_better(found, both.tried(_MIDDLE, ((turn, scale) for turn in EIGHT for scale in dict.fromkeys(scales))))
    if _highest(found) < _FOUND:
        rough = both.tried(_COARSE, ((turn, scale) for turn in EIGHT for scale in both.range_of(turn)))
        near = np.exp(np.arange(-3, 4) * np.log(_STEP) / 4)
        likely = sorted(rough, key=lambda turn: -rough[turn].score)
        finer = both.tried(_MIDDLE, ((t, rough[t].scale * float(d)) for t in likely[:_LIKELY] for d in near))
        _keep_better(found, rough | finer)
    if not found:
        return None
    best = max(found.values(), key=lambda one: one.score)
    others = [one.score for turn, one in found.items() if turn != best.turn]
    scale, origin, score = both.polished(best)
    return Registration(
        turn=best.turn,
        scale=scale,
        origin_px=origin,
        size_px=both.upright_size(best.turn),
        score=score,
        second=max(best.second, *others, 0.0),
        scores={turn.name: round(one.score, 4) for turn, one in found.items()} | {best.turn.name: round(score, 4)},
    )


def _highest(found: dict[Turn, _Try]) -> float:
    return max((one.score for one in found.values()), default=0.0)


def _keep_better(found: dict[Turn, _Try], others: dict[Turn, _Try]) -> None:
    for turn, one in others.items():
        if turn not in found or one.score > found[turn].score:
            found[turn] = one


class _Pair:
    """Optical densities of a picture and its reference, at the levels on which they are compared."""

    def __init__(self, picture: SlideImage, reference: SlideImage) -> None:
        self.size = (picture.width, picture.height)
        self.reference_size = (reference.width, reference.height)
        self.halves = _halves(_density(picture))
        self.reference_halves = _halves(_density(reference))

    def reference(self, side: int) -> Grid:
        """Return the reference, `side` cells long."""
        return _resized(self.reference_halves, _shape(self.reference_size, side))

    def upright_size(self, turn: Turn) -> tuple[float, float]:
        """Width and height of the picture once the turn is undone."""
        return (self.size[1], self.size[0]) if turn.swap else self.size

    def wholes(self) -> dict[Turn, _Try]:
        """Compare the whole pictures, for every turn that does not stretch one of them."""
        reference, found = self.reference(_MIDDLE), {}
        for turn in EIGHT:
            x, y = np.asarray(self.upright_size(turn)) / self.reference_size
            if abs(x / y - 1) < _STRETCH:
                shape = reference.shape[::-1] if turn.swap else reference.shape
                part = turn.inverse.pixels(_resized(self.halves, shape))
                score = _correlation(part, reference)
                found[turn] = _Try(turn, float(np.sqrt(x * y)), (0.0, 0.0), score, 0.0)
        return found

    def range_of(self, turn: Turn) -> Grid:
        """Scales at which the picture is a part of the reference, none too small to be recognised."""
        lowest = max(own / all_ for own, all_ in zip(self.upright_size(turn), self.reference_size, strict=True))
        largest = max(self.reference_size) / _COARSE * _SMALLEST
        highest = max(lowest, min(self.upright_size(turn)) / largest)
        return lowest * np.exp(np.arange(0, np.log(highest / lowest) + 1e-9, np.log(_STEP)))

    def part(self, turn: Turn, scale: float, side: int) -> Grid:
        """Return the upright picture in the cells of a reference of `side` cells."""
        cell = max(self.reference_size) / side  # pixels of the reference
        width, height = (max(1, round(one / scale / cell)) for one in self.upright_size(turn))
        return np.asarray(turn.inverse.pixels(_resized(self.halves, (width, height) if turn.swap else (height, width))))

    def tried(self, side: int, ways: Iterable[tuple[Turn, float]]) -> dict[Turn, _Try]:
        """Try every place of every turn and scale; the best by turn."""
        from skimage.feature import match_template

        whole = self.reference(side)
        reference = np.pad(whole, _MARGIN, constant_values=float(np.median(_border(whole))))
        best: dict[Turn, _Try] = {}
        for turn, scale in ways:
            part = self.part(turn, scale, side)
            if min(part.shape) < _SMALLEST / 2 or (np.asarray(part.shape) > reference.shape).any():
                continue
            scores = match_template(reference, part)  # one per place of the part's upper left corner
            row, column = np.unravel_index(int(np.argmax(scores)), scores.shape)
            score = float(scores[row, column])
            if turn not in best or score > best[turn].score:
                second = _second(scores, int(row), int(column), side)
                best[turn] = _Try(turn, scale, ((column - _MARGIN) / side, (row - _MARGIN) / side), score, second)
        return best

    def polished(self, one: _Try) -> tuple[float, tuple[float, float], float]:
        """Scale, corner in pixels of the reference, and correlation, to a fraction of a cell."""
        from scipy.ndimage import map_coordinates
        from scipy.optimize import minimize

        longest = max(self.reference_size)
        # no finer than the coarser of the two: detail that one lacks would lower the correlation
        side = max(_COARSE, min(_FINE, longest, round(longest * one.scale)))
        reference = self.reference(side)
        part = self.part(one.turn, one.scale, side)
        row, column = np.indices(part.shape) + 0.5  # middles of the cells
        cells = np.asarray(self.upright_size(one.turn)) / one.scale / longest * side  # exact width and height
        step = cells / part.shape[::-1]

        def loss(change: Grid) -> float:
            x = change[0] + column * step[0] * np.exp(change[2]) - 0.5
            y = change[1] + row * step[1] * np.exp(change[2]) - 0.5
            return -_correlation(part, map_coordinates(reference, [y, x], order=1, mode="nearest"))

        start = np.array([one.corner[0] * side, one.corner[1] * side, 0.0])
        simplex = start + np.vstack([np.zeros(3), np.diag([1.0, 1.0, 0.005])])
        found = minimize(
            loss, start, method="Nelder-Mead", options={"initial_simplex": simplex, "xatol": 5e-3, "fatol": 1e-6}
        )
        x, y, shrink = found.x
        return (
            float(one.scale / np.exp(shrink)),
            (float(x * longest / side), float(y * longest / side)),
            float(-found.fun),
        )


def _density(image: SlideImage) -> Grid:
    """Mean optical density of a picture's overview, (h, w)."""
    picture, _ = image.overview(max_side=4 * _FINE)
    density: Grid = np.minimum(-np.log((picture.astype(np.float64) + 1) / 256).mean(axis=2), _DARKEST)
    return density


def _shape(size: tuple[int, int], side: int) -> tuple[int, int]:
    width, height = (max(1, round(one * side / max(size))) for one in size)
    return height, width


def _halves(density: Grid) -> list[Grid]:
    """Return a picture and its halves, from which a small one is made without reading the large."""
    from skimage.transform import resize

    halves = [density]
    while min(halves[-1].shape) >= 2 * _SMALLEST:
        rows, columns = (-(-side // 2) for side in halves[-1].shape)
        halves.append(np.asarray(resize(halves[-1], (rows, columns), anti_aliasing=True), np.float64))
    return halves


def _resized(halves: list[Grid], shape: tuple[int, int]) -> Grid:
    from skimage.transform import resize

    enough = [one for one in halves if one.shape[0] >= shape[0] and one.shape[1] >= shape[1]]
    source = enough[-1] if enough else halves[0]
    return np.asarray(resize(source, shape, anti_aliasing=True, preserve_range=True), np.float64)


def _border(grid: Grid) -> Grid:
    return np.concatenate([grid[0], grid[-1], grid[:, 0], grid[:, -1]])


def _second(scores: Grid, row: int, column: int, side: int) -> float:
    """Highest correlation at another place, a tenth of the reference away."""
    far = side // 10
    rows, columns = np.ogrid[: scores.shape[0], : scores.shape[1]]
    elsewhere = np.maximum(np.abs(rows - row), np.abs(columns - column)) > far
    return float(scores[elsewhere].max()) if elsewhere.any() else 0.0


def _correlation(first: Grid, second: Grid) -> float:
    a, b = first - first.mean(), second - second.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    # less than a thousandth of optical density is rounding: a picture of one brightness agrees with nothing
    return float((a * b).sum() / size) if size > 1e-6 * a.size else 0.0
