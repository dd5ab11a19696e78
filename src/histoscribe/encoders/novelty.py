"""How far a new slide lies from the slides of a training.

Four questions, each answered by numbers: does a spot's embedding lie among those of the training slides, is the stain
as strong, is the picture as sharp, does a pixel span as many microns? The unit of a distance is how far the training
slides are from each other, so that 1 is "as far as one training slide may be from the others".
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from histoscribe.encoders.base import RGB, Features
from histoscribe.errors import ConfigError, InputError

Floats = NDArray[np.float64]

_COMPONENTS = 16
_NEAREST = 3
_KEPT_PER_SLIDE = 500
_TYPICAL = 0.9  # this share of the training spots is at most at distance 1
_MOST_WIDENING = 3.0
_STAINED_OD = 0.15  # optical density under which a pixel shows glass (Macenko et al., ISBI 2009)
# what two good slides of one laboratory may differ by, so that few training slides do not make every slide look new
_LEAST_SPREAD = {"stain": 0.08, "stain_spread": 0.05, "sharpness": 0.06, "log2_mpp": 0.25}
_FAR = 3.0  # spreads from the mean of the training slides


@dataclass(frozen=True, slots=True)
class Look:
    """How a slide was stained and scanned.

    Parameters
    ----------
    stain
        Mean optical density of red, green and blue over stained pixels.
    stain_spread
        Their standard deviation.
    sharpness
        Share of the contrast that lies in the finest detail, 0 (blurred) to 1.
    mpp
        Microns per level-0 pixel.
    """

    stain: tuple[float, float, float]
    stain_spread: tuple[float, float, float]
    sharpness: float
    mpp: float

    def record(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        return asdict(self) | {"stain": list(self.stain), "stain_spread": list(self.stain_spread)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Return the look that `record` describes."""
        return cls(
            tuple(record["stain"]), tuple(record["stain_spread"]), float(record["sharpness"]), float(record["mpp"])
        )


def look_of(tiles: RGB, *, mpp: float) -> Look:
    """Measure stain and sharpness on tiles of a slide.

    Parameters
    ----------
    tiles
        (n, h, w, 3) uint8, the same side in microns and pixels for all slides that are to be compared.
    mpp
        Of the slide's level 0.

    Raises
    ------
    InputError
        Tiles that show no tissue.
    """
    from scipy.ndimage import gaussian_filter

    density = -np.log((tiles.reshape(-1, 3).astype(np.float64) + 1) / 256)  # (n h w, 3)
    stained = density[density.max(axis=1) > _STAINED_OD]
    if len(stained) < 100:
        raise InputError(
            "the tiles show hardly any stained tissue", where="slide", fix="check that the spots lie on the tissue"
        )
    grey = tiles.astype(np.float32).mean(axis=3)  # (n, h, w)
    fine = grey - gaussian_filter(grey, (0, 1, 1))
    sharpness = float(fine.std() / max(float(grey.std()), 1e-6))
    mean, spread = stained.mean(axis=0), stained.std(axis=0)
    return Look(
        (float(mean[0]), float(mean[1]), float(mean[2])),
        (float(spread[0]), float(spread[1]), float(spread[2])),
        sharpness,
        float(mpp),
    )


