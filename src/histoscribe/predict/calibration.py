"""Whether intervals hold what they promise: at the spots' own depth, and on copies of a section that is less deep."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.expression.counted import Counted
from histoscribe.predict.count_intervals import CountIntervals

LEVELS = (0.5, 0.7, 0.8, 0.9, 0.95)
THINNED = {"1/2": 1 / 2, "1/4": 1 / 4, "1/16": 1 / 16}
_THIRDS = ("low", "middle", "high")
_MOST_SPOTS = 500  # of a section: the share that is held is known to a thousandth with fewer


def calibration_of(
    intervals: CountIntervals, counted: Counted, P: NDArray[Any], *, measured: NDArray[np.bool_], seed: int
) -> dict[str, Any]:
    """Share of a section's counts that intervals hold.

    Parameters
    ----------
    counted
        Counts of n spots and t genes.
    P
        (n, t) predictions.
    measured
        (t,) whether the gene was measured on this section.
    seed
        Of the thinning.

    Returns
    -------
    `depth`: shares at the intervals' own level by thirds of the spots' molecules, `low`, `middle` and `high`;
    `thinned`: on copies with every molecule kept with the probability 1/2, 1/4 and 1/16; `levels`; and `calibration`,
    the shares at each of the levels by third and by copy.
    """
    rng = np.random.default_rng(seed)
    third = np.argsort(np.argsort(counted.total, kind="stable"), kind="stable") * 3 // len(P)
    some = np.unique(np.linspace(0, len(P) - 1, min(len(P), _MOST_SPOTS)).astype(np.intp))
    P, counted, third = P[some], counted.rows(some), third[some]
    copies = {name: counted.thinned(share, rng) for name, share in THINNED.items()}
    levels = sorted({*LEVELS, intervals.level})
    curves: dict[str, list[float]] = {name: [] for name in (*_THIRDS, *THINNED)}
    for level in levels:
        held = intervals.holds(counted, P, level=level)[:, measured]
        for k, name in enumerate(_THIRDS):
            curves[name].append(_share(held[third == k]))
        for name, copy in copies.items():
            curves[name].append(_share(intervals.holds(copy, P, level=level)[:, measured]))
    own = levels.index(intervals.level)
    return {
        "depth": {name: curves[name][own] for name in _THIRDS},
        "thinned": {name: curves[name][own] for name in THINNED},
        "levels": levels,
        "calibration": curves,
    }


def _share(held: NDArray[np.bool_]) -> float:
    return float(held.mean()) if held.size else float("nan")
