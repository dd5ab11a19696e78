"""Predictions from which a stack can be judged: what it is fitted on has seen nothing of where it is scored."""

from collections.abc import Callable, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.predict.head import Matrix
from histoscribe.predict.splits import Index

Refit = Callable[[Index, Index, str], Matrix]  # rows to fit a head on, rows that it predicts, what to call the fit


def twice_unseen(refit: Refit, P: NDArray[Any], folds: Sequence[tuple[Index, Index]]) -> NDArray[np.float32]:
    """Predict all rows once more for each of three or more inner folds, by heads that had not seen that fold either.

    A prediction made without fold j contains the targets of every other fold. A stack fitted on such predictions has
    seen the fold on which it is then scored: it need only turn them round to find that fold's mean.

    Parameters
    ----------
    refit
        Fits the head anew and predicts.
    P
        (n, t) every row predicted without its own fold.
    folds
        k pairs of rows to fit and rows to predict; every row is predicted once.

    Returns
    -------
    (k, n, t). In entry k the rows of fold k are those of `P`; every other row is predicted by a head that saw neither
    fold k nor the row's own fold.
    """
    twice = np.repeat(np.asarray(P, np.float32)[None], len(folds), axis=0)
    for j, k in combinations(range(len(folds)), 2):
        (fit_j, of_j), (fit_k, of_k) = folds[j], folds[k]
        both = refit(np.intersect1d(fit_j, fit_k), np.concatenate([of_j, of_k]), f"inner folds {j + 1} and {k + 1}")
        twice[k, of_j], twice[j, of_k] = both[: len(of_j)], both[len(of_j) :]
    return twice
