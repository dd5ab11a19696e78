"""What the page of an evaluation shows, as plain data that is checked when it is made."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, listing

Role = Literal["head", "stack", "baseline"]
ROLES = ("head", "stack", "baseline")


@dataclass(frozen=True, slots=True, eq=False)
class Rung:
    """One predictor on the ladder.

    Parameters
    ----------
    name
        "ridge", "training mean", "constant ranking".
    role
        "head", "stack" or "baseline".
    scores
        What `predict.metrics.average_sections` gave; a baseline may have the main score only.
    per_section
        The main score of each held-out section by its name; may be empty.
    note
        One sentence beside the name, or "".
    """

    name: str
    role: Role
    scores: Mapping[str, Any]
    per_section: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class MapPair:
    """One target on one held-out section, measured beside predicted.

    Parameters
    ----------
    section, target
        Names.
    xy_um
        (n, 2) centres of the spots, x before y, y downwards.
    measured, predicted
        (n,) on one scale.
    unit
        Of the values, "ln(1 + counts per 10,000)".
    pearson
        Correlation on this section.
    """

    section: str
    target: str
    xy_um: NDArray[np.float64]
    measured: NDArray[Any]
    predicted: NDArray[Any]
    unit: str
    pearson: float


@dataclass(frozen=True, slots=True, eq=False)
class EvaluationContents:
    """Everything that the page of one evaluation shows; the caller needs nothing else of this package.

    Parameters
    ----------
    title
        "Expression of 250 genes from H&E".
    target
        The target's record as of the first fold (`Target.record()`).
    protocol
        One or two sentences: what was held out, how choices were made.
    leaky
        Whether a patient has sections in both training and test; then every part of the page says so.
    main
        The key of `scores` by which the ladder is ordered: "mean_pearson" or "mean_spot_spearman".
    ladder
        All predictors, in any order.
    best
        Name of the head that the table of targets, the cards and the maps are of.
    sections
        One row per held-out section: `section`, `patient`, `n_spots`, and anything else to be shown, as plain values.
    targets
        One row per gene or cell type of the best head: `name`, any of `pearson`, `spearman`, `pearson_given_depth`,
        `error_ratio`, `spread_ratio`, `ceiling`, `n_sections`, `verdict`.
    ceiling
        Mean noise ceiling of the scored genes, a Pearson correlation; None where there is none.
    card_auroc, card_auroc_given_depth
        How well the cards predicted the scores of the genes on held-out patients, plain and with the depth taken out;
        None where it was not measured, or where held-out patients were trained on.
    comparisons
        Rows of the bootstrap between heads: `first_name`, `second_name` and what `paired_bootstrap` gave.
    coverage
        Rows `section`, `level`, `coverage` and, where measured, `low`, `middle`, `high` (thirds of the genes' level),
        and what is read off `calibration`.
    calibration
        Nominal levels, as `levels`, and the mean share over held-out sections that intervals of each held, by name of
        the curve; None where nothing was counted.
    intervals
        One sentence on what the intervals are for.
    audit
        One row per fold: `fold`, `test`, `train`, and what was fitted on which sections, as plain values or lists.
    maps
        A few targets to draw.
    notes
        Sentences that a reader needs: excluded sections, dropped genes, members of a stack that did not improve it.
    apart
        How far the sections lie apart: `features`, `without_depth`, and `ways`, each with `share`, and `mixing` by
        section; None where there is one section.
    record
        `versions`, `configuration`, `seed`, `encoder`: shown at the end.
    """

    title: str
    target: Mapping[str, Any]
    protocol: str
    leaky: bool
    main: str
    ladder: tuple[Rung, ...]
    best: str
    sections: tuple[Mapping[str, Any], ...] = ()
    targets: tuple[Mapping[str, Any], ...] = ()
    ceiling: float | None = None
    card_auroc: float | None = None
    comparisons: tuple[Mapping[str, Any], ...] = ()
    card_auroc_given_depth: float | None = None
    coverage: tuple[Mapping[str, Any], ...] = ()
    calibration: Mapping[str, Any] | None = None
    intervals: str = ""
    audit: tuple[Mapping[str, Any], ...] = ()
    maps: tuple[MapPair, ...] = ()
    notes: tuple[str, ...] = ()
    apart: Mapping[str, Any] | None = None
    record: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the parts fit each other."""
        names = [rung.name for rung in self.ladder]
        if self.best not in names:
            raise ConfigError(
                "the best head is not on the ladder", where="evaluation page", expected=listing(names), found=self.best
            )
        for rung in self.ladder:
            if rung.role not in ROLES or self.main not in rung.scores:
                raise ConfigError(
                    f"{rung.name!r} has no known role or no {self.main}",
                    where="evaluation page",
                    expected=f"a role ({listing(ROLES)}) and the score {self.main}",
                    found=f"{rung.role}, {listing(rung.scores)}",
                )
        for pair in self.maps:
            n = len(pair.xy_um)
            if np.shape(pair.xy_um) != (n, 2) or np.shape(pair.measured) != (n,) or np.shape(pair.predicted) != (n,):
                raise ConfigError(
                    f"the map of {pair.target} on {pair.section} has different numbers of places and values",
                    where="evaluation page",
                )
        for row in self.targets:
            if "name" not in row:
                raise ConfigError("a row of the table of targets has no name", where="evaluation page", found=dict(row))
