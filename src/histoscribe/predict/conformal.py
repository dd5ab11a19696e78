"""Intervals around predictions, from the residuals of held-out patients or sections.

Every residual comes from a model that had not seen that spot's group (the cross-conformal way of Vovk 2015). It is
split into two parts: the shift of the whole group, gene by gene, and the rest. The quantiles of the rest are taken
after division by a scale that depends on the predicted level (Lei et al. 2018, section 5.2). The two ends are found
separately, because counts are skewed, and all groups count the same. A new group has a shift of its own. Its variance
is estimated by that between the groups seen; with few groups the estimate is poor, so each gene borrows from all.
The two spreads are independent, so their squares are added.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from histoscribe.errors import ConfigError, InputError, listing
from histoscribe.predict.columns import column_blocks

Floats = NDArray[np.float64]

_BINS = 6  # levels of a gene at which the size of its residuals is measured
_SHRINK = 20.0  # weight, in spots, of the whole gene's mean beside the spots of a level
BORROWED = 4.0  # weight, in groups, of the shifts of all genes beside a gene's own
_LEAST = 1e-9


@dataclass
class Conformal:
    """Prediction intervals per spot and target.

    Parameters
    ----------
    level
        Share of measurements to be inside.
    floor
        The lowest value that can be measured, 0 for expression and ranks; no interval reaches below it.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.predict.conformal import Conformal
    >>> rng = np.random.default_rng(0)
    >>> P = rng.uniform(1, 3, (400, 2))
    >>> Y = P + rng.normal(0, 0.2, P.shape)
    >>> patients = np.repeat(["P1", "P2", "P3", "P4"], 100)
    >>> seen = patients != "P4"
    >>> intervals = Conformal(level=0.9).fit((Y - P)[seen], patients[seen], predictions=P[seen])
    >>> lower, upper = intervals.interval(P[~seen])
    >>> print(f"{np.mean((lower <= Y[~seen]) & (Y[~seen] <= upper)):.1f} of a new patient's spots lie inside")
    0.9 of a new patient's spots lie inside
    """

    level: float = 0.9
    floor: float | None = 0.0
    knots_: Floats = field(default_factory=lambda: np.empty((0, 0)), init=False, repr=False)  # (b, t) levels
    scale_: Floats = field(default_factory=lambda: np.empty((0, 0)), init=False, repr=False)  # (b, t)
    ends_: Floats = field(default_factory=lambda: np.empty((2, 0)), init=False, repr=False)  # (2, t)
    shift_: Floats = field(default_factory=lambda: np.empty(0), init=False, repr=False)  # (t,) reach of a group's own

    def __post_init__(self) -> None:
        """Refuse a level that is no share."""
        if not 0 < self.level < 1:
            raise ConfigError("the level of an interval is a share", where="level", found=self.level)

    def fit(self, residuals: NDArray[Any], groups: NDArray[Any], *, predictions: NDArray[Any]) -> Self:
        """Measure how wrong out-of-fold predictions are.

        Parameters
        ----------
        residuals
            (n, t) measured minus predicted, by models that had not seen the spot's group.
        groups
            (n,) patient or section of every spot.
        predictions
            (n, t) the predictions themselves.

        Raises
        ------
        InputError
            Shapes that do not fit, values that are not finite, or fewer than two groups.
        """
        R, P = np.asarray(residuals), np.asarray(predictions)
        code, sizes = checked_groups(P, R.shape, groups)
        if not np.isfinite(R).all():
            raise InputError("residuals are not finite", where="intervals")
        tail = (1 - self.level) / 2
        with threadpool_limits(limits=1):  # sums over threads differ in the last digit with their number
            parts = [_Part.of(R[:, some], P[:, some], code, sizes, tail) for some in column_blocks(*R.shape)]
        self.knots_, self.scale_, self.ends_ = (np.concatenate([part[k] for part in parts], axis=1) for k in range(3))
        self.shift_ = NormalDist().inv_cdf(1 - tail) * shift_sd(
            np.concatenate([part.between for part in parts]), len(sizes)
        )
        return self

    def interval(
        self, P: NDArray[Any], *, widen: NDArray[np.float64] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return lower and upper ends, (n, t) each.

        Parameters
        ----------
        P
            (n, t) predictions.
        widen
            (n,) factors of at least 1 for spots unlike the training.

        Raises
        ------
        ConfigError
            Before `fit`, other targets, or factors below 1.
        """
        P = np.asarray(P)
        if self.ends_.shape[1] == 0 or P.shape[1] != self.ends_.shape[1]:
            raise ConfigError(
                "these intervals were made for other targets or not at all",
                where="intervals",
                expected=f"{self.ends_.shape[1]:,} targets",
                found=f"{P.shape[1]:,}",
            )
        factor = np.ones((len(P), 1))
        if widen is not None:
            if np.shape(widen) != (len(P),) or not (np.asarray(widen) >= 1).all():
                raise ConfigError("intervals can only be widened", where="widen", expected="(n,) factors from 1")
            factor = np.asarray(widen, np.float64)[:, None]
        lower, upper = np.empty(P.shape, np.float32), np.empty(P.shape, np.float32)
        for some in column_blocks(*P.shape):
            centre = P[:, some].astype(np.float64)
            rest = _scale_at(centre, self.knots_[:, some], self.scale_[:, some])
            low, high = (factor * np.hypot(end[some] * rest, self.shift_[some]) for end in self.ends_)
            lower[:, some], upper[:, some] = centre - low, centre + high
        if self.floor is not None:
            np.maximum(lower, self.floor, out=lower)
            np.maximum(upper, self.floor, out=upper)
        return lower, upper

    def layers(self, P: NDArray[Any], *, widen: NDArray[np.float64] | None = None) -> dict[str, NDArray[np.float32]]:
        """Return the same by name, `lower` and `upper`."""
        lower, upper = self.interval(P, widen=widen)
        return {"lower": lower, "upper": upper}

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that was fitted, as arrays by name."""
        floor = np.nan if self.floor is None else self.floor
        return {
            "constants": np.array([self.level, floor]),
            "knots": self.knots_,
            "scale": self.scale_,
            "ends": self.ends_,
            "shift": self.shift_,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild the fitted intervals from `state`."""
        level, floor = (float(value) for value in state["constants"])
        made = cls(level=level, floor=None if np.isnan(floor) else floor)
        made.knots_, made.scale_, made.ends_, made.shift_ = (
            np.asarray(state[name], np.float64) for name in ("knots", "scale", "ends", "shift")
        )
        return made


