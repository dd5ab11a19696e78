"""The protocol of mappers: a mapper learns expression from spots and their picture, and gives a map of few factors.

A mapper is never given a section. It gets a picture, a grid of cells, the cells that are tissue and the sparse operator
that averages cells over each spot's footprint. It gives factors per cell and loadings per gene, from which any gene is
decoded on request. Balancing, writing, scoring and drawing are the same for all mappers.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError
from histoscribe.expression.normalise import log_per_10k
from histoscribe.maps.grid import Grid
from histoscribe.slide.image import SlideImage

Matrix = NDArray[np.float32]
Link = Literal["expm1", "linear"]

MAX_RANK = 128


@dataclass(frozen=True, slots=True, eq=False)
class MapProblem:
    """Everything that a mapper may learn from.

    Parameters
    ----------
    grid
        Cells of the map.
    cells
        (c,) flat numbers of the cells that are tissue or under a spot, ascending; everything below has one row or
        column per such cell.
    footprint
        (n, c) float64 CSR, rows sum to 1: the mean over each spot's footprint is `footprint @ values`.
    xy_um
        (n, 2) centres of the spots, x before y.
    counts
        (n, t) raw counts, CSR.
    library
        (n,) molecules per spot over its whole library.
    genes
        (t,) names of the columns of `counts`.
    features
        (c, p) float32 of what each cell looks like, an array or anything that gives one for a slice of rows; None
        where the mapper needs none.
    image
        The picture, for mappers that learn from pixels.
    pitch_um, spot_um
        Distance of neighbouring spots, and their diameter or side.
    """

    grid: Grid
    cells: NDArray[np.intp]
    footprint: sparse.csr_matrix
    xy_um: NDArray[np.float64]
    counts: sparse.csr_matrix
    library: NDArray[np.float64]
    genes: tuple[str, ...]
    features: Any = None
    image: SlideImage | None = None
    pitch_um: float = 100.0
    spot_um: float = 55.0

    def __post_init__(self) -> None:
        """Check that the parts belong to each other."""
        n, c = self.footprint.shape
        rows = {"counts": self.counts.shape[0], "library": len(self.library), "xy_um": len(self.xy_um)}
        wrong = [f"{name} {found:,}" for name, found in rows.items() if found != n]
        if wrong or c != len(self.cells) or self.counts.shape[1] != len(self.genes):
            raise InputError(
                "the parts of a map do not belong to each other",
                where="map",
                expected=f"{n:,} spots, {len(self.cells):,} cells, {len(self.genes):,} genes",
                found=f"{', '.join(wrong) or 'spots as expected'}; {c:,} cells; {self.counts.shape[1]:,} genes",
            )

    def __len__(self) -> int:
        """Count the spots."""
        return len(self.xy_um)

    def take(self, spots: NDArray[np.intp] | NDArray[np.bool_]) -> "MapProblem":
        """Return the same with some of the spots only, as if the others had not been measured."""
        return replace(
            self,
            footprint=self.footprint[spots],
            xy_um=self.xy_um[spots],
            counts=self.counts[spots],
            library=self.library[spots],
        )

    def log_values(self) -> NDArray[np.float32]:
        """ln(1 + counts per 10,000) of the spots, (n, t) float32."""
        return np.asarray(log_per_10k(self.counts, library=self.library).toarray(), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What a mapper predicted for spots that it had not seen.

    Parameters
    ----------
    fold
        (n,) fold in which each spot was held out; -1 for spots that never were.
    values
        (n, t) float32 ln(1 + expected counts per 10,000); NaN where never held out.
    uncertainty
        (n,) as `FactorMap.spread`, of the spots in their fold.
    """

    fold: NDArray[np.intp]
    values: Matrix
    uncertainty: NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class Reconstruction:
    """The picture as a mapper's networks draw it from what they keep of it, beside the true one.

    Parameters
    ----------
    made, truth
        (h, w, 3) uint8 on the same raster, from the upper left corner of the picture on.
    um_per_px
        Microns per pixel.
    ssim
        Structural similarity of the two, mean over the tissue's pixels and the colours; None where the raster is
        smaller than its window of 7 pixels.
    """

    made: NDArray[np.uint8]
    truth: NDArray[np.uint8]
    um_per_px: float
    ssim: float | None


