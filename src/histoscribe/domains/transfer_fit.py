"""Fitting the classifier of transfer: its strength and its temperature come from spots it was not trained on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import minimize_scalar

from histoscribe.domains.transfer_features import N_PARTS
from histoscribe.graph.smooth import neighbour_mean

# inverse strengths of the ridge that are tried
_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
_MOST_ITERATIONS = 500
# how far the covariance is shrunk towards a sphere, because a small domain has too few spots for its dimensions
_SHRINKAGE = 0.1
_SMOOTHING_ROUNDS = 2
_TEMPERATURES = (0.2, 20.0)


@dataclass(frozen=True, slots=True, eq=False)
class Evidence:
    """What is trained on.

    Parameters
    ----------
    features, classes
        (n, f) and (n,) from 0 to k - 1.
    groups
        (n,) which spots are held out together to judge the classifier: patients, or large parts of the only one.
    folds
        (n,) which spots are held out together to measure usual distances: spots from everywhere.
    graph
        (n, n) neighbours.
    """

    features: NDArray[np.float64]
    classes: NDArray[np.int64]
    groups: NDArray[np.int64]
    folds: NDArray[np.int64]
    graph: sparse.csr_matrix
    k: int


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """Predictions of the classifier for held-out spots.

    Parameters
    ----------
    strength, temperature
        Those with the least log loss.
    posterior
        (n, k), smoothed.
    """

    strength: float
    temperature: float
    posterior: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """Multinomial logistic regression, and the centres of the classes.

    Parameters
    ----------
    coefficients, intercepts
        (k, f) and (k,).
    centres
        (k, p) mean of each class, of a spot's own components alone: a new tissue shows in the spots themselves, while
        means over surroundings differ at every new border of old tissues.
    whitening
        (p, p): Euclidean distance after it is Mahalanobis distance by the spread within classes.
    """

    coefficients: NDArray[np.float64]
    intercepts: NDArray[np.float64]
    centres: NDArray[np.float64]
    whitening: NDArray[np.float64]


def held_out(evidence: Evidence) -> HeldOut:
    """Train without each group in turn; choose strength and temperature by the log loss on the held-out group."""
    tried = []
    for strength in _STRENGTHS:
        logits = _crossed(evidence, strength)
        loss, temperature = _calibrated(logits, evidence)
        tried.append((loss, strength, temperature, logits))
    _, strength, temperature, logits = min(tried, key=lambda entry: entry[:2])
    return HeldOut(strength, temperature, smoothed_posterior(logits, evidence.graph, temperature=temperature))


def smoothed_posterior(
    logits: NDArray[np.float64], graph: sparse.csr_matrix, *, temperature: float
) -> NDArray[np.float64]:
    """Probability of each class, (n, k), averaged over neighbours."""
    scaled = logits / temperature
    scaled = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return neighbour_mean(graph, scaled / scaled.sum(axis=1, keepdims=True), rounds=_SMOOTHING_ROUNDS)


def _crossed(evidence: Evidence, strength: float) -> NDArray[np.float64]:
    logits = np.empty((len(evidence.classes), evidence.k))
    for group in np.unique(evidence.groups):
        out = evidence.groups == group
        head = fit_head(evidence.features[~out], evidence.classes[~out], strength=strength, k=evidence.k)
        logits[out] = head_logits(head, evidence.features[out])
    return logits


def _calibrated(logits: NDArray[np.float64], evidence: Evidence) -> tuple[float, float]:
    """Return the least mean log loss and its temperature (Guo et al. 2017, arXiv:1706.04599, equation 9)."""

    def loss(log_temperature: float) -> float:
        posterior = smoothed_posterior(logits, evidence.graph, temperature=float(np.exp(log_temperature)))
        right = np.take_along_axis(posterior, evidence.classes[:, None], axis=1)
        # bounded: a class that the other groups lack cannot be predicted
        return float(-np.log(np.maximum(right, 1e-6)).mean())

    found = minimize_scalar(loss, bounds=np.log(_TEMPERATURES), method="bounded", options={"xatol": 1e-2})
    return float(found.fun), float(np.exp(found.x))


def fit_head(features: NDArray[np.float64], labels: NDArray[np.int64], *, strength: float, k: int) -> Head:
    """Fit on features (n, f) and classes (n,) from 0 to k - 1; `strength` is the inverse of the ridge's."""
    from sklearn.linear_model import LogisticRegression

    present = np.unique(labels)
    model = LogisticRegression(C=strength, class_weight="balanced", max_iter=_MOST_ITERATIONS).fit(features, labels)
    coefficients, intercepts = np.zeros((k, features.shape[1])), np.full(k, -np.inf)
    if len(present) == 2:  # scikit-learn keeps one row for two classes
        coefficients[present] = np.vstack([-model.coef_ / 2, model.coef_ / 2])
        intercepts[present] = np.concatenate([-model.intercept_ / 2, model.intercept_ / 2])
    else:
        coefficients[present], intercepts[present] = model.coef_, model.intercept_
    return Head(coefficients, intercepts, *_classes_of(_own(features), labels, k))


def usual_distance(evidence: Evidence) -> NDArray[np.float64]:
    """Distance of every training spot to its nearest class, of classes fitted without the spot; (n,)."""
    own = _own(evidence.features)
    found = np.empty(len(own))
    for fold in np.unique(evidence.folds):
        out = evidence.folds == fold
        found[out] = _nearest(own[out], *_classes_of(own[~out], evidence.classes[~out], evidence.k))
    return neighbour_mean(evidence.graph, found, rounds=_SMOOTHING_ROUNDS)


def head_logits(head: Head, features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logits, (n, k)."""
    return features @ head.coefficients.T + head.intercepts


def distance(head: Head, features: NDArray[np.float64], graph: sparse.csr_matrix) -> NDArray[np.float64]:
    """Distance of new spots to their nearest class, averaged over neighbours; (n,)."""
    return neighbour_mean(graph, _nearest(_own(features), head.centres, head.whitening), rounds=_SMOOTHING_ROUNDS)


def _own(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the components of the spots themselves, (n, p): the first of `spot_features`."""
    return features[:, : features.shape[1] // N_PARTS]


def _classes_of(
    own: NDArray[np.float64], labels: NDArray[np.int64], k: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Centres of the classes, (k, p), and what whitens the spread within them, (p, p)."""
    centres = np.full((k, own.shape[1]), np.inf)
    for c in np.unique(labels):
        centres[c] = own[labels == c].mean(axis=0)
    within = own - centres[labels]
    covariance = within.T @ within / len(within)
    sphere = np.eye(len(covariance)) * max(np.trace(covariance) / len(covariance), 1e-12)
    values, vectors = np.linalg.eigh((1 - _SHRINKAGE) * covariance + _SHRINKAGE * sphere)
    return centres, vectors / np.sqrt(values)


def _nearest(
    own: NDArray[np.float64], centres: NDArray[np.float64], whitening: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Mahalanobis distance to the nearest centre, (n,) (Lee et al. 2018, arXiv:1807.03888, equation 2)."""
    white = own @ whitening
    near = centres[np.isfinite(centres).all(axis=1)] @ whitening
    squared = (white**2).sum(axis=1)[:, None] - 2 * white @ near.T + (near**2).sum(axis=1)
    return np.asarray(np.sqrt(np.maximum(squared.min(axis=1), 0.0)))
