"""Where the spots would lie if their coordinates were swapped, mirrored, turned or scaled, and how well that fits.

A placement fits where its spots lie on tissue and the ground beside them does not. That ground is the spots which the
vendor calls off tissue or, where it lists none, the gaps in the spots' bounding box, widened by 1.5 spacings.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from histoscribe.io.reading import Reading
from histoscribe.slide.tissue import TissueMask

Points = NDArray[np.float64]

_SAMPLE = 4_000  # spots that are tried: more would change no verdict

# name of what was done to the coordinates, by (swapped, then mirrored in x, then mirrored in y) to undo it
_NAMES = {
    (False, False, False): "as given",
    (False, True, False): "mirrored left to right",
    (False, False, True): "mirrored top to bottom",
    (False, True, True): "turned by 180 degrees",
    (True, False, False): "x and y swapped",
    (True, True, False): "turned by 90 degrees anticlockwise",
    (True, False, True): "turned by 90 degrees clockwise",
    (True, True, True): "x and y swapped and turned by 180 degrees",
}
_FIXES = {
    (False, True, False): "use x = image width - x",
    (False, False, True): "use y = image height - y",
    (False, True, True): "use x = image width - x and y = image height - y, or turn the image by 180 degrees",
    (True, False, False): "exchange the two coordinate columns: x is the column of the image, y its row",
    (True, True, False): "use x = image width - y and y = x, or turn the image by 90 degrees anticlockwise",
    (True, False, True): "use x = y and y = image height - x, or turn the image by 90 degrees clockwise",
    (True, True, True): "use x = image width - y and y = image height - x",
}


@dataclass(frozen=True, slots=True)
class Placement:
    """What would correct the coordinates: a factor, then a swap of x and y, then mirrors within the image."""

    scale: float = 1.0
    swap: bool = False
    mirror_x: bool = False
    mirror_y: bool = False
    scale_name: str = ""

    @property
    def key(self) -> tuple[bool, bool, bool]:
        """The axes' part of the placement."""
        return (self.swap, self.mirror_x, self.mirror_y)

    @property
    def name(self) -> str:
        """What was done to the coordinates, if this placement corrects them."""
        return _NAMES[self.key]

    @property
    def fix(self) -> str:
        """How to correct the axes."""
        return _FIXES.get(self.key, "")

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Linear part of the axes' change, (2, 2), acting on column vectors."""
        matrix = np.array([[0.0, 1.0], [1.0, 0.0]]) if self.swap else np.eye(2)
        flip = np.diag([-1.0 if self.mirror_x else 1.0, -1.0 if self.mirror_y else 1.0])
        turned: NDArray[np.float64] = flip @ matrix
        return turned

    def __call__(self, xy_px: Points, size_px: tuple[int, int], below: tuple[bool, bool] = (False, False)) -> Points:
        """Place (n, 2) points in an image of `size_px` (width, height).

        `below` says of x and y whether they were given with the opposite sign: then a mirror is a change of sign.
        """
        xy = np.asarray(xy_px, np.float64) * self.scale
        if self.swap:
            xy, below = xy[:, ::-1], below[::-1]
        mirrored = (self.mirror_x, self.mirror_y)
        columns = [(0.0 if below[k] else size_px[k]) - xy[:, k] if mirrored[k] else xy[:, k] for k in range(2)]
        return np.stack(columns, axis=1)


EIGHT = tuple(Placement(1.0, *key) for key in _NAMES)
AS_GIVEN = EIGHT[0]


@dataclass(frozen=True, slots=True)
class Fit:
    """How a placement fits: shares from 0 to 1.

    Parameters
    ----------
    inside
        Spots inside the image.
    on_tissue
        Spots on tissue.
    beside_on_tissue
        Ground beside the spots that is tissue.
    """

    placement: Placement
    inside: float
    on_tissue: float
    beside_on_tissue: float

    @property
    def agreement(self) -> float:
        """1 where all spots lie on tissue and the ground beside them on none; 0 where spots ignore the tissue."""
        return self.on_tissue - self.beside_on_tissue