def checked_groups(
    P: NDArray[Any], measured: tuple[int, ...], groups: NDArray[Any]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Check what intervals are made from: predictions, the shape of what was measured, and the group of every spot.

    Returns
    -------
    The number of each spot's group, (n,), and the groups' sizes.

    Raises
    ------
    InputError
        Shapes that do not fit, predictions that are not finite, or fewer than two groups.
    """
    if P.ndim != 2 or measured != P.shape or len(groups) != len(P):
        raise InputError(
            "measurements, predictions and groups do not fit each other",
            where="intervals",
            expected="(n, t), (n, t) and (n,)",
            found=f"{measured}, {P.shape} and ({len(groups)},)",
        )
    if not np.isfinite(P).all():
        raise InputError("predictions are not finite", where="intervals")
    kinds, code, sizes = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    if len(kinds) < 2:
        raise InputError(
            "intervals cannot be made from one group: nothing says how far another would be off",
            where="intervals",
            expected="out-of-fold predictions of at least two patients or sections",
            found=listing(kinds),
        )
    return code.ravel(), sizes


def coverage(Y: NDArray[Any], lower: NDArray[Any], upper: NDArray[Any]) -> float:
    """Share of measurements inside their interval, (n, t) each; NaN measurements are ignored."""
    known = np.isfinite(Y)
    # a float32 end may differ in the last digit from the float32 measurement that it was computed from
    slack = 1e-6 * (1 + np.abs(np.where(known, Y, 0)))
    inside = (lower - slack <= Y) & (upper + slack >= Y)
    return float(inside[known].mean()) if known.any() else float("nan")


def weighted_quantiles(values: Floats, weight: Floats, shares: tuple[float, ...]) -> Floats:
    """Quantiles of every column of (n, t) under weights (n,) that add up to 1: (len(shares), t).

    The smallest value at or below which at least the share of the weight lies; above one half, where rounding is to be
    on the safe side, the unseen measurement counts as one more at the far end.
    """
    order = np.argsort(values, axis=0, kind="stable")
    ascending = np.take_along_axis(values, order, axis=0)
    rises = np.cumsum(weight[order], axis=0)  # (n, t)
    unseen = 1.0 / (len(values) + 1)
    found = []
    for share in shares:
        wanted = share * (1 + unseen) - (unseen if share < 0.5 else 0.0)
        row = (rises < wanted - 1e-12).sum(axis=0).clip(0, len(values) - 1)
        found.append(np.take_along_axis(ascending, row[None], axis=0)[0])
    return np.stack(found)


class _Part(NamedTuple):
    """What the residuals of some targets give."""

    knots: Floats  # (b, t)
    scale: Floats  # (b, t)
    ends: Floats  # (2, t)
    between: Floats  # (t,) variance of the groups' shifts, below 0 where it is small beside the noise

    @classmethod
    def of(cls, R: NDArray[Any], P: NDArray[Any], code: NDArray[np.intp], sizes: NDArray[np.intp], tail: float) -> Self:
        weight = 1.0 / sizes[code] / len(sizes)  # (n,)
        mean = sparse.csr_matrix((1.0 / sizes[code], (code, np.arange(len(code)))), shape=(len(sizes), len(code)))
        shift = mean @ R.astype(np.float64)  # (groups, t)
        rest = R - shift[code]
        knots, scale = _scale_by_level(np.abs(rest), P, weight)
        low, high = weighted_quantiles(rest / _scale_at(P, knots, scale), weight, (tail, 1 - tail))
        ends = np.stack([np.minimum(low, 0.0), np.maximum(high, 0.0)])
        between = (shift**2).mean(axis=0) - (weight @ rest**2) * (1.0 / sizes).mean()
        return cls(knots, scale, ends, between)


def shift_sd(between: Floats, n_groups: int) -> Floats:
    """Predict the standard deviation of a new group's shift, (t,), from the variances between held-out groups.

    A held-out group was predicted from one group fewer than a new one will be: with shifts of variance v, held-out
    residuals vary by v n / (n - 1) and new ones by v (n + 1) / n, which is 1 - 1 / n^2 of it.
    """
    shared = (n_groups * between + BORROWED * between.mean()) / (n_groups + BORROWED)
    return np.asarray(np.sqrt(np.maximum(shared, 0.0) * (1 - 1 / n_groups**2)), np.float64)


def _scale_by_level(size: Floats, P: Floats, weight: Floats) -> tuple[Floats, Floats]:
    """Mean size of the residuals in bins of each target's own predictions: knots and scale, (b, t) each."""
    n, _ = P.shape
    bins = int(np.clip(n // 30, 1, _BINS))
    place = np.argsort(np.argsort(P, axis=0, kind="stable"), axis=0, kind="stable")  # ranks, (n, t)
    of_bin = place * bins // n
    typical = weight @ size  # (t,)
    knots, scale = [], []
    for k in range(bins):
        share = np.where(of_bin == k, weight[:, None] * n, 0.0)  # about 1 per spot of the bin
        total = share.sum(axis=0)
        knots.append((share * P).sum(axis=0) / np.maximum(total, _LEAST))
        scale.append(((share * size).sum(axis=0) + _SHRINK * typical) / (total + _SHRINK))
    return np.stack(knots), np.maximum(np.stack(scale), _LEAST)


def _scale_at(P: Floats, knots: Floats, scale: Floats) -> Floats:
    """Size of a residual at the predicted level, straight between the knots and flat beyond, (n, t)."""
    found = np.broadcast_to(scale[0], P.shape).copy()
    for k in range(len(knots) - 1):
        share = np.clip((P - knots[k]) / np.maximum(knots[k + 1] - knots[k], _LEAST), 0.0, 1.0)
        found += share * (scale[k + 1] - scale[k])
    return np.asarray(np.maximum(found, _LEAST), np.float64)
