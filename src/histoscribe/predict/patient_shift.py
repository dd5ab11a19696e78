"""How far a gene's mean share of the molecules may differ between two patients: a stated prior.

With sections of one patient nothing is known of a second. `patient_shift.csv` says what was found elsewhere: eight
patients with HER2-positive breast cancer, 32 sections of Spatial Transcriptomics (Andersson et al., Nature
Communications 2021), genes that all sections have, each ordered pair of patients once. The standard deviation of the
logarithm of the ratio between two patients' mean shares is given by two things that are known of a gene in training:
its mean share, and how much its share differs within a section. Genes of programmes that differ between parts of a
section, immunoglobulins above all, differ most between patients. `benchmarks/patient_shift.py` makes the table.
"""

import csv
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from histoscribe.expression.counted import Counted

Floats = NDArray[np.float64]

TABLE = "patient_shift.csv"
_WHICH = "eight breast-cancer patients (her2st)"


class PatientShift(NamedTuple):
    """The prior as a grid.

    Parameters
    ----------
    per_10k
        (a,) mean shares, molecules per 10,000, rising.
    spread
        (b,) standard deviations of ln(share) within a section, rising.
    sd
        (a, b) standard deviation of the ln of the ratio between two patients.
    origin
        Which patients.
    """

    per_10k: Floats
    spread: Floats
    sd: Floats
    origin: str

    def variance(self, per_10k: Floats, spread: Floats) -> Floats:
        """Return the variance of ln(share) by which a new patient differs from the one in training, (t,).

        Parameters
        ----------
        per_10k, spread
            (t,) what is known of the genes in training; beyond the table, its edge is taken.
        """
        grid = RegularGridInterpolator((np.log(self.per_10k), self.spread), self.sd**2)
        place = np.column_stack([np.log(np.maximum(per_10k, 1e-9)), spread])
        low, high = (np.array([np.log(self.per_10k[end]), self.spread[end]]) for end in (0, -1))
        found: Floats = grid(np.clip(place, low, high))
        return found


@cache
def patient_shift() -> PatientShift:
    """Read the table that comes with the package."""
    lines = files("histoscribe.predict").joinpath(TABLE).read_text(encoding="utf-8").splitlines()
    rows = [{key: float(value) for key, value in row.items()} for row in csv.DictReader(lines)]
    per_10k, spread = (np.array(sorted({row[key] for row in rows})) for key in ("per_10k", "spread"))
    sd = np.full((len(per_10k), len(spread)), np.nan)
    for row in rows:
        sd[np.searchsorted(per_10k, row["per_10k"]), np.searchsorted(spread, row["spread"])] = row["sd"]
    return PatientShift(per_10k, spread, sd, _WHICH)


def mean_and_spread(sections: Sequence[Counted]) -> tuple[Floats, Floats]:
    """Mean share of each gene and how much it differs within a section, noise of counting taken out.

    Returns
    -------
    Molecules per 10,000, and the standard deviation of ln(share) under a log-normal law, (t,) each; sections count by
    their molecules.
    """
    seen = np.sum([np.asarray(one.counts.sum(axis=0)).ravel() for one in sections], axis=0)
    total = sum(float(one.total.sum()) for one in sections)
    extra, size = np.zeros(len(seen)), np.zeros(len(seen))
    for one in sections:
        own = np.asarray(one.counts.sum(axis=0)).ravel() / max(float(one.total.sum()), 1.0)
        square = float(one.total @ one.total)
        squared = np.asarray(one.counts.multiply(one.counts).sum(axis=0)).ravel()
        crossed = np.asarray(one.counts.T @ one.total).ravel()
        # the sum over spots of (count - mean)^2 - mean, for a mean of share times total
        extra += squared - 2 * own * crossed + own**2 * square - own * float(one.total.sum())
        size += own**2 * square
    variance = np.divide(np.maximum(extra, 0.0), size, out=np.zeros(len(seen)), where=size > 0)
    return 1e4 * seen / max(total, 1.0), np.sqrt(np.log1p(variance))
