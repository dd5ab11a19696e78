"""Scores of predictions on one section, and their mean over sections.

Spots of several sections are never pooled: sections differ in everything at once, from the stain to the depth, and a
prediction that only distinguishes sections would score on pooled spots. A constant has no correlation, so one rule
holds: a constant prediction scores 0, because it predicts nothing; a constant truth is left out and counted.

The keys of what these functions return are stable and described in docs/scores.md.

Examples
--------
>>> import numpy as np
>>> from histoscribe.predict.metrics import score_section
>>> rng = np.random.default_rng(0)
>>> Y = rng.normal(2, 1, (200, 2))
>>> P = np.column_stack([2 + 0.5 * (Y[:, 0] - 2) + rng.normal(0, 0.3, 200), np.full(200, 2.0)])
>>> scores = score_section(Y, P, train_mean=np.full(2, 2.0))
>>> scores["pearson"].round(1), scores["n_constant_prediction"]
(array([0.8, 0. ]), 1)
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from histoscribe.errors import InputError
from histoscribe.expression.depth import partial_pearson
from histoscribe.numerics.correlation import columnwise_pearson
from histoscribe.predict.columns import column_blocks

Floats = NDArray[np.float64]

# per-target arrays with the mean over the scored targets reported as "mean_..."
PER_TARGET = ("pearson", "spearman", "pearson_given_depth", "error_ratio", "spread_ratio")
# a column with a range below this share of its size is constant: float32 carries seven digits
_FLAT = 1e-6


def score_section(
    Y: NDArray[Any],
    P: NDArray[Any],
    *,
    train_mean: NDArray[Any],
    depth: NDArray[np.float64] | None = None,
    kind: Literal["genes", "ranks"] = "genes",
    constant_ranking: NDArray[Any] | None = None,
    ceiling: NDArray[np.float64] | None = None,
) -> dict[str, Any]:
    """Compare the prediction of one section with what was measured on it.

    Parameters
    ----------
    Y, P
        (n, t) measured and predicted. A column of NaN in `Y` is a target that was not measured here.
    train_mean
        (t,) mean of the training spots: the reference of the error ratio.
    depth
        (n,) ln(1 + molecules), to be partialled out; None where it is not known.
    kind
        "ranks" adds the correlation across the targets of each spot.
    constant_ranking
        (t,) one ranking for all spots, to compare with; the training mean where None.
    ceiling
        (t,) noise ceiling of the targets on this section, from `expression.ceiling.noise_ceiling`, or None.

    Returns
    -------
    Arrays (t,) `pearson`, `spearman`, `error_ratio`, `spread_ratio` and, with a depth, `pearson_given_depth`; NaN for
    targets that are left out. Their means `mean_...`; counts `n_...`. With ceilings (t,) `ceiling`, `mean_ceiling` and
    `share_of_ceiling`, the mean correlation over the mean ceiling of the scored targets. For ranks (n,)
    `spot_spearman` with `mean_spot_spearman` and `constant_spot_spearman`.

    Raises
    ------
    InputError
        Shapes that do not fit, predictions that are not finite, or a measured target with holes.
    """
    Y, P, train_mean = np.asarray(Y), np.asarray(P), np.asarray(train_mean, np.float64)
    missing = _checked(Y, P, train_mean)
    parts = [
        _score_columns(Y[:, some], P[:, some], train_mean[some], missing[some], depth)
        for some in column_blocks(*Y.shape)
    ]
    scores: dict[str, Any] = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    varies, moves = scores.pop("varies"), scores.pop("moves")
    for name in PER_TARGET:
        if name in scores:
            scores[f"mean_{name}"] = _mean(scores[name])
    scores |= {"n_spots": Y.shape[0], "n_targets": Y.shape[1]} | _counts(varies, moves, missing)
    if ceiling is not None:
        scores |= _beside_ceiling(scores["pearson"], np.where(varies, ceiling, np.nan))
    if kind == "ranks":
        ranking = train_mean if constant_ranking is None else np.asarray(constant_ranking)
        scores |= _spot_scores(Y[:, ~missing], P[:, ~missing], ranking[~missing])
    return scores


def _score_columns(
    Y: NDArray[Any],
    P: NDArray[Any],
    train_mean: Floats,
    missing: NDArray[np.bool_],
    depth: NDArray[np.float64] | None,
) -> dict[str, NDArray[Any]]:
    truth, P = np.where(missing, 0.0, Y).astype(np.float64), P.astype(np.float64)
    varies, moves = _varies(truth) & ~missing, _varies(P)
    scores = {
        "varies": varies,
        "moves": moves,
        "pearson": _kept(columnwise_pearson(truth, P), varies, moves),
        "spearman": _kept(columnwise_pearson(rankdata(truth, axis=0), rankdata(P, axis=0)), varies, moves),
        "error_ratio": _kept(_ratio(((truth - P) ** 2).mean(axis=0), ((truth - train_mean) ** 2).mean(axis=0)), varies),
        "spread_ratio": _kept(_ratio(P.std(axis=0), truth.std(axis=0)), varies, moves),
    }
    if depth is not None:
        scores["pearson_given_depth"] = _kept(partial_pearson(truth, P, np.asarray(depth, np.float64)), varies, moves)
    return scores


def spot_spearman(Y: NDArray[Any], P: NDArray[Any]) -> Floats:
    """Spearman correlation across the targets within each spot, (n, t) twice to (n,).

    0 where the prediction is the same for all targets, NaN where the truth is.
    """
    A, B = np.asarray(Y, np.float64).T, np.asarray(P, np.float64).T
    return _kept(columnwise_pearson(rankdata(A, axis=0), rankdata(B, axis=0)), _varies(A), _varies(B))


def average_sections(sections: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Average the scores of sections, each section counting the same.

    Parameters
    ----------
    sections
        What `score_section` gave, one per held-out section, not of blocks.

    Returns
    -------
    `n_sections`; of every single number `mean_...`, `constant_...` or `share_...` the mean over sections and, with at
    least two, the standard deviation as `sd_over_sections_...`; sums of the counts `n_...` except `n_targets`.
    """
    if not sections:
        raise InputError("there are no sections to average", where="scores")
    result: dict[str, Any] = {"n_sections": len(sections)}
    keys = [key for key in sections[0] if key.startswith(("mean_", "constant_", "share_"))]
    for key in keys:
        values = np.array([section[key] for section in sections if key in section], np.float64)
        result[key] = _mean(values)
        if len(sections) > 1:
            known = values[np.isfinite(values)]
            result[f"sd_over_sections_{key}"] = float(known.std(ddof=1)) if len(known) > 1 else float("nan")
    for key in ("n_spots", "n_scored", "n_constant_truth", "n_not_measured", "n_constant_prediction"):
        result[key] = int(sum(section[key] for section in sections))
    return result


