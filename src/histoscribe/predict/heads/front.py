"""The first step of heads on vectors: join blocks by name, standardise columns, keep the principal components.

All of it is fitted on the rows that `fit` is given, and exported as plain arrays.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, InputError, listing
from histoscribe.predict.context import appearance
from histoscribe.predict.head import Inputs, Matrix

_FLAT = 1e-6  # a column that varies by less than this share of its size is constant
_PREFIX = "block:"


def checked_targets(X: Inputs, Y: NDArray[Any], groups: NDArray[Any] | None, *, where: str) -> NDArray[np.float64]:
    """Return targets as float64, (n, t).

    Raises
    ------
    InputError
        Rows that do not match, no rows, or values that are not finite.
    """
    Y = np.asarray(Y, np.float64)
    if Y.ndim != 2 or len(Y) != len(X) or len(Y) == 0 or (groups is not None and len(groups) != len(Y)):
        raise InputError(
            "spots, targets and groups do not match",
            where=where,
            expected=f"({len(X):,}, t) targets and ({len(X):,},) groups, at least one row",
            found=f"{Y.shape} and {'none' if groups is None else np.shape(groups)}",
        )
    if not np.isfinite(Y).all():
        raise InputError("targets must be finite", where=where, fix="leave out spots or genes without a value")
    return Y


@dataclass(frozen=True, slots=True, eq=False)
class Front:
    """Projection of blocks on at most so many components.

    Parameters
    ----------
    widths
        Block to its number of columns, by name.
    mean, scale
        (d,) of the joined columns; the scale of a constant column is 0, which takes it out.
    axes
        (d, k), scaled so that the first component has variance 1 and the others less, as they had.
    """

    widths: dict[str, int]
    mean: Matrix
    scale: Matrix
    axes: Matrix

    @classmethod
    def fit(cls, X: Inputs, *, components: int, seed: int, where: str) -> Self:
        """Learn means, scales and directions.

        Raises
        ------
        InputError
            No blocks, or features that are not finite.
        """
        from sklearn.utils.extmath import randomized_svd

        blocks = appearance(X.blocks)
        if not blocks:
            raise InputError("this head needs feature blocks", where=where, fix="give an encoder's blocks")
        joined = np.concatenate([np.asarray(block, np.float32) for block in blocks.values()], axis=1)  # (n, d)
        _refuse_holes(joined, where)
        mean, spread = joined.mean(axis=0, dtype=np.float64), joined.std(axis=0, dtype=np.float64)
        varies = spread > _FLAT * np.maximum(np.abs(joined).max(axis=0), 1e-12)
        scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=varies)
        Z = (joined - mean.astype(np.float32)) * scale.astype(np.float32)
        k = max(1, min(components, len(Z) - 1, Z.shape[1]))
        # in a fixed order of the rows, so that rounding does not depend on the order in which they come
        Z = Z[np.lexsort(Z.T[: min(4, Z.shape[1])])]
        _, size, found = randomized_svd(Z, n_components=k, n_iter=4, random_state=seed)
        largest = float(size[0]) if size[0] > 0 else 1.0
        directions = np.asarray(found.T * (np.sqrt(len(Z)) / largest), np.float32)
        widths = {name: block.shape[1] for name, block in blocks.items()}
        return cls(widths, mean.astype(np.float32), scale.astype(np.float32), directions)

    def transform(self, X: Inputs, *, where: str) -> Matrix:
        """Return components, (n, k) float32.

        Raises
        ------
        ConfigError
            Blocks that are missing or of another width.
        InputError
            Features that are not finite.
        """
        found = {name: block.shape[1] for name, block in X.blocks.items()}
        wrong = [name for name, width in self.widths.items() if found.get(name) != width]
        if wrong:
            raise ConfigError(
                "the head was fitted on other feature blocks",
                where=where,
                expected=listing(f"{name} ({width})" for name, width in self.widths.items()),
                found=listing(f"{name} ({width})" for name, width in sorted(found.items())),
                fix="embed with the same encoder and tile sizes",
            )
        joined = np.concatenate([np.asarray(X.blocks[name], np.float32) for name in self.widths], axis=1)
        _refuse_holes(joined, where)
        return np.asarray(((joined - self.mean) * self.scale) @ self.axes, np.float32)

    def state(self) -> dict[str, NDArray[Any]]:
        """Return all of it as arrays by name."""
        widths = {f"{_PREFIX}{name}": np.array([width]) for name, width in self.widths.items()}
        return {**widths, "mean": self.mean, "scale": self.scale, "axes": self.axes}

    @classmethod
    def from_state(cls, state: Mapping[str, NDArray[Any]]) -> Self:
        """Rebuild it from `state`."""
        widths = {key.removeprefix(_PREFIX): int(state[key][0]) for key in sorted(state) if key.startswith(_PREFIX)}
        return cls(widths, *(np.asarray(state[key], np.float32) for key in ("mean", "scale", "axes")))


def _refuse_holes(values: Matrix, where: str) -> None:
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise InputError(f"features of {int(bad.sum()):,} of {len(values):,} spots are not finite", where=where)
