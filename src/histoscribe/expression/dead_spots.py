"""Spots on which the measurement failed: hardly any molecules where their surroundings have many, or one wild count.

A spot without counts has no expression profile, only noise, and a method that takes it for one gives it a domain of its
own or bends a map around it. Few molecules alone are no failure: cells in a shallow section, fat, fibres and lumen have
few. What tells a failure is a total far below that of all spots around it, further below than spots of this section
ever differ, and further than chance in counting makes likely.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

# less than this share of what the surroundings have: 40 spots of 32 real sections, 37 of which have less than .01; two
# of the other 11,526 have less than .07
_SHARE = 0.05
# and so many robust standard deviations of the section below them
_DEVIATIONS = 6.0
# and less likely than this where a quarter of what the surroundings have was to be expected
_LIKELY, _EXPECTED = 1e-3, 0.25
_AROUND = 12
# where one gene has so much of a spot's molecules, and the spot so many times those of its surroundings, little is left
# of its profile; in 32 real sections no gene has more than .16 of a spot with 100 molecules
_ONE_GENE, _TIMES = 0.8, 4.0
# two dead spots hide each other, and a row of them one behind the other
_ROUNDS = 8


def dead_spots(
    total: NDArray[np.floating], xy_um: NDArray[np.float64], *, on_tissue: NDArray[np.bool_] | None = None
) -> NDArray[np.bool_]:
    """Say of each spot whether its measurement failed.

    Parameters
    ----------
    total
        Molecules of each spot, (n,).
    xy_um
        Centres of the spots, (n, 2), x before y.
    on_tissue
        (n,) where the picture shows tissue: few molecules beside it are no failure. None where there is no picture.

    Returns
    -------
    (n,) bool. A spot is compared with the twelve nearest ones that did not fail. n log n.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.expression.dead_spots import dead_spots
    >>> row, column = (axis.ravel() for axis in np.mgrid[:10, :10])
    >>> total = np.random.default_rng(0).poisson(4000, 100)
    >>> total[[14, 15, 70]] = 0, 20, 300
    >>> np.flatnonzero(dead_spots(total, 100.0 * np.column_stack([column, row])))
    array([14, 15])
    """
    from scipy.stats import poisson

    total = np.asarray(total, np.float64)
    n = len(total)
    dead = np.zeros(n, bool)
    if n <= _AROUND:
        return dead
    depth = np.log1p(total)
    for _ in range(_ROUNDS):
        reference = _around(depth, xy_um, alive=~dead)
        below = reference - depth
        alive = below[~dead]
        spread = 1.4826 * float(np.median(np.abs(alive - np.median(alive))))
        expected = np.expm1(reference)
        found = (
            (total < _SHARE * expected)
            & (below > _DEVIATIONS * spread)
            & (poisson.cdf(total, _EXPECTED * expected) < _LIKELY)
        )
        if on_tissue is not None:
            found &= on_tissue | (total == 0)
        if np.array_equal(found, dead) or (~found).sum() <= _AROUND:
            break
        dead = found
    return dead


def _around(value: NDArray[np.float64], xy_um: NDArray[np.float64], *, alive: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Median of a value (n,) over the nearest spots that are alive, the spot itself left out, (n,)."""
    places = np.flatnonzero(alive)
    found = places[cKDTree(xy_um[places]).query(xy_um, k=_AROUND + 1)[1]]  # (n, k)
    itself = found == np.arange(len(value))[:, None]
    itself[~itself.any(axis=1), -1] = True
    return np.asarray(np.median(value[found[~itself].reshape(-1, _AROUND)], axis=1))


def swamped_spots(
    total: NDArray[np.floating], largest: NDArray[np.floating], xy_um: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Say of each spot whether one wild count swamps its profile.

    Relative to 10,000 molecules, a count of a million leaves nothing of a spot's other genes.

    Parameters
    ----------
    total
        Molecules of each spot, (n,).
    largest
        The largest count of each spot, (n,).
    xy_um
        Centres of the spots, (n, 2), x before y.

    Returns
    -------
    (n,) bool: one gene has four fifths of the molecules, twice the share that one gene has on the twelve nearest spots,
    and the spot has four times their molecules.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.expression.dead_spots import swamped_spots
    >>> row, column = (axis.ravel() for axis in np.mgrid[:10, :10])
    >>> total, largest = np.full(100, 4000), np.full(100, 300)
    >>> total[14], largest[14] = 1_003_700, 1_000_000
    >>> np.flatnonzero(swamped_spots(total, largest, 100.0 * np.column_stack([column, row])))
    array([14])
    """
    total = np.asarray(total, np.float64)
    share = np.asarray(largest) / np.maximum(total, 1.0)
    if len(total) <= _AROUND or not (share > _ONE_GENE).any():
        return np.zeros(len(total), bool)
    every = np.ones(len(total), bool)
    many = total > _TIMES * np.expm1(_around(np.log1p(total), xy_um, alive=every))
    usual = _around(share, xy_um, alive=every)
    return np.asarray(many & (share > _ONE_GENE) & (usual < _ONE_GENE / 2))