def average_targets(
    sections: Sequence[Mapping[str, Any]], names: Sequence[Sequence[str]]
) -> dict[str, dict[str, float]]:
    """Average each target's scores over the sections where it was scored.

    Parameters
    ----------
    sections
        What `score_section` gave.
    names
        Names of the targets of each section, because every fold chooses its own.

    Returns
    -------
    By target, in the order of first appearance: the means of `PER_TARGET` and `n_sections`, where it was scored.
    """
    found: dict[str, dict[str, list[float]]] = {}
    for section, targets in zip(sections, names, strict=True):
        # read back from JSON, what is not known is None: NaN as a number
        columns = {key: np.asarray(section[key], np.float64) for key in PER_TARGET if key in section}
        for place, target in enumerate(targets):
            row = found.setdefault(target, {})
            for key, column in columns.items():
                if np.isfinite(column[place]):
                    row.setdefault(key, []).append(float(column[place]))
    return {
        target: {key: float(np.mean(row[key])) if key in row else float("nan") for key in PER_TARGET}
        | {"n_sections": len(row.get("pearson", ()))}
        for target, row in found.items()
    }


def _checked(Y: NDArray[Any], P: NDArray[Any], train_mean: Floats) -> NDArray[np.bool_]:
    if Y.ndim != 2 or Y.shape != P.shape or train_mean.shape != Y.shape[1:] or Y.size == 0:
        raise InputError(
            "measured, predicted and training mean do not fit each other",
            where="scores",
            expected="(n, t), (n, t) and (t,)",
            found=f"{Y.shape}, {P.shape} and {train_mean.shape}",
        )
    holes = ~np.isfinite(Y)
    missing: NDArray[np.bool_] = np.asarray(holes.all(axis=0))
    if holes[:, ~missing].any() or not np.isfinite(P).all():
        raise InputError("measured or predicted values are not finite", where="scores")
    return missing


def _spot_scores(Y: NDArray[Any], P: NDArray[Any], ranking: Floats) -> dict[str, Any]:
    per_spot = spot_spearman(Y, P)
    constant = spot_spearman(Y, np.broadcast_to(ranking, Y.shape))
    return {
        "spot_spearman": per_spot,
        "mean_spot_spearman": _mean(per_spot),
        "constant_spot_spearman": _mean(constant),
    }


def _counts(varies: NDArray[Any], moves: NDArray[Any], missing: NDArray[Any]) -> dict[str, int]:
    return {
        "n_scored": int(varies.sum()),
        "n_constant_truth": int((~varies & ~missing).sum()),
        "n_not_measured": int(missing.sum()),
        "n_constant_prediction": int((varies & ~moves).sum()),
    }


def _beside_ceiling(pearson: Floats, ceiling: Floats) -> dict[str, Any]:
    known = np.isfinite(ceiling)
    height = _mean(ceiling)
    share = _mean(pearson[known]) / height if height > 0 else float("nan")
    return {"ceiling": ceiling, "mean_ceiling": height, "share_of_ceiling": share}


def _varies(values: Floats) -> NDArray[np.bool_]:
    size = np.maximum(np.abs(values).max(axis=0, initial=0.0), 1e-30)
    return np.asarray(np.ptp(values, axis=0) > _FLAT * size)


def _kept(values: Floats, varies: NDArray[np.bool_], moves: NDArray[np.bool_] | None = None) -> Floats:
    scored = values if moves is None else np.where(moves, values, 0.0)
    return np.where(varies, scored, np.nan)


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.divide(above, below, out=np.zeros(len(below)), where=below > 0)


def _mean(values: Floats) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else float("nan")
