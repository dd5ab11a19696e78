"""How far a new slide lies from the slides of a training.

Each question is answered by numbers: do the spots' embeddings lie among those of the training slides, is the stain as
strong, is the picture as sharp, does a pixel span as many microns, is there as much tissue, are there as many nuclei
and as large ones, were as many molecules counted? Every training slide is compared with the others in the same way, so
that "ok" means: no further from the training slides than one of these is from the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from histoscribe.encoders.base import RGB, Features
from histoscribe.encoders.morphology_measures import stains
from histoscribe.errors import ConfigError, InputError

Floats = NDArray[np.float64]

_COMPONENTS = 16
_NEAREST = 3
_KEPT_PER_SLIDE = 500
_TYPICAL = 0.9  # this share of the training spots is at most at distance 1
_MOST_WIDENING = 3.0
_WIDENS_FROM = 3.0  # spreads from the training slides from which on intervals grow in proportion
_STAINED_OD = 0.15  # optical density under which a pixel shows glass (Macenko et al., ISBI 2009)
# what two good slides of one laboratory may differ by, so that few training slides do not make every slide look new
_LEAST_SPREAD = {
    "stain": 0.08,
    "stain_spread": 0.05,
    "sharpness": 0.06,
    "log2_mpp": 0.25,
    "tissue": 0.1,
    "log_nuclei": 0.3,
    "log_nuclear_area": 0.25,
    "log2_molecules": 0.75,
    "unlike": 0.075,
}
UNLIKE, MOLECULES = "unlike", "log2_molecules"
_FAR = 2.0  # spreads from the mean of the training slides that are "ok" though no training slide is so far
_FEWEST_NUCLEI = 1.0  # per tile; with fewer, their number and size are no measure
_LEAST_AREA = 8  # pixels of a tile
_NUCLEAR_CONTRAST = 0.15  # optical density of haematoxylin in nuclei beyond that of the rest


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
    tissue
        Share of the tiles that is stained.
    log_nuclei, log_nuclear_area
        ln of the number of nuclei per tile of tissue, and of their area in pixels of the tiles: dark pieces in
        haematoxylin, no segmentation; None where there are hardly any.
    log2_molecules
        Of the typical spot; None where nothing was counted.
    """

    stain: tuple[float, float, float]
    stain_spread: tuple[float, float, float]
    sharpness: float
    mpp: float
    tissue: float | None = None
    log_nuclei: float | None = None
    log_nuclear_area: float | None = None
    log2_molecules: float | None = None

    def record(self) -> dict[str, Any]:
        """Return plain values, fit for JSON."""
        return asdict(self) | {"stain": list(self.stain), "stain_spread": list(self.stain_spread)}

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Return the look that `record` describes."""
        further = {name: record.get(name) for name in ("tissue", "log_nuclei", "log_nuclear_area", "log2_molecules")}
        return cls(
            tuple(record["stain"]),
            tuple(record["stain_spread"]),
            float(record["sharpness"]),
            float(record["mpp"]),
            **{name: None if value is None else float(value) for name, value in further.items()},
        )


def look_of(tiles: RGB, *, mpp: float) -> Look:
    """Measure stain, sharpness, tissue and nuclei on tiles of a slide.

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
    tissue = len(stained) / len(density)
    number, area = _nuclei(tiles, tissue)
    return Look(
        (float(mean[0]), float(mean[1]), float(mean[2])),
        (float(spread[0]), float(spread[1]), float(spread[2])),
        sharpness,
        float(mpp),
        tissue,
        number,
        area,
    )


