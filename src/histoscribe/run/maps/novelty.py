"""How far a slide that is to be mapped lies from the section that a map's model was made of."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from histoscribe.encoders.novelty import Look, Novelty, look_of, novelty_warnings, slide_widening
from histoscribe.errors import InputError
from histoscribe.maps.cells import FEATURES, read_cell_features
from histoscribe.maps.grid import Grid
from histoscribe.maps.local import PX_PER_CELL
from histoscribe.maps.store import StoredMap
from histoscribe.run.cohort.observing import SCALE_TOLERANCE
from histoscribe.slide.image import SlideImage
from histoscribe.slide.tiles import read_tiles
from histoscribe.store import arrays

_LOOK_TILES, _LOOK_UM, _LOOK_PX = 64, 112.0, 112
_MODEL_CELLS = 2000
_APART_UM = 32.0  # between the cells of a slide at which the distance is measured; the others take the nearest one's
_ONE_SECTION = (
    "the model was made of one section: its intervals say how far this picture's spots may lie from the map there, "
    "not how far another patient's levels may differ"
)


@dataclass(frozen=True, slots=True, eq=False)
class SlideNovelty:
    """How unlike a slide is.

    Parameters
    ----------
    widening
        (c,) float32 factors by which the intervals of the cells grow, 1 to 3.
    distance
        Median over the measured cells; 1 is as far as the model's own cells are from each other.
    findings
        Comparison of stain, sharpness and scale, a row per question.
    warnings
        Sentences for the user.
    """

    widening: NDArray[np.float32]
    distance: float
    findings: list[dict[str, Any]]
    warnings: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        return {
            "distance": round(self.distance, 3),
            "widening": round(float(np.median(self.widening)), 3),
            "findings": self.findings,
            "warnings": list(self.warnings),
        }


def map_look(image: SlideImage, grid: Grid, cells: NDArray[np.intp]) -> Look:
    """Stain and sharpness on tiles spread evenly over the tissue's cells."""
    chosen = cells[np.unique(np.linspace(0, len(cells) - 1, _LOOK_TILES).astype(np.intp))]
    tiles = read_tiles(image, grid.centres_um(chosen) / grid.mpp, tile_um=_LOOK_UM, out_px=_LOOK_PX)
    return look_of(tiles, mpp=grid.mpp)


def require_same_scale(known: StoredMap, image: SlideImage, *, name: str) -> None:
    """Refuse a slide that the model would see sharper or more blurred than the section that it learnt from.

    Raises
    ------
    InputError
        Pixels that differ by more than a factor of 1.5 once they are in the map's cells.
    """
    least = float(known.facts["model_um"]) / PX_PER_CELL
    here, there = max(image.mpp or 0.0, least), max(known.grid.mpp, least)
    if max(here, there) > SCALE_TOLERANCE * min(here, there):
        raise InputError(
            "the model was made of a picture of another scale",
            where=f"section {name!r}",
            expected=f"microns per pixel within a factor of {SCALE_TOLERANCE:g} of {known.grid.mpp:.3g}",
            found=f"{image.mpp:.3g} um/px",
            fix="give a picture of that scale, or make the model of a section scanned like this slide",
        )


def slide_novelty(
    image: SlideImage,
    grid: Grid,
    cells: NDArray[np.intp],
    features: NDArray[np.float32],
    *,
    known: StoredMap,
    kept: Path,
) -> SlideNovelty:
    """Compare a slide with the section that a model was made of.

    Parameters
    ----------
    grid, cells
        The slide's working grid and its (c,) cells.
    features
        (c, p) of the cells, read with the model's eyes.
    known
        The model's map.
    kept
        Folder with the features of the model's own cells.
    """
    trained = Novelty().fit(
        {known.section: read_cell_features(kept, _model_cells(known, kept))},
        {known.section: Look.from_record(known.facts["look"])},
    )
    every = max(1, round(_APART_UM / grid.um))
    row, column = np.divmod(cells, grid.columns)
    measured = np.flatnonzero((row % every == 0) & (column % every == 0))
    if len(measured) == 0:
        measured = np.arange(len(cells))
    distance = trained.distance(features[measured])
    findings = trained.findings(map_look(image, grid, cells), distance)
    at = grid.centres_um(cells)
    nearest = cKDTree(at[measured]).query(at)[1]
    return SlideNovelty(
        slide_widening(distance, findings)[nearest].astype(np.float32),
        float(np.median(distance)),
        findings,
        (*novelty_warnings(findings), _ONE_SECTION),
    )


def _model_cells(known: StoredMap, kept: Path) -> NDArray[np.intp]:
    """Cells of the model's working grid that hold some of the map's cells, spread evenly."""
    um = float(known.facts["model_um"])
    chosen = known.cells[np.unique(np.linspace(0, len(known.cells) - 1, _MODEL_CELLS).astype(np.intp))]
    column, row = np.floor(known.grid.centres_um(chosen) / um).astype(np.intp).T
    rows, columns, _ = arrays.open_array(kept / FEATURES).shape
    return np.unique(np.minimum(row, rows - 1) * columns + np.minimum(column, columns - 1))
