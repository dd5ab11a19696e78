"""From a prediction on the scale of the heads to the share of the molecules that a gene is expected to make up.

Heads learn ln(1 + counts per 10,000), whose mean depends on how deeply a section was sequenced: the fewer molecules,
the more zeros. The share does not. Counts of spots that the head had not seen are regressed on its prediction, gene by
gene: ln(share) is a line on the prediction, and the spot's molecules are the exposure. The variance of a count is
m + f m^2 for a mean m, with f by moments (quasi-likelihood: McCullagh and Nelder 1989, chapter 9).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.expression.counted import Counted
from histoscribe.predict.columns import column_blocks

Floats = NDArray[np.float64]

_STEPS = 12  # of Newton's method
_LONGEST = 1.0  # of a step, in units of ln(share) per standard deviation of the prediction
_WEIGHT = 5.0  # of "no slope", in spots
_MOLECULE = 0.5  # a gene that was never counted has half a molecule


@dataclass
class ShareModel:
    """Expected shares of genes, given what a head predicts."""

    centre_: Floats = field(default_factory=lambda: np.empty(0), repr=False)  # (t,) of the predictions
    level_: Floats = field(default_factory=lambda: np.empty(0), repr=False)  # (t,) ln(share) there
    slope_: Floats = field(default_factory=lambda: np.empty(0), repr=False)  # (t,)
    range_: Floats = field(default_factory=lambda: np.empty((2, 0)), repr=False)  # (2, t) of the predictions

    def fit(self, counted: Counted, P: NDArray[Any], *, weight: Floats) -> Self:
        """Regress counts on predictions of spots that the head had not seen.

        Parameters
        ----------
        counted
            Of n spots and t genes.
        P
            (n, t) predictions.
        weight
            (n,) of the spots, with sum 1.
        """
        parts = [
            _line(counted.columns(some), counted.total, P[:, some].astype(np.float64), weight)
            for some in column_blocks(*P.shape)
        ]
        self.centre_, self.level_, self.slope_ = (np.concatenate([part[k] for part in parts]) for k in range(3))
        self.range_ = np.stack([P.min(axis=0), P.max(axis=0)]).astype(np.float64)
        return self

    def predict(self, P: NDArray[Any], some: slice = slice(None)) -> Floats:
        """Return the share of each spot's molecules, (n, k), of some genes whose predictions (n, k) are given.

        A prediction beyond those that the line was fitted on has the share of the nearest one.
        """
        inside = np.clip(P, *self.range_[:, some])
        share: Floats = np.minimum(np.exp(self.level_[some] + self.slope_[some] * (inside - self.centre_[some])), 1.0)
        return share

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that was fitted, as arrays by name."""
        return {"centre": self.centre_, "level": self.level_, "slope": self.slope_, "range": self.range_}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild the fitted model from `state`."""
        return cls(*(np.asarray(state[name], np.float64) for name in ("centre", "level", "slope", "range")))


def _line(counts: Floats, total: Floats, P: Floats, weight: Floats) -> tuple[Floats, Floats, Floats]:
    """Centre of the predictions, ln(share) there and slope, (t,) each; a slope below 0 becomes 0."""
    w = weight[:, None]
    exposure = np.maximum(total, 1e-9)[:, None]
    centre = (w * P).sum(axis=0)
    z = P - centre
    size = np.sqrt(np.maximum((w * z**2).sum(axis=0), 1e-12))
    z /= size
    seen = np.maximum((w * counts).sum(axis=0), _MOLECULE / len(counts))
    level, slope = np.log(seen / (w * exposure).sum(axis=0)), np.zeros(counts.shape[1])
    penalty = _WEIGHT / len(counts)
    for _ in range(_STEPS):
        mean = exposure * np.exp(np.clip(level + slope * z, -30.0, 0.0))
        extra = np.maximum((w * ((counts - mean) ** 2 - mean)).sum(axis=0) / (w * mean**2).sum(axis=0), 0.0)
        certainty = w / (1 + extra * mean)
        wrong, sure = certainty * (counts - mean), certainty * mean
        gradient = wrong.sum(axis=0), (wrong * z).sum(axis=0) - penalty * slope
        a, b, c = sure.sum(axis=0), (sure * z).sum(axis=0), (sure * z**2).sum(axis=0) + penalty
        determinant = np.maximum(a * c - b**2, 1e-300)
        level += np.clip((c * gradient[0] - b * gradient[1]) / determinant, -_LONGEST, _LONGEST)
        slope += np.clip((a * gradient[1] - b * gradient[0]) / determinant, -_LONGEST, _LONGEST)
    slope = np.maximum(slope, 0.0)
    level = np.log(seen / (w * exposure * np.exp(slope * z)).sum(axis=0))
    return centre, level, slope / size
