"""What is predicted: the interface of a target, and how one is made by name or read back.

A target is fitted on training sections, applied to any section and inverted; everything it fitted can be written as
JSON, so that the audit of an evaluation and the folder of a model can hold it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, InputError, nearest
from histoscribe.expression.measured import Measured

Kind = Literal["genes", "abundance"]

__all__ = ["Kind", "Measured", "Target", "make_target", "target_from_record"]


class Target(Protocol):
    """Numbers per spot that a head learns to predict."""

    kind: ClassVar[str]
    names_: tuple[str, ...]

    def fit(self, sections: Sequence[Measured]) -> Self:
        """Choose what to predict on the training sections; raises InputError where they do not allow it."""
        ...

    def transform(self, section: Measured) -> NDArray[np.float32]:
        """Return the targets of a section's spots, (n, t); NaN columns for genes that were not measured on it."""
        ...

    def inverse(self, Y: NDArray[Any]) -> NDArray[np.float32]:
        """Turn targets, (n, t), back to the unit that a reader knows; each target says which."""
        ...

    def record(self) -> dict[str, Any]:
        """Return all that was fitted and all constants, fit for JSON."""
        ...

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Self:
        """Return the fitted target that `record` describes."""
        ...


def _kinds() -> dict[str, Any]:
    from histoscribe.expression.abundance_target import AbundanceTarget
    from histoscribe.expression.gene_target import GeneTarget

    return {GeneTarget.kind: GeneTarget, AbundanceTarget.kind: AbundanceTarget}


def make_target(kind: str, **options: Any) -> Target:
    """Make an unfitted target by name.

    Parameters
    ----------
    kind
        "genes" or "abundance".
    options
        Of `GeneTarget` or `AbundanceTarget`.

    Raises
    ------
    ConfigError
        An unknown kind or option, or an option's value that cannot be.
    """
    kinds = _kinds()
    if kind not in kinds:
        raise ConfigError(f"there is no target called {kind!r}", where="target", fix=nearest(kind, kinds))
    known = kinds[kind].__dataclass_fields__
    for option in options:
        if option not in known:
            raise ConfigError(
                f"the target {kind!r} has no option {option!r}", where="target", fix=nearest(option, known)
            )
    target: Target = kinds[kind](**options)
    return target


def target_from_record(record: Mapping[str, Any]) -> Target:
    """Return the fitted target that a record describes; raises InputError where it describes none."""
    kinds = _kinds()
    if record.get("kind") not in kinds:
        raise InputError(
            "this record describes no target", where="target", expected=" or ".join(kinds), found=record.get("kind")
        )
    target: Target = kinds[record["kind"]].from_record(record)
    return target
