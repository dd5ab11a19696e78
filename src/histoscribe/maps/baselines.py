"""What a map is measured against: predictions of a spot from other spots, without a model of the picture or nearly so.

Every baseline gets the places and values of some spots and the places of others, and chooses its own width or strength
on the spots it was given.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from threadpoolctl import threadpool_limits

from histoscribe.maps.hide import random_folds
from histoscribe.maps.process import find_strengths, fit_field

Float = NDArray[np.float64]

_WIDTHS = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0)  # of the Gaussian, in pitches
_STRENGTHS = tuple(10.0**power for power in range(-2, 5))
_COMPONENTS = 10
_FOLDS = 5


def nearest_spot(xy_um: Float, values: Float, at_um: Float) -> Float:
    """Value of the nearest spot: (n, 2), (n, t) and (m, 2) to (m, t)."""
    return np.asarray(values[cKDTree(xy_um).query(at_um)[1]])


def gaussian_smoothing(xy_um: Float, values: Float, at_um: Float, *, pitch_um: float) -> Float:
    """Gaussian mean of the spots, of the width that foretells left-out spots best: (m, t)."""
    errors = []
    for width in _WIDTHS:
        weight = _gaussian(xy_um, xy_um, width * pitch_um)
        np.fill_diagonal(weight, 0)
        errors.append(float(((_weighted(weight, values) - values) ** 2).mean()))
    best = _WIDTHS[int(np.argmin(errors))]
    return _weighted(_gaussian(at_um, xy_um, best * pitch_um), values)


def kriging(xy_um: Float, values: Float, at_um: Float, *, pitch_um: float, components: int = _COMPONENTS) -> Float:
    """Kriging of expression's principal components on coordinates: the strongest way without a picture; (m, t)."""
    from sklearn.decomposition import PCA

    mean, spread = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-9)
    with threadpool_limits(1):
        pca = PCA(min(components, len(values) - 1, values.shape[1]), svd_solver="full")
        scores = pca.fit_transform((values - mean) / spread)
        size = np.maximum(scores.std(axis=0), 1e-9)
        found = np.empty((len(at_um), scores.shape[1]))
        for k, y in enumerate((scores / size).T):
            strengths = find_strengths(y, xy_um, [], start_um=3 * pitch_um)
            found[:, k] = fit_field(y, xy_um, [], strengths=strengths).smooth(at_um)
        return np.asarray((found * size) @ pca.components_ * spread + mean)


def ridge(features: Float, values: Float, at_features: Float, *, seed: int = 0) -> Float:
    """Ridge regression on features of the spots, of the strength that foretells left-out spots best; (m, t)."""
    mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-9)
    X, Z = (features - mean) / spread, (at_features - mean) / spread
    fold = random_folds(len(X), _FOLDS, seed=seed)
    errors = np.zeros(len(_STRENGTHS))
    for k in range(_FOLDS):
        inside = fold != k
        for i, found in enumerate(_ridges(X[inside], values[inside], X[~inside])):
            errors[i] += float(((found - values[~inside]) ** 2).sum())
    best = int(np.argmin(errors))
    return _ridges(X, values, Z, _STRENGTHS[best : best + 1])[0]


def _ridges(X: Float, Y: Float, Z: Float, strengths: Sequence[float] = _STRENGTHS) -> list[Float]:
    with threadpool_limits(1):
        u, s, vt = np.linalg.svd(X - X.mean(axis=0), full_matrices=False)
        level = Y.mean(axis=0)
        turned, other = u.T @ (Y - level), (Z - X.mean(axis=0)) @ vt.T
        return [other @ ((s / (s * s + a))[:, None] * turned) + level for a in strengths]


def _gaussian(a: Float, b: Float, width_um: float) -> Float:
    from scipy.spatial.distance import cdist

    distance = cdist(a, b, "sqeuclidean")
    # measured from the nearest, so that a place far from all spots takes the nearest instead of nothing
    distance -= np.partition(distance, min(1, distance.shape[1] - 1), axis=1)[:, :1]
    return np.asarray(np.exp(-0.5 * np.maximum(distance, -60 * width_um**2) / width_um**2))


def _weighted(weight: Float, values: Float) -> Float:
    return np.asarray(weight @ values / weight.sum(axis=1, keepdims=True))
