"""What the page of a section's maps shows, as plain data that is checked when it is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError


@dataclass(frozen=True, slots=True, eq=False)
class GeneMap:
    """One gene, measured and mapped.

    Parameters
    ----------
    name
        The gene's.
    raster
        (rows, columns) float32, ln(1 + counts per 10,000) that the model expects, NaN off tissue.
    balanced
        The same after the sums under spots were brought to their counts; None for a slide without counts.
    measured
        (n,) the same of the spots; empty for a slide without counts.
    """

    name: str
    raster: NDArray[np.float32]
    balanced: NDArray[np.float32] | None
    measured: NDArray[Any]


@dataclass(frozen=True, slots=True)
class ScoreTable:
    """A table of scores.

    Parameters
    ----------
    title, note
        What it shows, and what a reader needs to read it.
    columns
        Their names.
    rows
        Text of every cell.
    """

    title: str
    note: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Redrawn:
    """The picture as a mapper's networks draw it, beside the true one.

    Parameters
    ----------
    truth, made
        (h, w, 3) uint8 on one raster.
    um_per_px
        Side of one of its pixels in microns.
    ssim
        Structural similarity of the two on tissue; None where it is not known.
    """

    truth: NDArray[np.uint8]
    made: NDArray[np.uint8]
    um_per_px: float
    ssim: float | None


@dataclass(frozen=True, slots=True, eq=False)
class MapsContents:
    """Everything that the page of maps shows, as plain data.

    Parameters
    ----------
    section
        Name.
    picture
        Overview of the H&E picture, (h, w, 3) uint8.
    picture_um
        Side of one of its pixels in microns.
    raster_um
        Side of a cell of the rasters in microns.
    genes
        Genes to draw, the first four of them in the composite.
    xy_um, diameter_um
        (n, 2) centres of the spots and their diameter.
    facts
        What was made, as rows of name and text.
    evidence
        How well held-out spots were predicted, as rows of name and text.
    scores
        Tables of scores beside baselines.
    notes
        Sentences that a reader needs.
    redrawn
        The picture as the mapper draws it; None where it draws none.
    """

    section: str
    picture: NDArray[np.uint8]
    picture_um: float
    raster_um: float
    genes: tuple[GeneMap, ...]
    xy_um: NDArray[np.float64]
    diameter_um: float
    facts: Sequence[tuple[str, str]] = ()
    evidence: Sequence[tuple[str, str]] = ()
    scores: Sequence[ScoreTable] = ()
    notes: Sequence[str] = ()
    redrawn: Redrawn | None = None

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        shapes = {gene.raster.shape for gene in self.genes}
        wrong = [gene.name for gene in self.genes if len(gene.measured) not in (0, len(self.xy_um))]
        if not self.genes or len(shapes) > 1 or wrong:
            raise ConfigError(
                "the maps do not fit each other",
                where="maps page",
                expected="rasters of one shape, and one value per spot",
                found=f"{len(self.genes)} genes, shapes {sorted(shapes)}, {wrong}",
            )
