"""Mapper "dense", the default: a smooth field over space plus a linear response to the picture, for few components.

Many genes become few components; each is a Gaussian process (`process`) that learns from means over true footprints
and then predicts every cell. A spot counts by how many molecules it has, and less where neighbours and picture make its
profile unlikely. The uncertainty of the map is measured on held-out spots.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from threadpoolctl import threadpool_limits

from histoscribe.errors import ConfigError, InputError, nearest
from histoscribe.expression.precision import LEAST, spot_weights
from histoscribe.maps.hide import random_folds
from histoscribe.maps.interval import held_out_interval
from histoscribe.maps.latent import Latent, find_latent
from histoscribe.maps.mapper import MAX_RANK, FactorMap, HeldOut, MapProblem, Progress
from histoscribe.maps.process import Field, Strengths, find_strengths, fit_field, student_weights
from histoscribe.maps.surroundings import Surroundings, surroundings

Float = NDArray[np.float64]
Matrix = NDArray[np.float32]

_FOLDS = 5
_EXPECTED_LENGTH = 3.0  # of the smooth field, in pitches: where the search begins
_FARTHEST = 5.0  # standard deviations of a component that a cell may reach; spots reach three


@dataclass(frozen=True, slots=True, eq=False)
class _Learnt:
    """Components and their processes, learnt on some spots that count by `weight`; features are standardised."""

    latent: Latent
    weight: Float
    fields: tuple[Field, ...]
    mean: tuple[Float, ...]
    scale: tuple[Float, ...]

    def at_spots(self, xy_um: Float, under: Sequence[Float]) -> Float:
        """Components of spots, (m, k)."""
        blocks = [(x - m) / s for x, m, s in zip(under, self.mean, self.scale, strict=True)]
        columns = [
            field.smooth(xy_um) + sum(b @ w for b, w in zip(blocks, field.weights, strict=True))
            for field in self.fields
        ]
        return np.column_stack(columns)

    def coefficients(self) -> tuple[list[Float], Float]:
        """Weights, (3 p_b, k) per group, for the features as `Surroundings` gives them, and the constant, (k,)."""
        stacked = [np.column_stack([f.weights[b] for f in self.fields]) for b in range(len(self.scale))]
        weights = [w / s[:, None] for w, s in zip(stacked, self.scale, strict=True)]
        constant = -sum(m @ w for m, w in zip(self.mean, weights, strict=True))
        return weights, np.asarray(constant)


class DenseMapper:
    """Low-rank Gaussian processes on the features of cells and on space.

    Parameters
    ----------
    rank
        Components of expression, at most 128.
    most_genes
        Most abundant genes on which the components are found; all others follow them.
    seed
        Of the components and the folds.
    """

    name: ClassVar[str] = "dense"
    needs_features: ClassVar[bool] = True
    trains: ClassVar[bool] = False

    def __init__(self, *, seed: int = 0, **options: Any) -> None:
        known = {"rank": 20, "most_genes": 1000}
        for option in options:
            if option not in known:
                raise ConfigError(f"the mapper has no option {option!r}", where="dense", fix=nearest(option, known))
        self.seed = seed
        self.rank, self.most_genes = (int(options.get(name, default)) for name, default in known.items())
        if not 1 <= self.rank <= MAX_RANK or self.most_genes < 1:
            raise ConfigError(
                "the mapper's options are out of range",
                where="dense",
                expected=f"rank from 1 to {MAX_RANK}, at least one gene",
                found=f"rank {self.rank}, most_genes {self.most_genes}",
            )

    def fit(self, problem: MapProblem, *, progress: Progress | None = None) -> FactorMap:
        """Learn the map; see `Mapper.fit`."""
        if problem.features is None:
            raise InputError("this mapper needs features of the cells", where="dense")
        report = progress or (lambda done, total: None)
        with threadpool_limits(1):  # the last digits must not depend on the number of threads
            seen = surroundings(problem.grid, problem.cells, problem.features[:], spot_um=problem.spot_um)
            under = seen.under(problem.footprint)
            report(1, _FOLDS + 3)
            learnt = self._learn(problem, under)
            report(2, _FOLDS + 3)
            held, by_picture = self._held_out(problem, under, learnt, report)
            factors = self._factors(problem, seen, learnt)
            values = problem.log_values()
            transfer = _transfer(problem, under, learnt)
            transfer["interval"] = held_out_interval(values - by_picture, np.ones(len(problem)))
            interval = held_out_interval(values - held.values, held.uncertainty)
        return FactorMap(
            factors=factors,
            loadings=learnt.latent.loadings.astype(np.float32),
            level=learnt.latent.level.astype(np.float32),
            link="expm1",
            spread=_uncertainty(
                problem.grid.centres_um(problem.cells), problem.xy_um, _typical(learnt.fields), problem.pitch_um
            ),
            interval=interval,
            evidence=_evidence(problem, learnt, held.values),
            transfer=transfer,
            held=held,
        )

    def _learn(self, problem: MapProblem, under: Sequence[Float]) -> _Learnt:
        """Learn with weights by depth, and once more with weights by what the first map leaves unexplained too."""
        by_depth = spot_weights(problem.counts, problem.library)
        first = self._weighed(problem, under, by_depth)
        unexplained = first.latent.scores - first.at_spots(problem.xy_um, under)
        unlikely = student_weights(unexplained * np.sqrt(by_depth)[:, None])
        return self._weighed(problem, under, np.maximum(by_depth * unlikely, LEAST))

    def _weighed(self, problem: MapProblem, under: Sequence[Float], weight: Float) -> _Learnt:
        latent = find_latent(
            problem.counts,
            problem.library,
            weight=weight,
            rank=self.rank,
            most_genes=self.most_genes,
            seed=self.seed,
        )
        mean = tuple(x.mean(axis=0) for x in under)
        scale = tuple(np.maximum(x.std(axis=0), 1e-6) for x in under)
        blocks = [(x - m) / s for x, m, s in zip(under, mean, scale, strict=True)]
        start, fields = _EXPECTED_LENGTH * problem.pitch_um, []
        for y in latent.scores.T:
            found = find_strengths(y, problem.xy_um, blocks, start_um=start, weight=weight)
            fields.append(fit_field(y, problem.xy_um, blocks, strengths=found, weight=weight))
        return _Learnt(latent, weight, tuple(fields), mean, scale)

    def _held_out(
        self, problem: MapProblem, under: Sequence[Float], learnt: _Learnt, report: Progress
    ) -> tuple[HeldOut, Matrix]:
        """Predict every spot from those of other folds, and (n, t) the same from the picture alone."""
        held, by_picture = np.empty(problem.counts.shape, np.float32), np.empty(problem.counts.shape, np.float32)
        uncertainty = np.empty(len(problem))
        fold = random_folds(len(problem), _FOLDS, seed=self.seed)
        for k in range(_FOLDS):
            inside, outside = np.flatnonzero(fold != k), np.flatnonzero(fold == k)
            seen, hidden = problem.take(inside), [x[outside] for x in under]
            part = self._learn(seen, [x[inside] for x in under])
            alone = _picture_alone(seen, [x[inside] for x in under], part)
            for values, learner in ((held, part), (by_picture, alone)):
                scores = learner.at_spots(problem.xy_um[outside], hidden)
                values[outside] = np.maximum(scores @ learner.latent.loadings + learner.latent.level, 0)
            uncertainty[outside] = _uncertainty(
                problem.xy_um[outside], problem.xy_um[inside], _typical(learnt.fields), problem.pitch_um
            )
            report(3 + k, _FOLDS + 3)
        return HeldOut(fold, held, uncertainty), by_picture

    def _factors(self, problem: MapProblem, seen: Surroundings, learnt: _Learnt) -> Matrix:
        """Components of every cell, (c, k) float32."""
        weights, constant = learnt.coefficients()
        fine, wide = seen.response(weights)
        places = seen.coarse.grid.centres_um()
        used = np.flatnonzero(np.bincount(seen.between.indices, minlength=len(places)))
        for k, field in enumerate(learnt.fields):
            wide[used, k] += field.smooth(places[used])
        fine += seen.between @ wide
        fine += constant.astype(np.float32)
        return np.clip(fine, -_FARTHEST, _FARTHEST, out=fine)


def _picture_alone(problem: MapProblem, under: Sequence[Float], learnt: _Learnt) -> _Learnt:
    """Learn the same components from the picture without a field over space, as a slide without spots needs it."""
    far = 1e9  # a field that is the same everywhere explains nothing
    blocks = [(x - m) / s for x, m, s in zip(under, learnt.mean, learnt.scale, strict=True)]
    fields = []
    for y, field in zip(learnt.latent.scores.T, learnt.fields, strict=True):
        known = field.strengths
        strengths = Strengths(1e-6, far, known.blocks, known.noise + known.field)
        fields.append(fit_field(y, problem.xy_um, blocks, strengths=strengths, weight=learnt.weight))
    return _Learnt(learnt.latent, learnt.weight, tuple(fields), learnt.mean, learnt.scale)


def _transfer(problem: MapProblem, under: Sequence[Float], learnt: _Learnt) -> dict[str, NDArray[Any]]:
    """Return the response to the picture alone, for slides without spots: weights per group and the constant."""
    weights, constant = _picture_alone(problem, under, learnt).coefficients()
    return {f"weights_{b}": w.astype(np.float32) for b, w in enumerate(weights)} | {
        "constant": constant.astype(np.float32)
    }


def transferred(seen: Surroundings, transfer: Mapping[str, NDArray[Any]]) -> Matrix:
    """Components of the cells of another slide, (c, k) float32, by a map's `transfer`.

    Raises
    ------
    InputError
        Where the slide's features differ in kind from the model's.
    """
    weights = [np.asarray(transfer[f"weights_{b}"], np.float64) for b in range(sum(map(_is_weights, transfer)))]
    expected = [3 * len(group) for group in seen.groups()]
    if [len(w) for w in weights] != expected:
        raise InputError(
            "the slide's features are not those that the model learnt from",
            where="map",
            expected=f"{sum(map(len, weights)):,} numbers per cell and surroundings",
            found=f"{sum(expected):,}",
            fix="use the encoder that the model was made with",
        )
    fine, wide = seen.response(weights)
    fine += seen.between @ wide
    fine += transfer["constant"]
    return np.clip(fine, -_FARTHEST, _FARTHEST, out=fine)


def _is_weights(name: str) -> bool:
    return name.startswith("weights_")


def _typical(fields: Sequence[Field]) -> Strengths:
    """Mean strengths over components, each counting the same."""
    all_of = [f.strengths for f in fields]
    blocks = tuple(float(np.mean([s.blocks[b] for s in all_of])) for b in range(len(all_of[0].blocks)))
    field, length, noise = (float(np.mean([getattr(s, n) for s in all_of])) for n in ("field", "length_um", "noise"))
    return Strengths(field, length, blocks, noise)


def _uncertainty(xy_um: Float, spots_um: Float, typical: Strengths, pitch_um: float) -> Matrix:
    """Uncertainty of places relative to one a pitch away from a spot, by the kriging variance of the nearest spot."""
    distance, _ = cKDTree(spots_um).query(xy_um)

    def variance(d: Any) -> Any:
        root = np.sqrt(3) * d / typical.length_um
        correlation = (1 + root) * np.exp(-root)
        return typical.noise + typical.field * (1 - correlation**2 * typical.field / (typical.field + typical.noise))

    return np.asarray(np.sqrt(variance(distance) / variance(pitch_um)), np.float32)


def _evidence(problem: MapProblem, learnt: _Learnt, held: Matrix) -> dict[str, Any]:
    from histoscribe.maps.metrics import pearson

    typical = _typical(learnt.fields)
    abundant = np.argsort(-np.asarray(problem.counts.sum(axis=0)).ravel(), kind="stable")[:200]
    score = pearson(problem.log_values()[:, abundant], held[:, abundant])
    return {
        "components": len(learnt.fields),
        "folds": _FOLDS,
        "held_out_pearson_200": round(float(np.nanmean(score)), 4),
        "strengths": {
            "field": round(typical.field, 4),
            "length_um": round(typical.length_um, 1),
            "picture": [round(v, 4) for v in typical.blocks],
            "noise": round(typical.noise, 4),
        },
    }
