"""Cell types as a target: abundances, or their ranks within each spot."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, InputError, listing
from histoscribe.expression.measured import Measured
from histoscribe.expression.ranks import within_spot_ranks


@dataclass
class AbundanceTarget:
    """Abundance of cell types.

    Parameters
    ----------
    ranks
        Predict the rank of each type within its spot, ties averaged, in [0, 1], in place of the abundance itself.
    """

    kind: ClassVar[str] = "abundance"

    ranks: bool = True
    names_: tuple[str, ...] = field(default=(), init=False)
    fitted_on_: tuple[str, ...] = field(default=(), init=False)

    def fit(self, sections: Sequence[Measured]) -> Self:
        """Take the cell types that the training sections have; raises InputError where they differ."""
        if not sections:
            raise InputError("there are no training sections", where="target")
        first = sections[0]
        for section in sections:
            values = _table(section)
            if set(section.cell_types) != set(first.cell_types):
                other = set(section.cell_types) ^ set(first.cell_types)
                raise InputError(
                    "the sections have different cell types",
                    where=section.where,
                    expected=f"the {len(first.cell_types)} types of section {first.name!r}",
                    found=f"only one of the two has {listing(sorted(other))}",
                    fix="give tables with the same columns",
                )
            if values.shape[1] < 2:
                raise InputError("one cell type alone has no ranks", where=section.where, fix="give all cell types")
        self.names_ = first.cell_types
        self.fitted_on_ = tuple(section.name for section in sections)
        return self

    def transform(self, section: Measured) -> NDArray[np.float32]:
        """Return ranks in [0, 1], or abundances, (n, c), columns in the order of `names_`.

        Raises
        ------
        ConfigError
            Before `fit`.
        InputError
            A section without these cell types, or values that are not finite.
        """
        if not self.names_:
            raise ConfigError("the target was not fitted", where="target", fix="call fit first")
        values = _table(section)
        place = {name: column for column, name in enumerate(section.cell_types)}
        missing = [name for name in self.names_ if name not in place]
        if missing:
            raise InputError(
                f"{len(missing)} of {len(self.names_)} cell types are not in its table of abundances",
                where=section.where,
                expected=listing(missing),
                found=listing(section.cell_types),
            )
        values = values[:, [place[name] for name in self.names_]]
        return within_spot_ranks(values) if self.ranks else values.astype(np.float32)

    def inverse(self, Y: NDArray[Any]) -> NDArray[np.float32]:
        """Return the values as they are: ranks stay ranks, abundances are abundances."""
        return np.asarray(Y, np.float32)

    def record(self) -> dict[str, Any]:
        """Return what was fitted, fit for JSON."""
        return {
            "kind": self.kind,
            "ranks": self.ranks,
            "names": list(self.names_),
            "fitted_on": list(self.fitted_on_),
            "unit": "rank within the spot, 0 the least and 1 the most abundant type" if self.ranks else "abundance",
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Return the fitted target that `record` describes."""
        target = cls(ranks=bool(record["ranks"]))
        target.names_, target.fitted_on_ = tuple(record["names"]), tuple(record["fitted_on"])
        return target


def _table(section: Measured) -> NDArray[np.float64]:
    if section.abundance is None:
        raise InputError(
            "this section has no table of cell types",
            where=section.where,
            fix="give a table of abundances with one row per spot, or choose genes as the target",
        )
    values = np.asarray(section.abundance, np.float64)
    bad = ~np.isfinite(values).all(axis=1)
    if bad.any():
        raise InputError(
            f"{int(bad.sum()):,} of {len(values):,} spots have no finite abundances",
            where=section.where,
            expected="a number for every spot and cell type",
            fix="check that the table's spots are those of the section, or leave these spots out",
        )
    return values
