"""Which genes to predict, chosen on the training sections alone."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError, listing
from histoscribe.expression.measured import Measured
from histoscribe.expression.normalise import log_per_10k
from histoscribe.graph.moran import morans_i

# a gene seen on fewer spots has a Moran's I that three neighbouring spots decide
_SEEN_SHARE = 0.05


def shared_genes(sections: Sequence[Measured]) -> tuple[str, ...]:
    """Return the genes that all sections have, in the order of their names; raises InputError where there are none."""
    sets = [set(section.genes) for section in sections]
    shared = set.intersection(*sets)
    if not shared:
        raise InputError(
            "the sections share no genes",
            where=listing(section.name for section in sections),
            expected="the same names of genes in every section",
            found="; ".join(f"{section.name}: {listing(section.genes, 3)}" for section in sections[:3]),
            fix="use one kind of name, symbols or Ensembl identifiers, written alike (capitals too), and one species",
        )
    return tuple(sorted(shared))


def columns_of(section: Measured, genes: Sequence[str]) -> NDArray[np.intp]:
    """Column of each gene in the counts of a section, (t,); -1 where the section does not have it."""
    place = {gene: column for column, gene in enumerate(section.genes)}
    return np.array([place.get(gene, -1) for gene in genes], np.intp)


def counts_of(section: Measured, genes: Sequence[str]) -> sparse.csr_matrix:
    """Take the counts of some genes, (n, t); zero where the section does not have the gene."""
    columns = columns_of(section, genes)
    known = np.flatnonzero(columns >= 0)
    take = sparse.csr_matrix(
        (np.ones(len(known)), (columns[known], known)), shape=(len(section.genes), len(columns)), dtype=np.float64
    )
    return sparse.csr_matrix(section.require_counts() @ take)


def varying_genes(sections: Sequence[Measured], genes: Sequence[str]) -> NDArray[np.bool_]:
    """Whether a gene has two different counts anywhere in the sections, (t,)."""
    low, high = np.full(len(genes), np.inf), np.full(len(genes), -np.inf)
    for section in sections:
        counts = counts_of(section, genes).tocsc()
        low = np.minimum(low, counts.min(axis=0).toarray().ravel())
        high = np.maximum(high, counts.max(axis=0).toarray().ravel())
    return high > low


def mean_share(sections: Sequence[Measured], genes: Sequence[str]) -> NDArray[np.float64]:
    """Share of each gene in a section's molecules, averaged over sections so that each counts the same, (t,)."""
    shares = [
        np.asarray(counts_of(section, genes).sum(axis=0)).ravel() / max(float(section.molecules().sum()), 1.0)
        for section in sections
    ]
    mean: NDArray[np.float64] = np.mean(shares, axis=0)
    return mean


def spatial_variability(sections: Sequence[Measured], genes: Sequence[str]) -> NDArray[np.float64]:
    """Moran's I of ln(1 + counts per 10,000), averaged over sections, (t,); -inf for genes on too few spots.

    Raises
    ------
    InputError
        A section without neighbours.
    """
    total, seen = np.zeros(len(genes)), np.zeros(len(genes))
    for section in sections:
        if section.graph is None or section.graph.nnz == 0:
            raise InputError(
                "its spots have no neighbours, so nothing says which genes vary in space",
                where=section.where,
                fix="choose the most abundant genes, or give a list",
            )
        values = log_per_10k(counts_of(section, genes), library=section.molecules())
        total += morans_i(values, section.graph)
        seen += np.bincount(values.indices, minlength=len(genes)) / max(values.shape[0], 1)
    return np.where(seen / len(sections) >= _SEEN_SHARE, total / len(sections), -np.inf)
