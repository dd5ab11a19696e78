"""A common frame for serial sections, found from their pictures alone, and a test whether a section belongs in it.

Neighbouring sections of one specimen show the same structures at the same place once they are aligned. The first
principal components of the spots' appearance make a map of a section; another section is rotated, shifted and stretched
until its own map agrees with it. Only every second component is used for this; the others test the alignment: sections
that show the same structures agree in them too, while a section of another specimen does not, even if it is made to
fit.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.graph.spacing import pitch_of
from histoscribe.numerics.bilinear import corners_around
from histoscribe.numerics.correlation import columnwise_pearson
from histoscribe.predict.head import Inputs
from histoscribe.predict.heads.front import Front

Floats = NDArray[np.float64]

# agreement in the test components: serial sections reach .55 to .9, sections of others at most .23
# (her2st A and C, olfactory bulb)
ACCEPTED = 0.35
_COMPONENTS = 12
_TURNS = 24
_LEAST_SPOTS, _MOST_SPOTS, _MOST_CELLS = 30, 2000, 160
_CELL_PER_PITCH, _BLUR_PER_PITCH = 0.5, 0.6
_MOST_STRETCH = 1.6  # of an area: no section is twice as large as another
_WHERE = "common frame"


@dataclass(frozen=True, slots=True, eq=False)
class Grid:
    """A square grid over the frame.

    Parameters
    ----------
    origin_mm
        (2,) of the first cell's middle, x before y.
    cell_mm
        Side of a cell.
    n
        Cells along each side.
    blur_mm
        Standard deviation with which a spot is spread.
    """

    origin_mm: Floats
    cell_mm: float
    n: int
    blur_mm: float

    @classmethod
    def around(cls, places: Sequence[Floats]) -> Self:
        """Make a grid that covers sections, (n, 2) millimetres about their middles, in any rotation."""
        pitch = float(np.median([pitch_of(xy) for xy in places]))
        reach = 1.5 * max(float(np.linalg.norm(xy, axis=1).max()) for xy in places)
        pitch = max(pitch, 2 * reach / (_CELL_PER_PITCH * _MOST_CELLS))  # small bins share cells
        n = int(np.ceil(2 * reach / (_CELL_PER_PITCH * pitch))) + 1
        return cls(np.full(2, -reach), _CELL_PER_PITCH * pitch, n, _BLUR_PER_PITCH * pitch)

    def drawn(self, xy_mm: Floats, values: Floats) -> Floats:
        """Map values (n, k) at places (n, 2): their blurred mean, fading to 0 where no spots are, (k, n, n)."""
        from scipy.ndimage import gaussian_filter

        cells, weights = self._corners(xy_mm)
        summed = np.zeros((values.shape[1] + 1, self.n * self.n))
        for cell, weight in zip(cells, weights, strict=True):
            for k, column in enumerate((*values.T, np.ones(len(values)))):
                summed[k] += np.bincount(cell, weight * column, minlength=self.n * self.n)
        blurred = np.stack(
            [
                gaussian_filter(one.reshape(self.n, self.n), self.blur_mm / self.cell_mm, mode="constant")
                for one in summed
            ]
        )
        density = blurred[-1]
        full = 0.5 * float(np.quantile(density[density > 0], 0.9)) if (density > 0).any() else 1.0
        return np.asarray(blurred[:-1] / np.maximum(density, 1e-9) * np.minimum(density / full, 1.0))

    def read(self, drawn: Floats, xy_mm: Floats) -> Floats:
        """Values of a map (k, n, n) at places (n, 2), linear between cells, (n, k)."""
        cells, weights = self._corners(xy_mm)
        flat = drawn.reshape(len(drawn), -1)
        found: Floats = sum(
            (weight[:, None] * flat[:, cell].T for cell, weight in zip(cells, weights, strict=True)),
            start=np.zeros((len(xy_mm), len(drawn))),
        )
        return found

    def _corners(self, xy_mm: Floats) -> tuple[NDArray[np.intp], Floats]:
        """Cells (4, n) around each place and their weights (4, n); cells outside have weight 0."""
        points, weights = corners_around((xy_mm - self.origin_mm) / self.cell_mm)
        inside = ((points >= 0) & (points < self.n)).all(axis=2)
        return np.where(inside, points[..., 1] * self.n + points[..., 0], 0), np.where(inside, weights, 0.0)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all of it as arrays by name."""
        return {"origin_mm": self.origin_mm, "sizes": np.array([self.cell_mm, float(self.n), self.blur_mm])}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild the grid from `state`."""
        cell_mm, n, blur_mm = (float(size) for size in state["sizes"])
        return cls(np.asarray(state["origin_mm"], np.float64), cell_mm, int(n), blur_mm)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """The mean map of serial sections in one frame.

    Parameters
    ----------
    front
        Components of the appearance of spots.
    grid
        Over the frame.
    drawn
        (k, n, n) mean map of the sections.
    """

    front: Front
    grid: Grid
    drawn: Floats

    @classmethod
    def fit(
        cls, sections: Sequence[Inputs], places: Sequence[Floats], *, seed: int
    ) -> "tuple[Frame, list[Floats]] | None":
        """Align sections with each other.

        Parameters
        ----------
        sections
            Blocks of appearance, one item per section.
        places
            (n, 2) millimetres about the section's middle, x before y.

        Returns
        -------
        The frame and the places in it; None where there are fewer than two sections, or they do not all agree.
        """
        if len(sections) < 2 or not all(_is_plane(xy) for xy in places):
            return None
        joined = Inputs({name: np.concatenate([one.blocks[name] for one in sections]) for name in sections[0].blocks})
        front = Front.fit(joined, components=_COMPONENTS, seed=seed, where=_WHERE)
        looks = [_look(front, one) for one in sections]
        grid = Grid.around(places)
        largest = int(np.argmax([len(xy) for xy in places]))
        first = cls(front, grid, grid.drawn(places[largest], looks[largest]))
        found = [first._align(look, xy) for look, xy in zip(looks, places, strict=True)]
        maps = [grid.drawn(xy, look) for (xy, _), look in zip(found, looks, strict=True)]
        again = []
        for k, (look, xy) in enumerate(zip(looks, places, strict=True)):
            others = cls(front, grid, np.mean([one for j, one in enumerate(maps) if j != k], axis=0))
            again.append(others._align(look, xy))
        if min(agreement for _, agreement in again) < ACCEPTED:
            return None
        aligned = [xy for xy, _ in again]
        drawn = np.mean([grid.drawn(xy, look) for xy, look in zip(aligned, looks, strict=True)], axis=0)
        return cls(front, grid, drawn), aligned

    def place(self, section: Inputs, xy_mm: Floats) -> Floats | None:
        """Places of a further section in the frame, (n, 2) millimetres; None where it does not belong there."""
        if not _is_plane(xy_mm):
            return None
        aligned, agreement = self._align(_look(self.front, section), xy_mm)
        return aligned if agreement >= ACCEPTED else None

    def _align(self, look: Floats, xy_mm: Floats) -> tuple[Floats, float]:
        """Align a section with the map by every second component; places, and the agreement in the other components."""
        from scipy.optimize import minimize

        fit, judge = slice(0, None, 2), slice(1, None, 2)
        some = np.lexsort(xy_mm.T)[:: -(-len(xy_mm) // _MOST_SPOTS)]
        drawn, values, places = self.drawn[fit], look[some][:, fit], xy_mm[some]

        def moved(p: Floats, xy: Floats) -> Floats:
            return np.asarray(xy @ p[:4].reshape(2, 2).T + p[4:])

        def miss(p: Floats) -> float:
            stretch = abs(float(np.linalg.det(p[:4].reshape(2, 2))))
            if not 1 / _MOST_STRETCH < stretch < _MOST_STRETCH:
                return 1.0
            return -float((self.grid.read(drawn, moved(p, places)) * values).mean())

        start = self._best_turn(drawn, values, places)
        steps = np.diag([0.08] * 4 + [2 * self.grid.cell_mm] * 2)
        options = {"xatol": 1e-3, "fatol": 1e-5, "maxiter": 500, "initial_simplex": np.vstack([start, start + steps])}
        aligned = moved(minimize(miss, start, method="Nelder-Mead", options=options).x, xy_mm)
        return aligned, float(columnwise_pearson(self.grid.read(self.drawn[judge], aligned), look[:, judge]).mean())

    def _best_turn(self, drawn: Floats, values: Floats, xy_mm: Floats) -> Floats:
        """Best of all rotations by 15 degrees and all shifts: matrix and shift, (6,)."""
        n = self.grid.n
        wanted = np.fft.rfft2(drawn, s=(2 * n, 2 * n))
        best, found = -np.inf, np.zeros(6)
        for angle in np.arange(_TURNS) * 2 * np.pi / _TURNS:
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            here = np.fft.rfft2(self.grid.drawn(xy_mm @ turn.T, values), s=(2 * n, 2 * n))
            agreement = np.fft.irfft2((wanted * np.conj(here)).sum(axis=0), s=(2 * n, 2 * n))
            y, x = np.unravel_index(int(agreement.argmax()), agreement.shape)
            if agreement[y, x] > best:
                best = float(agreement[y, x])
                shift = [self.grid.cell_mm * (int(k) - 2 * n if k >= n else int(k)) for k in (x, y)]
                found = np.array([*turn.ravel(), *shift])
        return found

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all of it as arrays by name."""
        arrays = {f"front/{key}": value for key, value in self.front.state().items()}
        return arrays | {f"grid/{key}": value for key, value in self.grid.state().items()} | {"drawn": self.drawn}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild the frame from `state`."""
        parts = {
            part: {key.removeprefix(part): value for key, value in state.items() if key.startswith(part)}
            for part in ("front/", "grid/")
        }
        front, grid = Front.from_state(parts["front/"]), Grid.from_state(parts["grid/"])
        return cls(front, grid, np.asarray(state["drawn"], np.float64))


def _look(front: Front, section: Inputs) -> Floats:
    """Components of a section's spots, each with mean 0 and variance 1 there, (n, k)."""
    Z = front.transform(section, where=_WHERE).astype(np.float64)
    Z -= Z.mean(axis=0)
    return np.asarray(Z / np.maximum(Z.std(axis=0), 1e-9))


def _is_plane(xy_mm: Floats) -> bool:
    """Whether these are places on a section: enough of them, and not all the same."""
    return len(xy_mm) >= _LEAST_SPOTS and pitch_of(xy_mm) > 0