def _nuclei(tiles: RGB, tissue: float) -> tuple[float, float] | tuple[None, None]:
    """Ln of the number of nuclei per tile of tissue, and mean ln of their area in pixels; None where there are none."""
    from scipy.ndimage import gaussian_filter, label
    from skimage.filters import threshold_otsu

    density = gaussian_filter(stains(tiles)[0], (0, 1, 1))  # (n, h, w), haematoxylin
    dark = density > threshold_otsu(density)
    if not dark.any() or density[dark].mean() - density[~dark].mean() < _NUCLEAR_CONTRAST:
        return None, None
    areas = np.concatenate([np.bincount(label(tile)[0].ravel())[1:] for tile in dark])
    areas = areas[areas >= _LEAST_AREA]
    if len(areas) < _FEWEST_NUCLEI * len(tiles):
        return None, None
    return float(np.log(len(areas) / len(tiles) / tissue)), float(np.log(areas).mean())


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
    unlike_: Floats = field(default_factory=lambda: np.empty(0), repr=False)  # (slides,) share unlike the other slides

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
        self.unlike_ = np.array([float((d > self.typical_).mean()) for d in apart])
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

    def findings(self, look: Look, distance: Floats) -> list[dict[str, Any]]:
        """Compare a slide with the training slides: one row per question that can be asked of it and of them.

        Parameters
        ----------
        look
            Of the slide.
        distance
            (n,) of its spots, from `distance`.

        Returns
        -------
        Rows `name`, `found`, `training` (lowest and highest), `spreads` (how many spreads from their mean), `limit`
        (how many the training slide is that lies furthest from the others, at least two) and `level`: "ok", or
        "warning" beyond the limit.
        """
        here = {name: _values(look, name) for name in _LEAST_SPREAD if name != UNLIKE}
        here[UNLIKE] = np.array([float((distance > 1).mean())])
        rows = []
        for name, found in here.items():
            values = self._of_training(name)  # (slides, c)
            values = values[np.isfinite(values).all(axis=1)]
            if not len(values) or not np.isfinite(found).all():
                continue
            others = (np.delete(values, k, axis=0) for k in range(len(values)) if len(values) > 1)
            apart = [_spreads(one, rest, name) for one, rest in zip(values, others, strict=False)]
            away, limit = _spreads(found, values, name), max([_FAR, *apart])
            rows.append(
                {
                    "name": name,
                    "found": [round(float(v), 4) for v in found],
                    "training": [
                        [round(float(v), 4) for v in edge] for edge in (values.min(axis=0), values.max(axis=0))
                    ],
                    "spreads": round(away, 2),
                    "limit": round(limit, 2),
                    "level": "warning" if away > limit else "ok",
                }
            )
        return rows

    def _of_training(self, name: str) -> Floats:
        """Return a measure of all training slides, (slides, c)."""
        if name == UNLIKE:
            return self.unlike_[:, None]
        return np.array([_values(one, name) for one in self.looks_.values()])

    def state(self) -> dict[str, NDArray[Any]]:
        """Return what was fitted, as arrays by name; `record` gives the looks."""
        return {
            "mean": self.mean_,
            "axes": self.axes_,
            "points": self.points_,
            "typical": np.array([self.typical_]),
            "unlike": self.unlike_,
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
            np.asarray(state["unlike"], np.float64),
        )

    def _project(self, embedding: Features) -> Floats:
        projected: Floats = (np.asarray(embedding, np.float64) - self.mean_) @ self.axes_
        return projected


def widening(distance: NDArray[np.float64]) -> Floats:
    """Factors by which intervals grow with the distance, (n,): 1 up to distance 1, then in proportion, at most 3."""
    return np.clip(np.asarray(distance, np.float64), 1.0, _MOST_WIDENING)


def slide_widening(distance: NDArray[np.float64], findings: Sequence[Mapping[str, Any]]) -> Floats:
    """Factors by which the intervals of a slide grow, (n,), at most 3: by each spot's distance, by the slide's look.

    The number of molecules does not count, since intervals of counts know of it, nor the share of unlike spots, since
    each spot's own distance does.
    """
    away = [float(row["spreads"]) for row in findings if row["name"] not in (UNLIKE, MOLECULES)]
    look = float(np.clip(max(away, default=0.0) / _WIDENS_FROM, 1.0, _MOST_WIDENING))
    return np.maximum(widening(distance), look)


_WORDS = {
    "stain": "its stain is of another strength or colour than that of the training slides",
    "stain_spread": "its stain varies more or less than that of the training slides",
    "sharpness": "its picture is sharper or more blurred than those of the training slides",
    "log2_mpp": "its pixels span another number of microns than those of the training slides",
    "tissue": "its spots hold more or less tissue than those of the training slides",
    "log_nuclei": "it has more or fewer nuclei than the training slides",
    "log_nuclear_area": "its nuclei are larger or smaller than those of the training slides",
}


def novelty_warnings(findings: Sequence[Mapping[str, Any]]) -> list[str]:
    """Describe in sentences what is unlike the training slides."""
    return [_sentence(row) for row in findings if row["level"] == "warning"]


def _sentence(row: Mapping[str, Any]) -> str:
    if row["name"] == UNLIKE:
        usual = 100 * row["training"][1][0]
        return (
            f"{100 * row['found'][0]:.0f} % of its spots look unlike any training spot (at most {usual:.0f} % of a "
            "training slide's do, compared with the others)"
        )
    if row["name"] == MOLECULES:
        found, low, high = (2.0 ** row["found"][0], *(2.0 ** edge[0] for edge in row["training"]))
        return f"its typical spot has {found:,.0f} molecules, that of the training slides {low:,.0f} to {high:,.0f}"
    return f"{_WORDS[row['name']]} ({row['spreads']:g} spreads away; {row['limit']:g} are usual)"


def _spreads(found: Floats, values: Floats, name: str) -> float:
    """How many spreads a slide lies from the mean of others, (slides, c); the largest over the components."""
    spread = np.sqrt(values.var(axis=0) + _LEAST_SPREAD[name] ** 2)
    return float((np.abs(found - values.mean(axis=0)) / spread).max())


def _values(look: Look, name: str) -> Floats:
    if name == "log2_mpp":
        return np.array([np.log2(look.mpp)])
    value = getattr(look, name)
    return np.atleast_1d(np.asarray(np.nan if value is None else value, np.float64))


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
