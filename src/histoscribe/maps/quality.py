"""Quality control before a map is made: dead spots, spots with too few genes or too many molecules, rare genes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError
from histoscribe.expression.normalise import library_size

# VisiumHistologyReconstruction's
PUBLISHED: Mapping[str, int] = {"min_genes_per_spot": 200, "min_spots_per_gene": 3, "max_counts_per_spot": 30_000}
_LEAST_SPOTS = 18  # which any mapper can learn from


@dataclass(frozen=True, slots=True, eq=False)
class Quality:
    """What passes the quality control of a section.

    Parameters
    ----------
    spots, genes
        (n,) and (g,) bool.
    limits
        As of `PUBLISHED`; None or 0 for a limit that is not set.
    few_genes, many_counts
        How many spots are left out for having too few genes, and too many molecules; a spot may have both.
    dead
        How many are left out because their measurement failed.
    """

    spots: NDArray[np.bool_]
    genes: NDArray[np.bool_]
    limits: Mapping[str, int | None]
    few_genes: int
    many_counts: int
    dead: int

    def record(self) -> dict[str, Any]:
        """Return the limits and what they left out, fit for JSON."""
        return {
            "limits": dict(self.limits),
            "spots_left_out": int((~self.spots).sum()),
            "with_too_few_genes": self.few_genes,
            "with_too_many_counts": self.many_counts,
            "dead": self.dead,
            "genes_left_out": int((~self.genes).sum()),
        }

    def sentence(self) -> str:
        """Say what the limits left out, and why; of dead spots the reading of the section speaks."""
        why = []
        if self.limits["min_genes_per_spot"]:
            why.append(f"{self.few_genes:,} with fewer than {self.limits['min_genes_per_spot']:,} genes")
        if self.limits["max_counts_per_spot"]:
            why.append(f"{self.many_counts:,} with more than {self.limits['max_counts_per_spot']:,} molecules")
        said = []
        if why:
            left = int((~self.spots).sum()) - self.dead
            said.append(f"{left:,} of {len(self.spots) - self.dead:,} spots ({', '.join(why)})")
        if self.limits["min_spots_per_gene"]:
            least = self.limits["min_spots_per_gene"]
            said.append(f"{(~self.genes).sum():,} of {len(self.genes):,} genes (in fewer than {least:,} spots)")
        return f"quality control left out {' and '.join(said)}"


def passing(
    counts: sparse.csr_matrix, limits: Mapping[str, int | None], *, measured: NDArray[np.bool_], where: str
) -> Quality:
    """Say which spots and genes pass: spots are judged on all genes, then genes on the spots that passed.

    Parameters
    ----------
    counts
        (n, g) raw counts.
    limits
        Least genes of a spot, least spots of a gene, most molecules of a spot, by the names in `PUBLISHED`; None or 0
        for no limit.
    measured
        (n,) spots whose measurement did not fail.

    Raises
    ------
    InputError
        Where fewer spots are left than a map needs, or no gene.
    """
    found_in = counts > 0
    few = measured & (np.asarray(found_in.sum(axis=1)).ravel() < (limits["min_genes_per_spot"] or 0))
    many = measured & (library_size(counts) > (limits["max_counts_per_spot"] or np.inf))
    spots = measured & ~(few | many)
    genes = np.asarray(found_in[spots].sum(axis=0)).ravel() >= (limits["min_spots_per_gene"] or 0)
    found = Quality(spots, genes, limits, int(few.sum()), int(many.sum()), int((~measured).sum()))
    if spots.sum() < _LEAST_SPOTS or not genes.any():
        raise InputError(
            "quality control leaves too little to make a map from",
            where=where,
            expected=f"at least {_LEAST_SPOTS} spots, and genes",
            found=f"{spots.sum():,} spots, {genes.sum():,} genes; {found.dead:,} spots are dead; {found.sentence()}",
            fix="set the limits to what this assay counts: min_genes_per_spot, min_spots_per_gene, max_counts_per_spot",
        )
    return found