@dataclass
class Novelty:
    """Remembers the training slides, and says how far another one lies from them.

    Parameters
    ----------
    looks_
        Of the training slides, by name.
    """

    looks_: dict[str, Look] = field(default_factory=dict)
    mean_: Floats = field(default_factory=lambda: np.empty(0), repr=False)
    axes_: Floats = field(default_factory=lambda: np.empty((0, 0)), repr=False)  # (d, k), whitening
    points_: Floats = field(default_factory=lambda: np.empty((0, 0)), repr=False)  # (m, k)
    typical_: float = 0.0

    def fit(self, embeddings: Mapping[str, Features], looks: Mapping[str, Look]) -> Self:
        """Remember training slides.

        Parameters
        ----------
        embeddings
            Slide to (n, d), not standardised.
        looks
            Slide to what `look_of` gave.

        Raises
        ------
        InputError
            No slides, or slides with fewer than five spots altogether.
        """
        names = sorted(embeddings)
        stacked = np.concatenate([np.asarray(embeddings[name], np.float64) for name in names]) if names else None
        if stacked is None or len(stacked) < 5:
            raise InputError("there are too few training spots to compare a slide with", where="novelty")
        self.looks_ = {name: looks[name] for name in names}
        self.mean_ = stacked.mean(axis=0)
        _, size, axes = np.linalg.svd(_thinned(stacked - self.mean_, 4 * _KEPT_PER_SLIDE), full_matrices=False)
        kept = int((size[:_COMPONENTS] > 1e-6 * max(float(size[0]), 1e-12)).sum())
        self.axes_ = axes[:kept].T / np.maximum(size[:kept], 1e-12) * np.sqrt(len(stacked))
        per_slide = [_thinned(self._project(embeddings[name]), _KEPT_PER_SLIDE) for name in names]
        self.points_ = np.concatenate(per_slide)
        apart = []
        for k, points in enumerate(per_slide):
            if len(per_slide) > 1:
                apart.append(_nearest(np.concatenate(per_slide[:k] + per_slide[k + 1 :]), points, skip=0))
            else:
                apart.append(_nearest(points, points, skip=1))
        self.typical_ = max(float(np.mean([np.quantile(d, _TYPICAL) for d in apart])), 1e-9)
        return self

    def distance(self, embedding: Features) -> Floats:
        """Distance of every spot from the training spots, (n,): 1 is as far as one training slide from the others.

        Raises
        ------
        ConfigError
            Before `fit`, or an embedding of another width.
        """
        if self.typical_ == 0 or embedding.shape[1] != len(self.mean_):
            raise ConfigError(
                "this embedding cannot be compared with that of the training slides",
                where="novelty",
                expected=f"(n, {len(self.mean_)})",
                found=embedding.shape,
            )
        return _nearest(self.points_, self._project(embedding), skip=0) / self.typical_

    def findings(self, look: Look) -> list[dict[str, Any]]:
        """Compare the look of a slide with the training slides': one row per question.

        Returns
        -------
        Rows `name`, `found`, `training` (lowest and highest), `spreads` (how many spreads from their mean) and `level`:
        "ok", or "warning" beyond three.
        """
        rows = []
        for name, least in _LEAST_SPREAD.items():
            values = np.array([_values(one, name) for one in self.looks_.values()])  # (slides, c)
            found = _values(look, name)
            spread = np.sqrt(values.var(axis=0) + least**2)
            away = float((np.abs(found - values.mean(axis=0)) / spread).max())
            rows.append(
                {
                    "name": name,
                    "found": [round(float(v), 4) for v in found],
                    "training": [
                        [round(float(v), 4) for v in edge] for edge in (values.min(axis=0), values.max(axis=0))
                    ],
                    "spreads": round(away, 2),
                    "level": "warning" if away > _FAR else "ok",
                }
            )
        return rows

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted, as arrays by name; `record` gives the looks."""
        return {
            "mean": self.mean_,
            "axes": self.axes_,
            "points": self.points_,
            "typical": np.array([self.typical_]),
        }

    def record(self) -> dict[str, Any]:
        """Return the looks of the training slides, fit for JSON."""
        return {name: look.record() for name, look in self.looks_.items()}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]], record: Mapping[str, Any]) -> Self:
        """Return the fitted object that `state` and `record` describe."""
        return cls(
            {name: Look.from_record(one) for name, one in record.items()},
            np.asarray(state["mean"], np.float64),
            np.asarray(state["axes"], np.float64),
            np.asarray(state["points"], np.float64),
            float(state["typical"][0]),
        )

    def _project(self, embedding: Features) -> Floats:
        projected: Floats = (np.asarray(embedding, np.float64) - self.mean_) @ self.axes_
        return projected


def widening(distance: NDArray[np.float64]) -> Floats:
    """Factors by which intervals grow with the distance, (n,): 1 up to distance 1, then in proportion, at most 3."""
    return np.clip(np.asarray(distance, np.float64), 1.0, _MOST_WIDENING)


def novelty_warnings(findings: Sequence[Mapping[str, Any]], distance: NDArray[np.float64]) -> list[str]:
    """Describe in sentences what is unlike the training slides."""
    words = {
        "stain": "its stain is of another strength or colour than that of the training slides",
        "stain_spread": "its stain varies more or less than that of the training slides",
        "sharpness": "its picture is sharper or more blurred than those of the training slides",
        "log2_mpp": "its pixels span another number of microns than those of the training slides",
    }
    said = [f"{words[row['name']]} ({row['spreads']:g} spreads away)" for row in findings if row["level"] == "warning"]
    share = float((distance > 1).mean())
    if share > 0.25:
        said.append(f"{100 * share:.0f} % of its spots look unlike any training spot (10 % are usual)")
    return said


def _values(look: Look, name: str) -> Floats:
    if name == "log2_mpp":
        return np.array([np.log2(look.mpp)])
    return np.atleast_1d(np.asarray(getattr(look, name), np.float64))


def _thinned(points: Floats, most: int) -> Floats:
    """Keep at most so many of the rows, spread evenly over their order by value, not over that in which they came."""
    if len(points) <= most:
        return points
    order = np.lexsort(points.T[:3])
    return points[order[np.linspace(0, len(points) - 1, most).astype(np.intp)]]


def _nearest(points: Floats, places: Floats, *, skip: int) -> Floats:
    """Mean distance of each place to its nearest points, (n,); the first `skip` of them are left out."""
    k = min(_NEAREST + skip, len(points))
    distance, _ = cKDTree(points).query(places, k=range(skip + 1, k + 1))
    mean: Floats = distance.mean(axis=1)
    return mean
