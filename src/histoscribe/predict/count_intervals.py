"""Intervals of a gene's share of the molecules, and of what would be measured with so many of them.

Three things keep a measurement from what a head predicts. Counting D molecules adds noise with a known law, at any D.
The share itself differs: by biology that the picture does not show and by the head's error, and by a shift of the whole
patient. The spread of ln(share) about the prediction is found from spots that the head had not seen: for each of them
the smallest spread with which the interval of the compound law holds its count (nested conformal sets, Gupta,
Kuchibhotla and Ramdas 2022), about its own group's mean; the level's quantile of these is the gene's spread. The noise
of counting is thus in the law and not in the spread, so that the intervals hold at other depths too. Shifts between
groups come from their means (see `conformal`); where all groups are of one patient, what other patients differ by is
added.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.stats import t as student

from histoscribe.errors import ConfigError
from histoscribe.expression.counted import Counted
from histoscribe.expression.counting import MOST_SPREAD, counting_law
from histoscribe.expression.gene_target import Scale, on_scale
from histoscribe.predict.columns import column_blocks
from histoscribe.predict.conformal import BORROWED, checked_groups, shift_sd, weighted_quantiles
from histoscribe.predict.share_model import ShareModel

Floats = NDArray[np.float64]

# a typical count below the first says nothing of the share's spread by itself, one above the second enough
_TELLS_NOTHING, _TELLS_ENOUGH = 2.0, 10.0
_MOLECULE = 0.5  # added to what was counted and expected of a gene, so that none is 0


@dataclass
class CountIntervals:
    """Intervals of genes.

    Parameters
    ----------
    level
        Share of the measurements to be inside.
    scale
        On which measurements are given.
    """

    level: float = 0.9
    scale: Scale = "log1p_cp10k"
    share_: ShareModel = field(default_factory=ShareModel, init=False, repr=False)
    spread_: Floats = field(default_factory=lambda: np.empty(0), init=False, repr=False)  # (t,) within a group
    shift_: Floats = field(default_factory=lambda: np.empty(0), init=False, repr=False)  # (t,) of a new group
    total_: float = field(default=0.0, init=False)  # molecules of a typical training spot

    def fit(
        self, counted: Counted, groups: NDArray[Any], *, predictions: NDArray[Any], between_patients: Floats | None
    ) -> Self:
        """Measure how far counts lie from out-of-fold predictions.

        Parameters
        ----------
        counted
            Of n spots and t genes.
        groups
            (n,) patient, section or block of every spot.
        predictions
            (n, t) by models that had not seen the spot's group.
        between_patients
            (t,) variance of ln(share) by which a new patient is expected to differ, where the groups are all of one
            patient and say nothing about it; else None.

        Raises
        ------
        InputError
            Shapes that do not fit, predictions that are not finite, or fewer than two groups.
        """
        P = np.asarray(predictions)
        code, sizes = checked_groups(P, counted.counts.shape, groups)
        weight = 1.0 / sizes[code] / len(sizes)  # (n,)
        self.share_.fit(counted, P, weight=weight)
        self.total_ = float(np.median(counted.total))
        law = counting_law(self.level)
        of_group = sparse.csr_matrix((np.ones(len(code)), (code, np.arange(len(code)))), shape=(len(sizes), len(code)))
        spreads, between = [], []
        for some in column_blocks(*P.shape):
            counts = counted.columns(some)
            expected = counted.total[:, None] * self.share_.predict(P[:, some], some)
            seen = of_group @ counts  # (groups, k)
            shift = np.log((seen + _MOLECULE) / (of_group @ expected + _MOLECULE))
            centred = expected * np.exp(shift)[code]
            needed = weighted_quantiles(law.spread_needed(counts, centred), weight, (self.level,))[0]
            spread = _spread(needed, counts, centred, weight)
            noise = (1 / (seen + _MOLECULE) + spread**2 / sizes[:, None]).mean(axis=0)
            spreads.append(spread)
            between.append((shift**2).mean(axis=0) - noise)
        self.spread_ = np.concatenate(spreads)
        # the variance of a shift is known from few groups only, so that its reach is Student's and not the normal one
        wider = student.ppf((1 + self.level) / 2, len(sizes) + BORROWED) / NormalDist().inv_cdf((1 + self.level) / 2)
        shift_variance = (wider * shift_sd(np.concatenate(between), len(sizes))) ** 2
        self.shift_ = np.sqrt(shift_variance + (0.0 if between_patients is None else between_patients))
        return self

    def layers(
        self, P: NDArray[Any], *, total: NDArray[np.float64] | None = None, widen: NDArray[np.float64] | None = None
    ) -> dict[str, NDArray[np.float32]]:
        """Return intervals, (n, t) each.

        Parameters
        ----------
        P
            (n, t) predictions.
        total
            (n,) molecules that are, or would be, counted on each spot; None: as many as on a typical training spot.
        widen
            (n,) factors of at least 1 for spots unlike the training.

        Returns
        -------
        `lower` and `upper`, of what would be measured, on the scale of the measurements; `share`, the expected
        molecules per 10,000, and `share_lower` and `share_upper`.

        Raises
        ------
        ConfigError
            Before `fit`, other targets, or factors below 1.
        """
        P = np.asarray(P)
        depth = np.full(len(P), self.total_) if total is None else np.asarray(total, np.float64)
        names = ("lower", "upper", "share", "share_lower", "share_upper")
        found = {name: np.empty(P.shape, np.float32) for name in names}
        reach = NormalDist().inv_cdf((1 + self.level) / 2)
        spreads = self.spreads(P, widen)
        law = counting_law(self.level)
        per_10k = np.divide(1e4, depth, out=np.zeros(len(P)), where=depth > 0)[:, None]
        for some in column_blocks(*P.shape):
            share, spread = self.share_.predict(P[:, some], some), np.broadcast_to(spreads, P.shape)[:, some]
            ends = law.ends(depth[:, None] * share, spread)
            found["lower"][:, some], found["upper"][:, some] = (on_scale(per_10k * end, self.scale) for end in ends)
            found["share"][:, some] = 1e4 * share
            found["share_lower"][:, some] = 1e4 * share * np.exp(-reach * spread)
            found["share_upper"][:, some] = np.minimum(1e4 * share * np.exp(reach * spread), 1e4)
        return found

    def holds(self, counted: Counted, P: NDArray[Any], *, level: float) -> NDArray[np.bool_]:
        """Whether the interval of each measurement at its own depth holds it, at another level too, (n, t)."""
        law, spreads = counting_law(level), self.spreads(P, None)
        inside = np.empty(P.shape, bool)
        for some in column_blocks(*P.shape):
            expected = counted.total[:, None] * self.share_.predict(P[:, some], some)
            inside[:, some] = law.spread_needed(counted.columns(some), expected) <= spreads[:, some]
        return inside

    def spreads(self, P: NDArray[Any], widen: NDArray[np.float64] | None) -> Floats:
        """Spread of ln(share) about the prediction, for a new group, (1, t) or (n, t)."""
        if len(self.spread_) == 0 or P.shape[1] != len(self.spread_):
            raise ConfigError(
                "these intervals were made for other targets or not at all",
                where="intervals",
                expected=f"{len(self.spread_):,} targets",
                found=f"{P.shape[1]:,}",
            )
        spread = np.hypot(self.spread_, self.shift_)[None]
        if widen is None:
            return spread
        if np.shape(widen) != (len(P),) or not (np.asarray(widen) >= 1).all():
            raise ConfigError("intervals can only be widened", where="widen", expected="(n,) factors from 1")
        return np.asarray(widen, np.float64)[:, None] * spread

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all that was fitted, as arrays by name."""
        own = {"constants": np.array([self.level, self.total_]), "spread": self.spread_, "shift": self.shift_}
        return own | {f"share/{key}": value for key, value in self.share_.state().items()}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]], *, scale: Scale) -> Self:
        """Rebuild the fitted intervals from `state`."""
        level, total = (float(value) for value in state["constants"])
        made = cls(level, scale)
        made.total_ = total
        made.spread_, made.shift_ = (np.asarray(state[name], np.float64) for name in ("spread", "shift"))
        parts = {key.removeprefix("share/"): value for key, value in state.items() if key.startswith("share/")}
        made.share_ = ShareModel.from_state(parts)
        return made


def _spread(needed: Floats, counts: Floats, expected: Floats, weight: Floats) -> Floats:
    """Spread of ln(share), (t,): what intervals need; of genes with few molecules at least what the variance shows.

    Where most counts are 0 or 1 the interval of the noise alone holds more than it must, and no spread is needed,
    though there is one. The variance beyond the noise of counting, over all spots, still shows it.
    """
    w = weight[:, None]
    extra = (w * ((counts - expected) ** 2 - expected)).sum(axis=0) / np.maximum((w * expected**2).sum(axis=0), 1e-12)
    shown = np.minimum(np.sqrt(np.log1p(np.maximum(extra, 0.0))), MOST_SPREAD)
    typical = np.median(expected, axis=0)
    tells = np.clip((typical - _TELLS_NOTHING) / (_TELLS_ENOUGH - _TELLS_NOTHING), 0.0, 1.0)
    return np.asarray(tells * needed + (1 - tells) * np.maximum(needed, shown), np.float64)
