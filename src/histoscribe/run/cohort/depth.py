"""Of how many molecules the intervals of a slide are."""

from typing import NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from histoscribe.expression.checks import are_counts
from histoscribe.expression.gene_target import GeneTarget
from histoscribe.expression.measured import Measured
from histoscribe.run.cohort.files import measured_of
from histoscribe.run.cohort.model import Model
from histoscribe.section import Section


def log2_molecules(measured: Measured | None) -> float | None:
    """Logarithm to the base 2 of the molecules of the typical spot; None where none were counted."""
    if measured is None or measured.counts is None or not are_counts(measured.counts):
        return None
    return float(np.log2(np.maximum(np.median(measured.molecules()), 1.0)))


class SpotDepth(NamedTuple):
    """How many molecules intervals are of.

    Parameters
    ----------
    molecules
        (n,) of each predicted spot.
    said
        Where the numbers come from, as a sentence.
    """

    molecules: NDArray[np.float64]
    said: str


def spot_depth(model: Model, section: Section, *, rows: NDArray[np.intp], molecules: float | None) -> SpotDepth:
    """Say of how many molecules the intervals of a slide are: asked for, counted on it, or typical of the training.

    Parameters
    ----------
    rows
        The spots that are predicted.
    molecules
        What was asked for, or None.
    """
    typical = float(model.facts["evidence"]["molecules"])
    if molecules is not None:
        return SpotDepth(np.full(len(rows), float(molecules)), f"intervals are of {molecules:,.0f} molecules a spot")
    as_training = f"the training's median of {typical:,.0f} molecules a spot"
    if not section.has_counts:
        return SpotDepth(
            np.full(len(rows), typical), f"nothing was counted on this slide: intervals are of {as_training}"
        )
    measured = measured_of(section)
    if not are_counts(measured.counts):
        said = f"what was measured on this slide are no whole counts: intervals are of {as_training}"
        return SpotDepth(np.full(len(rows), typical), said)
    counted = cast(GeneTarget, model.target).counted(measured).total[rows]
    here = np.where(counted > 0, counted, typical)
    empty = f"; {int((counted == 0).sum()):,} spots without molecules get that of {as_training}"
    said = f"intervals are of the molecules counted on each spot, {np.median(here):,.0f} in the median"
    return SpotDepth(here, said + (empty if (counted == 0).any() else ""))
