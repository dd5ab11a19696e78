"""How far the sections of a cohort lie apart in the space of their features, beyond what their depth explains.

Two numbers, for features as the encoder gave them and as heads get them: the share of the variance that the section
explains, and how well sections mix among each spot's nearest neighbours.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from threadpoolctl import threadpool_limits

from histoscribe.errors import InputError
from histoscribe.predict.context import standardised

Floats = NDArray[np.float64]

_NEAREST = 15
_COMPONENTS = 16  # main directions in which neighbours are sought
_MOST_SPOTS = 6_000


@dataclass(frozen=True, slots=True, eq=False)
class Apart:
    """How far sections lie apart.

    Parameters
    ----------
    share
        Share of the features' variance that lies between the sections: 0 to 1, 0 where all have the same mean.
    mixing
        Section to the share of its spots' nearest neighbours that are of other sections, over what is expected where
        sections do not differ: 1 where they mix, 0 where none of the neighbours is of another section.
    """

    share: float
    mixing: dict[str, float]


def sections_apart(features: Sequence[NDArray[np.floating]], names: Sequence[str], depth: Floats | None) -> Apart:
    """Measure how far sections lie apart.

    Parameters
    ----------
    features
        (n_k, d) of every section; columns are brought to one scale over all of them.
    names
        Of the sections.
    depth
        (n,) ln(1 + molecules) of all spots, section by section, which is taken out of the features first; None where
        nothing was counted.

    Raises
    ------
    InputError
        Fewer than two sections.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.predict.apart import sections_apart
    >>> rng = np.random.default_rng(0)
    >>> one, other = rng.normal(size=(200, 5)), rng.normal(size=(200, 5))
    >>> alike, differ = (sections_apart([one, other + shift], ["A", "B"], None) for shift in (0.0, 5.0))
    >>> round(alike.share, 1), round(alike.mixing["A"], 1)
    (0.0, 1.0)
    >>> round(differ.share, 1), round(differ.mixing["A"], 1)
    (0.9, 0.0)
    """
    if len(features) < 2:
        raise InputError("only several sections can lie apart", where="sections", found=f"{len(features)}")
    label = np.repeat(np.arange(len(features)), [len(part) for part in features])
    # sums over threads differ in the last digit with their number
    with threadpool_limits(limits=1):
        Z = standardised(np.concatenate([np.asarray(part, np.float64) for part in features]))
        if depth is not None:
            known = np.column_stack([np.ones(len(Z)), standardised(np.asarray(depth, np.float64)[:, None])])
            Z = Z - known @ np.linalg.lstsq(known, Z, rcond=None)[0]
        total = float((Z**2).sum())
        between = sum(len(Z[label == k]) * float((Z[label == k].mean(axis=0) ** 2).sum()) for k in range(len(names)))
        mixing = _mixing(Z, label)
    return Apart(between / total if total > 0 else 0.0, dict(zip(names, mixing, strict=True)))


def _mixing(Z: Floats, label: NDArray[np.intp]) -> list[float]:
    """Share of neighbours of other sections over the share of spots of other sections, section by section."""
    some = np.unique(np.linspace(0, len(Z) - 1, min(len(Z), _MOST_SPOTS)).astype(np.intp))
    Z, label = Z[some], label[some]
    _, axes = np.linalg.eigh(Z.T @ Z)
    near = Z @ axes[:, -_COMPONENTS:]  # (n, k), the last directions are the main ones
    _, found = cKDTree(near).query(near, k=min(_NEAREST, len(near) - 1) + 1)
    other = label[found[:, 1:]] != label[:, None]
    sections = range(int(label.max()) + 1)
    return [float(other[label == k].mean() / ((label != k).sum() / (len(label) - 1))) for k in sections]
