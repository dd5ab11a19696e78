"""A Gaussian process over tissue: a smooth field in space plus a linear response to what the picture shows.

    y(s) = f(xy_s) + sum_b x_b(s) . w_b + noise,   f ~ GP(0, v k(|xy - xy'| / l)),   w_b ~ N(0, v_b / p_b)

with k of Matern's kind with smoothness 3/2 (Rasmussen and Williams 2006, eq. 4.17), and noise of the variance of a spot
of weight 1 divided by the spot's weight. Everything is linear in the features, so the weights learnt on features
averaged over footprints hold for single cells. Strengths, length and noise maximise the marginal likelihood (their eq.
5.8, 5.9), with a weak prior near sensible values. The field is represented by at most `INDUCING` of the spots (their
section 8.3.1), so that memory and time stay bounded.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cholesky, solve_triangular
from scipy.linalg.lapack import dpotri
from scipy.optimize import minimize

Float = NDArray[np.float64]

INDUCING = 768
_FIT_SPOTS = 400
_PRIOR_SD = 1.5  # of the logarithms of all parameters
_STEPS, _ENOUGH = 20, 1e-5
_FARTHEST = 7.0  # how far a logarithm may move from its start
_JITTER = 1e-6
_FREEDOM, _MEDIAN_SQUARE = 4.0, 0.4549  # of Student's noise; median of the square of a normal number


@dataclass(frozen=True, slots=True)
class Strengths:
    """Parameters of the process, for values of unit variance.

    Parameters
    ----------
    field, length_um
        Variance and length of the smooth field.
    blocks
        Variance of the response to each block of features.
    noise
        Variance of what neither explains.
    """

    field: float
    length_um: float
    blocks: tuple[float, ...]
    noise: float


@dataclass(frozen=True, slots=True, eq=False)
class Field:
    """A fitted process.

    Parameters
    ----------
    weights
        One (p_b,) per block of features.
    nodes_um, alpha
        (m, 2) places of the field's basis functions and their (m,) coefficients.
    strengths
        Its parameters.
    """

    weights: tuple[Float, ...]
    nodes_um: Float
    alpha: Float
    strengths: Strengths

    def smooth(self, xy_um: Float) -> Float:
        """Value of the smooth field at places (k, 2): (k,)."""
        value = np.empty(len(xy_um))
        for start in range(0, len(xy_um), 4096):
            part = slice(start, start + 4096)
            value[part] = _matern(_distance(xy_um[part], self.nodes_um) / self.strengths.length_um) @ self.alpha
        return self.strengths.field * value


def find_strengths(
    y: Float, xy_um: Float, blocks: Sequence[Float], *, start_um: float, weight: Float | None = None
) -> Strengths:
    """Strengths, length and noise that maximise the likelihood of the values.

    Parameters
    ----------
    y
        (n,) of mean 0 and unit variance.
    xy_um
        (n, 2).
    blocks
        (n, p_b) features of mean 0, each.
    start_um
        Where the length is expected.
    weight
        (n,) above 0: the noise of a value is divided by it; 1 for all where None.
    """
    few = _spread_out(xy_um, _FIT_SPOTS)
    y, distance = y[few], _distance(xy_um[few], xy_um[few])
    rough = np.ones(len(few)) if weight is None else 1 / weight[few]
    linear = [block[few] @ block[few].T / block.shape[1] for block in blocks]
    start = np.log([0.5, start_um, *[0.3] * len(blocks), 0.5])

    def loss(x: Float) -> tuple[float, Float]:
        return _negative_log_likelihood(x, start, y, distance, linear, rough)

    bounds = [(v - _FARTHEST, v + _FARTHEST) for v in start]
    found = minimize(
        loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS, "ftol": _ENOUGH}
    )
    values = [float(v) for v in np.exp(found.x)]
    return Strengths(values[0], values[1], tuple(values[2:-1]), values[-1])


def fit_field(
    y: Float, xy_um: Float, blocks: Sequence[Float], *, strengths: Strengths, weight: Float | None = None
) -> Field:
    """Most probable field and weights given the parameters; the arguments are those of `find_strengths`.

    The posterior mean is that of Bayesian linear regression on the features and on the field's own basis
    k(., u) L^-T, where L L' = k(u, u) (Rasmussen and Williams 2006, eq. 2.8 and 8.13).
    """
    nodes = xy_um[_spread_out(xy_um, INDUCING)]
    lower = cholesky(_matern(_distance(nodes, nodes) / strengths.length_um) + _JITTER * np.eye(len(nodes)), lower=True)
    across = _matern(_distance(xy_um, nodes) / strengths.length_um)  # (n, m)
    basis = solve_triangular(lower, across.T, lower=True).T * np.sqrt(strengths.field)
    scale = [np.sqrt(v / block.shape[1]) for v, block in zip(strengths.blocks, blocks, strict=True)]
    design = np.hstack([basis, *[block * s for block, s in zip(blocks, scale, strict=True)]])  # (n, m + p)
    weighed = design if weight is None else design * weight[:, None]
    gram = design.T @ weighed
    gram[np.diag_indices_from(gram)] += strengths.noise
    solution = cho_solve(cho_factor(gram, lower=True), weighed.T @ y)
    alpha = solve_triangular(lower, solution[: len(nodes)], lower=True, trans=1) / np.sqrt(strengths.field)
    edges = np.cumsum([len(nodes), *[block.shape[1] for block in blocks]])
    weights = tuple(solution[a:b] * s for a, b, s in zip(edges[:-1], edges[1:], scale, strict=True))
    return Field(weights, nodes, alpha, strengths)


def student_weights(residuals: Float) -> Float:
    """Weight of each spot if its noise is Student's with 4 degrees of freedom, (n,), at most 1.

    A spot that neither neighbours nor picture explain, such as one that was copied from elsewhere or has a wild count,
    then hardly moves the others. It is the step of the EM algorithm of Lange, Little and Taylor (1989, Journal of the
    American Statistical Association).

    Parameters
    ----------
    residuals
        (n, k) of k components, each in any unit: its median square says its scale.
    """
    squares = residuals**2
    squares = squares / np.maximum(np.median(squares, axis=0) / _MEDIAN_SQUARE, np.finfo(np.float64).tiny)
    return np.asarray(np.minimum(1.0, (_FREEDOM + 1) / (_FREEDOM + squares.mean(axis=1))))


def _negative_log_likelihood(
    x: Float, start: Float, y: Float, distance: Float, linear: Sequence[Float], rough: Float
) -> tuple[float, Float]:
    values = np.exp(x)
    scaled = distance / values[1]
    field = values[0] * _matern(scaled)
    # derivatives by the logarithms of the parameters
    slopes = [field, values[0] * 3 * scaled**2 * np.exp(-np.sqrt(3) * scaled)]
    slopes += [v * gram for v, gram in zip(values[2:-1], linear, strict=True)]
    covariance = field + sum(slopes[2:])
    covariance[np.diag_indices_from(covariance)] += values[-1] * rough + _JITTER
    try:
        factor = cho_factor(covariance, lower=True)
    except LinAlgError:
        return 1e12, np.zeros_like(x)
    triangle, _ = dpotri(factor[0], lower=True)  # the inverse's lower half, at a third of the cost of solving
    inverse = np.tril(triangle) + np.tril(triangle, -1).T
    alpha = inverse @ y
    pull = (x - start) / _PRIOR_SD
    value = 0.5 * y @ alpha + np.log(np.diag(factor[0])).sum() + 0.5 * pull @ pull
    gradient = [0.5 * ((inverse * slope).sum() - alpha @ slope @ alpha) for slope in slopes]
    gradient.append(0.5 * values[-1] * float(rough @ (np.diag(inverse) - alpha**2)))
    return float(value), np.array(gradient) + pull / _PRIOR_SD


def _matern(scaled: Float) -> Float:
    root = np.sqrt(3) * scaled
    return np.asarray((1 + root) * np.exp(-root))


def _distance(a: Float, b: Float) -> Float:
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(a, b))


def _spread_out(xy_um: Float, most: int) -> NDArray[np.intp]:
    """At most `most` rows that cover the whole evenly: equally spaced along a serpentine of narrow bands."""
    n = len(xy_um)
    if n <= most:
        return np.arange(n)
    span = np.maximum(np.ptp(xy_um, axis=0), 1e-9)
    band = np.floor((xy_um[:, 1] - xy_um[:, 1].min()) / span[1] * np.sqrt(n) * 0.999)
    along = np.where(band % 2 == 0, xy_um[:, 0], -xy_um[:, 0])
    order = np.lexsort((along, band))
    return np.sort(order[np.linspace(0, n - 1, most).astype(np.intp)])
