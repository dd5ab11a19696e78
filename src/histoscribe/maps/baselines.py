"""Baselines of a map: predictions of a spot from other spots, with no model of the picture or a very simple one.

Every baseline gets the places and values of some spots and the places of others, and chooses its own width or strength
on the spots it was given.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree
from threadpoolctl import threadpool_limits

from histoscribe.maps.hide import random_folds
from histoscribe.maps.process import find_strengths, fit_field

Float = NDArray[np.float64]

_WIDTHS = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0)  # of the Gaussian, in pitches
_STRENGTHS = tuple(10.0**power for power in range(-2, 5))
_COMPONENTS = 10
_FOLDS = 5
_NEAREST, _FAINT = 128, 1e-3  # spots of a Gaussian mean, and the least weight relative to the nearest one's
_JUDGED_GENES = 200


def nearest_spot(xy_um: Float, values: Float, at_um: Float) -> Float:
    """Value of the nearest spot: (n, 2), (n, t) and (m, 2) to (m, t)."""
    return np.asarray(values[cKDTree(xy_um).query(at_um)[1]])


def gaussian_smoothing(xy_um: Float, values: Float, at_um: Float, *, pitch_um: float) -> Float:
    """Gaussian mean of the spots, with the width that predicts held-out spots best: (m, t)."""
    judged = _most_varied(values)
    own = _Near(xy_um, xy_um, alone=True)
    errors = [float(((own.mean(judged, width * pitch_um) - judged) ** 2).mean()) for width in _WIDTHS]
    return _Near(xy_um, at_um).mean(values, _WIDTHS[int(np.argmin(errors))] * pitch_um)


def kriging(xy_um: Float, values: Float, at_um: Float, *, pitch_um: float, components: int = _COMPONENTS) -> Float:
    """Kriging of expression's principal components on coordinates: the strongest baseline without a picture; (m, t)."""
    from sklearn.decomposition import PCA

    mean, spread = values.mean(axis=0), np.maximum(values.std(axis=0), 1e-9)
    with threadpool_limits(1):
        few = min(components, len(values) - 1, values.shape[1])
        pca = PCA(few, svd_solver="randomized", random_state=0, iterated_power=6)
        scores = pca.fit_transform((values - mean) / spread)
        size = np.maximum(scores.std(axis=0), 1e-9)
        found = np.empty((len(at_um), scores.shape[1]))
        for k, y in enumerate((scores / size).T):
            strengths = find_strengths(y, xy_um, [], start_um=3 * pitch_um)
            found[:, k] = fit_field(y, xy_um, [], strengths=strengths).smooth(at_um)
        return np.asarray((found * size) @ pca.components_ * spread + mean)


def ridge(features: Float, values: Float, at_features: Float, *, seed: int = 0) -> Float:
    """Ridge regression on features of the spots, with the strength that predicts held-out spots best; (m, t)."""
    mean, spread = features.mean(axis=0), np.maximum(features.std(axis=0), 1e-9)
    X, Z = (features - mean) / spread, (at_features - mean) / spread
    fold = random_folds(len(X), _FOLDS, seed=seed)
    errors, judged = np.zeros(len(_STRENGTHS)), _most_varied(values)
    with threadpool_limits(1):
        for k in range(_FOLDS):
            inside = fold != k
            found = _ridge(X[inside], judged[inside], X[~inside], _STRENGTHS)
            errors += ((found - judged[~inside]) ** 2).sum(axis=(1, 2))
        best = _STRENGTHS[int(np.argmin(errors))]
        return np.asarray(_ridge(X, values, Z, (best,))[0])


def _ridge(X: Float, Y: Float, Z: Float, strengths: tuple[float, ...]) -> Float:
    """Predict at Z with each of s strengths, from one decomposition of X: (n, d), (n, t) and (m, d) to (s, m, t)."""
    from sklearn.linear_model import Ridge

    n_targets, n_strengths = Y.shape[1], len(strengths)
    # a target and a strength for each column
    model = Ridge(np.repeat(strengths, n_targets), solver="svd").fit(X, np.tile(Y, n_strengths))
    return np.asarray(model.predict(Z)).reshape(len(Z), n_strengths, n_targets).swapaxes(0, 1)


def _most_varied(values: Float) -> Float:
    """Columns that differ most between spots, enough to choose a width or a strength by."""
    return np.asarray(values[:, np.sort(np.argsort(-values.var(axis=0), kind="stable")[:_JUDGED_GENES])])


class _Near:
    """Gaussian means over the nearest spots of places; `alone` leaves a place's own spot out."""

    def __init__(self, xy_um: Float, at_um: Float, *, alone: bool = False) -> None:
        k = min(_NEAREST + alone, len(xy_um))
        distance, spot = cKDTree(xy_um).query(at_um, k=np.arange(1, k + 1))
        self.distance, self.spot = distance[:, int(alone) :], spot[:, int(alone) :]  # (m, k)
        self.n_spots = len(xy_um)

    def mean(self, values: Float, width_um: float) -> Float:
        """Mean of (n, t) with Gaussian weights of one width: (m, t)."""
        # measured from the nearest, so that a place far from all spots takes the nearest instead of nothing
        squared = self.distance**2 - self.distance[:, :1] ** 2
        weight = np.exp(-0.5 * squared / width_um**2)
        weight[weight < _FAINT] = 0
        weight /= weight.sum(axis=1, keepdims=True)
        m, k = weight.shape
        operator = sparse.csr_matrix(
            (weight.ravel(), self.spot.ravel(), np.arange(0, m * k + 1, k)), shape=(m, self.n_spots)
        )
        operator.eliminate_zeros()
        return np.asarray(operator @ values)