class Scene:
    """A picture's tissue and the spots on it, ready to try placements; at most 4,000 spots are used."""

    def __init__(self, reading: Reading, mask: TissueMask) -> None:
        section = reading.section
        image = section.require_image()
        self.mask = mask
        self.size_px = (image.width, image.height)
        self.xy_px = section.xy_px
        self.off_tissue_px = reading.off_tissue_xy_px
        lattice = section.lattice
        self.pitch_px = None if lattice is None else lattice.pitch_um / section.mpp
        self.spots_px = _sample(self.xy_px)
        # with the lower left corner as origin one axis changes sign and every spot lies outside
        middle = np.median(self.xy_px, axis=0)
        self.below = (bool(middle[0] < 0), bool(middle[1] < 0))

    @cached_property
    def tree(self) -> cKDTree:
        """Search tree of the spots."""
        return cKDTree(self.xy_px)

    @cached_property
    def spacing_px(self) -> float:
        """Typical distance between neighbouring spots: to the fourth nearest, which is the pitch on a lattice."""
        if len(self.xy_px) < 2:
            return 1.0
        distance = self.tree.query(self.spots_px, k=min(5, len(self.xy_px)))[0]
        return max(float(np.median(distance[:, -1])), 1e-9)

    @cached_property
    def overlap(self) -> float:
        """Share of the spots that the vendor calls off tissue at the place of a spot on tissue."""
        if not len(self.off_tissue_px) or len(self.xy_px) < 2:
            return 0.0
        distance, _ = self.tree.query(_sample(self.off_tissue_px))
        return float(np.mean(distance < 0.5 * min(self.pitch_px or np.inf, self.spacing_px)))

    @cached_property
    def has_off_tissue(self) -> bool:
        """Whether the vendor lists spots off tissue, and they stand on the same lattice as those on tissue."""
        return len(self.off_tissue_px) >= 20 and self.overlap < 0.02

    @cached_property
    def beside_px(self) -> Points:
        """Ground that should hold no tissue, (m, 2)."""
        if self.has_off_tissue:
            return _sample(self.off_tissue_px)
        low, high = self.xy_px.min(0), self.xy_px.max(0)
        low, high = low - 1.5 * self.spacing_px, high + 1.5 * self.spacing_px
        sides = high - low
        # about as many points as spots are used, also where all spots stand on a line or at one place
        step = max(self.spacing_px, float(np.sqrt(np.prod(sides) / _SAMPLE)), float(sides.max() / _SAMPLE))
        axes = [np.arange(a, b, step) for a, b in zip(low, high, strict=True)]
        grid = np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)  # (m, 2)
        free: Points = grid[self.tree.query(grid)[0] > self.spacing_px]
        return free

    @property
    def margin(self) -> float:
        """Smallest difference in agreement that is above noise, for this number of spots.

        Neighbouring spots at the tissue's border are not independent, so that a difference means less than its
        binomial error suggests: 0.08 is what a mask's errors make, the rest falls with the number of spots.
        """
        return float(0.08 + 1 / np.sqrt(len(self.xy_px)))

    def fit(self, placement: Placement) -> Fit:
        """Try one placement."""
        xy = placement(self.spots_px, self.size_px, self.below)
        beside = placement(self.beside_px, self.size_px, self.below)
        return Fit(
            placement,
            inside=self.inside(xy),
            on_tissue=float(self.mask.at(xy).mean()),
            beside_on_tissue=float(self.mask.at(beside).mean()) if len(beside) else 0.0,
        )

    def fits(self, placements: Iterable[Placement]) -> list[Fit]:
        """Try several placements."""
        return [self.fit(placement) for placement in placements]

    def inside(self, xy_px: Points) -> float:
        """Share of (n, 2) points inside the image."""
        return float(((xy_px >= 0) & (xy_px <= self.size_px)).all(axis=1).mean())

    @property
    def spread(self) -> float:
        """Longer side of the spots' bounding box over the longer side of the image."""
        return float(np.ptp(self.xy_px, axis=0).max() / max(self.size_px))


def scalings(reading: Reading, measured_mpp: float | None) -> list[Placement]:
    """List factors that could be missing or taken twice: the vendor's, microns for pixels, powers of ten, the pitch.

    Parameters
    ----------
    reading
        Gives the vendor's factors and the microns per pixel in use.
    measured_mpp
        Microns per pixel by the pitch of the spots as they stand; None without a lattice.
    """
    frames = {"full-resolution": 1.0, **reading.scales, "opened": reading.image_scale}
    mpp = reading.section.mpp
    found: dict[float, str] = {}

    def add(scale: float, name: str) -> None:
        if not any(abs(np.log(scale / other)) < 0.02 for other in (1.0, *found)):
            found[scale] = name

    for coordinates, source in frames.items():
        for image, target in frames.items():
            twice = ", or they were scaled twice" if target > source else ""
            add(target / source, f"they are {coordinates} pixels and the image is the {image} one{twice}")
    add(1 / mpp, "they are microns and not pixels")
    for power in (10.0, 0.1, 100.0, 0.01):
        add(power, "a unit or a resolution was mixed up")
    if measured_mpp is not None:
        add(measured_mpp / mpp, "they are pixels of another image")
    return [Placement(scale, scale_name=name) for scale, name in found.items()]


def _sample(xy_px: Points) -> Points:
    """Evenly chosen points, independent of the order of the rows."""
    if len(xy_px) <= _SAMPLE:
        return xy_px
    order = np.lexsort((xy_px[:, 1], xy_px[:, 0]))
    return xy_px[order[np.linspace(0, len(xy_px) - 1, _SAMPLE).astype(np.intp)]]
