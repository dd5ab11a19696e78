"""Feature blocks, by name, made comparable and joined into one matrix.

An image embedding has hundreds of columns, a nuclear block ten, a position two, each in its own unit. Joined as they
are, the block with the largest numbers decides alone. Here every block is reduced to its principal components, of
these to what is coherent in space where a neighbour graph is given, and scaled to a total variance of 1; its weight
then is its share of the squared distance between two typical spots.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains.coherence import coherent_components
from histoscribe.errors import ConfigError, InputError, listing, nearest
from histoscribe.numerics.signs import with_fixed_signs

N_COMPONENTS = 50
# so many spots for each component at least, or the components describe single spots
_SPOTS_PER_COMPONENT = 8
# coordinates: one unit for all columns, so a long section stays long; never rotated
_METRIC_BLOCKS = frozenset({"position"})


@dataclass(frozen=True, slots=True, eq=False)
class Joined:
    """Blocks side by side.

    Parameters
    ----------
    X
        (n, d) float64; the columns of a block have a total variance equal to its weight.
    columns
        Where each block stands: name to slice.
    record
        What was done to each block, fit for JSON.
    """

    X: NDArray[np.float64]
    columns: dict[str, slice]
    record: dict[str, Any]


def join_blocks(
    blocks: Mapping[str, Any],
    *,
    weights: Mapping[str, float],
    graph: sparse.csr_matrix | None = None,
    n_components: int = N_COMPONENTS,
) -> Joined:
    """Standardise feature blocks and join them in the order of their names.

    Parameters
    ----------
    blocks
        Name to (n, d) numbers, one row per spot.
    weights
        Name to weight, not negative; a block of weight 0 is left out.
    graph
        Spatial neighbours, (n, n). Where given, every block but "position" is reduced to its spatially coherent
        components (see `coherence`).
    n_components
        Principal components kept of a block that has more columns than this; fewer where there are few spots.

    Returns
    -------
    Joined
        Exact and deterministic: the components' signs are fixed.

    Raises
    ------
    InputError
        No block, rows that do not match, values that are not finite, or nothing that differs between spots.
    ConfigError
        A weight for a block that is not there, a block without a weight, or a weight that is negative.
    """
    _check_weights(blocks, weights)
    arrays = {name: np.asarray(checked_block(name, blocks[name]), np.float64) for name in sorted(blocks)}
    rows = {name: len(array) for name, array in arrays.items()}
    if len(set(rows.values())) > 1:
        raise InputError("feature blocks have different numbers of spots", where="blocks", found=rows)
    parts, columns, record, start = [], {}, {}, 0
    for name, array in arrays.items():
        if weights[name] == 0:
            record[name] = {"weight": 0.0, "used": False}
            continue
        part, record[name] = _standardised(name, array, n_components, graph)
        record[name]["weight"] = float(weights[name])
        if part.shape[1] == 0:
            continue
        columns[name] = slice(start, start + part.shape[1])
        start += part.shape[1]
        parts.append(part * np.sqrt(weights[name]))
    if start == 0:
        raise InputError(
            "no feature differs between the spots, so domains cannot be distinguished",
            where="blocks",
            found=f"constant: {listing(arrays)}",
            fix="check that the tiles lie on the tissue and that the image is the right one",
        )
    return Joined(np.hstack(parts), columns, record)


def principal_components(X: NDArray[np.float64], n_components: int) -> tuple[NDArray[np.float64], float]:
    """Exact principal component scores of centred data.

    Parameters
    ----------
    X
        (n, d), columns centred.
    n_components
        How many; at most min(n - 1, d) are kept.

    Returns
    -------
    (n, k) scores, largest variance first, each component's largest loading positive; and the share of the variance
    that they hold.
    """
    n, d = X.shape
    if d <= n:
        values, vectors = np.linalg.eigh(X.T @ X)  # ascending
        values, vectors = values[::-1], vectors[:, ::-1]  # (d,), (d, d)
    else:
        _, singular, rows = np.linalg.svd(X, full_matrices=False)
        values, vectors = singular**2, rows.T  # (n,), (d, n)
    k = max(1, min(n_components, n - 1, d))
    vectors = with_fixed_signs(vectors[:, :k])
    return X @ vectors, float(values[:k].sum() / values.sum())


def _standardised(
    name: str, array: NDArray[np.float64], n_components: int, graph: sparse.csr_matrix | None
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    part = array - array.mean(axis=0)
    spread = part.std(axis=0)
    # columns that vary by rounding alone count as constant
    varies = spread > 1e-9 * np.maximum(np.abs(array).max(axis=0), np.finfo(np.float64).tiny)
    record: dict[str, Any] = {"columns": array.shape[1], "constant": int((~varies).sum()), "used": bool(varies.any())}
    if not varies.any():
        return np.empty((len(array), 0)), record
    if name not in _METRIC_BLOCKS:
        part = part[:, varies] / spread[varies]
        limit = max(2, min(n_components, len(array) // _SPOTS_PER_COMPONENT))
        if part.shape[1] > limit:
            part, share = principal_components(part, limit)
            record["variance_kept"] = round(share, 6)
        if graph is not None:
            part, autocorrelation = coherent_components(part, graph=graph)
            record["autocorrelation"] = [round(float(r), 4) for r in autocorrelation]
    record["components"] = part.shape[1]
    return part / np.sqrt((part**2).sum() / len(part)), record


def _check_weights(blocks: Mapping[str, Any], weights: Mapping[str, float]) -> None:
    if not blocks:
        raise InputError("there are no features", where="blocks", fix="give at least one block, such as 'image'")
    for name in weights:
        if name not in blocks:
            raise ConfigError(
                f"there is no feature block {name!r} to weigh", where="weights", fix=nearest(name, blocks)
            )
    for name in blocks:
        if name not in weights:
            raise ConfigError(f"the feature block {name!r} has no weight", where="weights", found=listing(weights))
        if not (np.isfinite(weights[name]) and weights[name] >= 0):
            raise ConfigError(f"the weight of {name!r} must not be negative", where="weights", found=weights[name])
    if not any(weights[name] for name in blocks):
        raise ConfigError("every feature block has the weight 0", where="weights", fix="give one a positive weight")


def checked_block(name: str, block: Any) -> NDArray[Any]:
    """Return a block as an array of numbers, not copied where it is one, or say what is wrong with it.

    Raises
    ------
    InputError
        Not (n, d), no columns, or values that are not finite.
    """
    array = np.asarray(block)
    if array.dtype.kind not in "fiub":
        array = array.astype(np.float64)
    if array.ndim != 2 or 0 in array.shape:
        raise InputError(
            f"the feature block {name!r} has the wrong shape",
            where="blocks",
            expected="(spots, features)",
            found=array.shape,
        )
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        raise InputError(
            f"the feature block {name!r} has missing or infinite values in {bad.sum():,} of {len(array):,} spots",
            where="blocks",
            found=f"first in row {int(bad.argmax())}",
            fix="leave these spots out, or compute their features again",
        )
    return array
