"""Counts of the chosen genes on one section, with the molecules that they are shares of."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """Counts as shares of a total.

    Parameters
    ----------
    counts
        (n, t) raw counts of the targets, CSR.
    total
        (n,) molecules that a count is a share of: of the whole library, or of the chosen genes.
    """

    counts: sparse.csr_matrix
    total: NDArray[np.float64]

    def rows(self, index: NDArray[np.intp]) -> "Counted":
        """Return the same for some of the spots only."""
        return Counted(self.counts[index], self.total[index])

    def columns(self, some: slice) -> NDArray[np.float64]:
        """Return the counts of some targets, (n, k)."""
        return np.asarray(self.counts[:, some].toarray(), np.float64)

    def thinned(self, share: float, rng: np.random.Generator) -> "Counted":
        """Keep every molecule with the probability `share`: the section as if it had been sequenced less deeply."""
        thin = self.counts.copy()
        thin.data = rng.binomial(np.rint(self.counts.data).astype(np.int64), share).astype(np.float64)
        rest = np.rint(self.total - np.asarray(self.counts.sum(axis=1)).ravel()).clip(0).astype(np.int64)
        return Counted(thin, np.asarray(thin.sum(axis=1)).ravel() + rng.binomial(rest, share))

    @classmethod
    def stacked(cls, parts: Sequence["Counted"]) -> Self:
        """Put sections one after the other."""
        counts = sparse.vstack([part.counts for part in parts], format="csr")
        return cls(counts, np.concatenate([part.total for part in parts]))
