"""What was measured on one section, as arrays: the input of targets, ceilings and scores."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError, listing
from histoscribe.expression.checks import check_counts
from histoscribe.expression.normalise import library_size


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """What was measured on the n spots of one section.

    Parameters
    ----------
    name
        The section's.
    counts
        (n, g) raw counts, CSR; None where no genes were measured.
    genes
        (g,) their names, no name twice.
    library
        (n,) molecules per spot over the whole library; None where `counts` holds all genes, then the row sums.
    abundance
        (n, c) abundance of cell types, or None.
    cell_types
        (c,) their names.
    graph
        (n, n) spatial neighbours, CSR, or None.

    Raises
    ------
    InputError
        The parts differ in their numbers of spots, genes or cell types, or a name stands twice.
    """

    name: str
    counts: sparse.csr_matrix | None = None
    genes: tuple[str, ...] = ()
    library: NDArray[np.float64] | None = None
    abundance: NDArray[np.float64] | None = None
    cell_types: tuple[str, ...] = ()
    graph: sparse.csr_matrix | None = None

    def __post_init__(self) -> None:
        """Check that the parts belong to each other."""
        rows = {
            part: value.shape[0]
            for part in ("counts", "library", "abundance", "graph")
            if (value := getattr(self, part)) is not None
        }
        if len(set(rows.values())) > 1:
            raise InputError(
                "its tables have different numbers of spots",
                where=self.where,
                expected="one row per spot in every table, in one order",
                found=listing(f"{part} {n:,}" for part, n in rows.items()),
                fix="give tables of the same spots, joined by barcode",
            )
        for what, matrix, names in (
            ("counts", self.counts, self.genes),
            ("abundance", self.abundance, self.cell_types),
        ):
            width = 0 if matrix is None else matrix.shape[1]
            if width != len(names):
                raise InputError(
                    f"the columns of {what} and their names differ in number",
                    where=self.where,
                    expected=f"{width:,} names",
                    found=f"{len(names):,}",
                )
            if len(set(names)) < len(names):
                twice = sorted({name for name in names if names.count(name) > 1}) if len(names) < 500 else []
                raise InputError(
                    f"names of {what} stand more than once",
                    where=self.where,
                    found=listing(twice) if twice else None,
                    fix="sum or drop the columns that share a name",
                )

    @property
    def where(self) -> str:
        """What an error calls this section."""
        return f"section {self.name!r}"

    @property
    def n_spots(self) -> int:
        """Number of spots."""
        parts = (self.counts, self.abundance, self.library, self.graph)
        return next((part.shape[0] for part in parts if part is not None), 0)

    def molecules(self) -> NDArray[np.float64]:
        """Molecules per spot over the whole library, (n,); raises InputError where nothing was counted."""
        return library_size(self.require_counts()) if self.library is None else np.asarray(self.library, np.float64)

    def depth(self) -> NDArray[np.float64]:
        """ln(1 + molecules per spot), (n,)."""
        return np.log1p(self.molecules())

    def require_counts(self) -> sparse.csr_matrix:
        """Return the counts, or say that there are none or that they are no counts; raises InputError."""
        if self.counts is None or self.counts.shape[1] == 0:
            raise InputError(
                "no genes were counted on this section",
                where=self.where,
                expected="a matrix of raw counts",
                fix="give the counts, or choose cell-type abundances as the target",
            )
        check_counts(self.counts, where=self.where)
        return self.counts
