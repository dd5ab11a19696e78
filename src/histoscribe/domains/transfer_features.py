"""Features of a spot for transfer: how it and its surroundings look, relative to its own section."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.graph.smooth import neighbour_mean
from histoscribe.numerics.signs import with_fixed_signs

N_COMPONENTS = 50
# rounds of averaging over neighbours, each beside the spot's own features
_REACH = (1, 4)
N_PARTS = 1 + len(_REACH)


@dataclass(frozen=True, slots=True, eq=False)
class Space:
    """Principal components of standardised embeddings, and the spread of every feature made of them.

    Parameters
    ----------
    loadings
        (d, p) float64.
    spread
        (f,) standard deviation of each feature of `spot_features` in training, f = 3 p.
    """

    loadings: NDArray[np.float64]
    spread: NDArray[np.float64]


def fit_space(embeddings: list[NDArray[np.float64]], graphs: list[sparse.csr_matrix]) -> Space:
    """Find the components of several sections' embeddings, (n_s, d) each, standardised within their section."""
    from scipy.linalg import eigh

    gram = np.zeros((embeddings[0].shape[1],) * 2)
    for embedding in embeddings:
        z = standardised(embedding)
        gram += z.T @ z / len(z)  # a large section counts no more than a small one
    d = len(gram)
    fewest = min(len(embedding) for embedding in embeddings)
    k = max(1, min(N_COMPONENTS, d, fewest - 1))
    _, vectors = eigh(gram, subset_by_index=(d - k, d - 1))
    loadings = with_fixed_signs(vectors[:, ::-1])  # (d, p)
    plain = Space(loadings, np.ones(k * N_PARTS))
    found = np.concatenate([spot_features(e, g, plain) for e, g in zip(embeddings, graphs, strict=True)])
    return Space(loadings, np.maximum(found.std(axis=0), 1e-9))


def spot_features(embedding: NDArray[np.float64], graph: sparse.csr_matrix, space: Space) -> NDArray[np.float64]:
    """Features of the spots of a section, (n, f): own components beside means over nearer and wider surroundings."""
    scores = standardised(embedding) @ space.loadings  # (n, p)
    around = [neighbour_mean(graph, scores, rounds=rounds) for rounds in _REACH]
    return np.hstack([scores, *around]) / space.spread


def standardised(embedding: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each column of a section (n, d) with mean 0 and variance 1; constant ones 0."""
    centred = embedding - embedding.mean(axis=0)
    spread = centred.std(axis=0)
    varies = spread > 1e-7 * np.maximum(np.abs(embedding).max(axis=0), np.finfo(np.float64).tiny)
    return np.where(varies, centred / np.where(varies, spread, 1.0), 0.0)