@dataclass(frozen=True, slots=True, eq=False)
class FactorMap:
    """A map of every gene as few factors per cell.

    The expected counts per 10,000 molecules of gene g in cell c are `expm1(v)` or `v` (by `link`), not below 0, with
    `v = level[g] + factors[c] @ loadings[:, g]`.

    Parameters
    ----------
    factors
        (c, r) float32, r at most 128.
    loadings
        (r, t) float32.
    level
        (t,) float32.
    link
        "expm1" where v is ln(1 + counts per 10,000), "linear" where it is counts per 10,000.
    spread
        (c,) float32 above 0: relative uncertainty of a cell; 1 everywhere where it is not known.
    interval
        (2, t) float32: lower and upper residual of ln(1 + counts per 10,000) at spread 1, so that value + spread times
        these holds 90 % of spots that were not seen; NaN where it was not found.
    evidence
        What was chosen on held-out spots and how well it did; fit for JSON.
    transfer
        Arrays with which the same mapper reads another slide, by name; empty where it cannot.
    latent
        (c, d) float32 image embedding to be kept beside the map, or None.
    held
        Predictions of held-out spots, by which the map is scored; None where no spots were held out.
    reconstruction
        The picture as the mapper draws it, or None.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.maps import FactorMap
    >>> made = FactorMap(
    ...     factors=np.array([[0.0], [1.0], [2.0]], np.float32),  # three cells
    ...     loadings=np.array([[3.0, 0.0]], np.float32),  # two genes
    ...     level=np.array([1.0, 5.0], np.float32),
    ...     link="linear",
    ...     spread=np.ones(3, np.float32),
    ...     interval=np.full((2, 2), np.nan, np.float32),
    ... )
    >>> made.per_10k()
    array([[1., 5.],
           [4., 5.],
           [7., 5.]], dtype=float32)
    """

    factors: Matrix
    loadings: Matrix
    level: Matrix
    link: Link
    spread: Matrix
    interval: Matrix
    evidence: Mapping[str, Any] = field(default_factory=dict)
    transfer: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    latent: Matrix | None = None
    held: HeldOut | None = None
    reconstruction: Reconstruction | None = None

    def __post_init__(self) -> None:
        """Check that the parts belong to each other."""
        (c, r), (r2, t) = self.factors.shape, self.loadings.shape
        shapes = self.level.shape == (t,) and self.spread.shape == (c,) and self.interval.shape == (2, t)
        if r != r2 or not shapes or r > MAX_RANK:
            raise InputError(
                "the factors of a map do not belong to each other",
                where="map",
                expected=f"(c, r), (r, t), (t,), (c,) and (2, t) with r at most {MAX_RANK}",
                found=f"{self.factors.shape}, {self.loadings.shape}, {self.level.shape}, {self.spread.shape}, "
                f"{self.interval.shape}",
            )

    def per_10k(self, columns: Any = slice(None), *, rows: Any = slice(None)) -> Matrix:
        """Decode expected counts per 10,000 of some genes in some cells, (c, k) float32, not below 0."""
        value = self.factors[rows] @ self.loadings[:, columns] + self.level[columns]
        if self.link == "expm1":
            np.expm1(value, out=value)
        return np.asarray(np.maximum(value, 0, out=value))

    def at(self, footprint: sparse.csr_matrix, columns: Any = slice(None)) -> Matrix:
        """ln(1 + expected counts per 10,000) under footprints, (m, k) float32.

        Parameters
        ----------
        footprint
            (m, c) as `MapProblem.footprint`, of any places.
        columns
            Which genes.
        """
        touched = np.unique(footprint.indices)
        inner = footprint[:, touched]
        genes = np.arange(self.loadings.shape[1])[columns]
        values = np.empty((footprint.shape[0], len(genes)), np.float32)
        step = max(1, 20_000_000 // max(len(touched), 1))
        for start in range(0, len(genes), step):
            part = genes[start : start + step]
            values[:, start : start + step] = np.log1p(inner @ self.per_10k(part, rows=touched))
        return values


Progress = Callable[[int, int], None]


class Mapper(Protocol):
    """Learns a map from the spots of one section; the same seed gives the same map on any number of threads.

    One that `trains` networks is a `TrainingMapper`.
    """

    name: ClassVar[str]
    needs_features: ClassVar[bool]
    trains: ClassVar[bool]

    def __init__(self, *, seed: int = 0, **options: Any) -> None:
        """Take plain options by name; an unknown one raises ConfigError."""

    def fit(self, problem: MapProblem, *, progress: Progress | None = None) -> FactorMap:
        """Learn the map.

        Every choice (strength, rank, when to stop) is made on spots of `problem` that are held out inside; a caller
        who hides spots to score the mapper gives `problem.take(...)` without them.

        Raises
        ------
        InputError
            Where the spots do not allow it: too few of them, no counts.
        """


class TrainingMapper(Mapper, Protocol):
    """A mapper with networks: it also takes the options `device` and `keep`, a folder to go on from."""

    def train(self, problem: MapProblem, *, progress: Progress | None = None) -> None:
        """Train and leave the networks in the folder `keep`, where `fit` finds them; refuses what `fit` refuses."""
