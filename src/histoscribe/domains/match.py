"""Domains matched across sections: which domain of one section is which of another.

A domain is described by how its mean expression differs from its own section's. Depth, stain and batch of a section
shift all its domains alike and so do not count. Domains of different sections are one if their profiles agree.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains.partition import membership
from histoscribe.errors import InputError, listing
from histoscribe.expression.normalise import log_per_10k

# genes that carry the profile: those that differ most between the domains of any section
N_GENES = 500
# fewer shared genes than this show nothing
_FEWEST_GENES = 10
# profiles that agree less than this are different domains
SIMILAR = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Profiles:
    """Mean expression of the domains of one section.

    Parameters
    ----------
    domains
        (K,) their numbers.
    mean
        (K, g) mean ln(1 + counts per 10,000), less the mean of the domains.
    genes
        (g,) names.
    """

    domains: NDArray[np.int64]
    mean: NDArray[np.float64]
    genes: tuple[str, ...]


def domain_profiles(counts: Any, labels: NDArray[np.integer], *, genes: Sequence[str]) -> Profiles:
    """Describe the domains of one section by their expression.

    Parameters
    ----------
    counts
        (n, g) raw counts, sparse.
    labels
        (n,) domains.
    genes
        (g,) names.

    Examples
    --------
    >>> from histoscribe.domains.match import domain_profiles, match_domains
    >>> from histoscribe.phantom import cohort, make_phantom
    >>> patients = cohort(2, like=make_phantom(7, size_um=1200.0, mpp=1.0, n_domains=3))
    >>> measured = {phantom.name: phantom.spots() for phantom in patients}
    >>> profiles = {n: domain_profiles(s.X, s.obs["domain_index"], genes=s.var_names) for n, s in measured.items()}
    >>> print(match_domains(profiles).round(2).to_string(index=False))
    section  domain  matched  similarity
       P0S0       0        1        0.97
       P0S0       1        2        0.98
       P0S0       2        3        0.96
       P1S0       0        1        0.97
       P1S0       1        2        0.98
       P1S0       2        3        0.96
    """
    names, code = np.unique(labels, return_inverse=True)
    mean_of = sparse.diags(1 / np.bincount(code)) @ membership(code).T
    mean = np.asarray((mean_of @ log_per_10k(counts)).todense(), np.float64)
    return Profiles(names.astype(np.int64), mean - mean.mean(axis=0), tuple(str(gene) for gene in genes))


def match_domains(sections: Mapping[str, Profiles], *, similar: float = SIMILAR) -> pd.DataFrame:
    """Give domains of several sections common names.

    The similarity of two domains is Pearson's correlation of their profiles over shared genes. Domains are joined from
    the most similar pair on, groups by the mean similarity of their members, never two domains of one section, and
    never below `similar`: a domain that only one section has stays alone.

    Parameters
    ----------
    sections
        Name of each section to its profiles.
    similar
        Least mean correlation of one domain's profiles.

    Returns
    -------
    One row per section and domain: `section`, `domain`, `matched` (1, 2, ... common to all sections, the one in most
    sections first) and `similarity`, the mean correlation with its matched domains, NaN where it stays alone.

    Raises
    ------
    InputError
        Fewer than two sections, or sections that share hardly any genes.
    """
    if len(sections) < 2:
        raise InputError("domains are matched between two sections or more", where="sections", found=len(sections))
    shared = sorted(set.intersection(*(set(one.genes) for one in sections.values())))
    if len(shared) < _FEWEST_GENES:
        raise InputError(
            "the sections share too few genes to match their domains",
            where="sections",
            expected=f"{_FEWEST_GENES} or more genes of the same name in all of {listing(sections)}",
            found=f"{len(shared)}: {listing(shared)}; "
            + "; ".join(f"{n}: {listing(p.genes, 3)}" for n, p in sections.items()),
            fix="give all sections the same kind of gene names (symbols, or Ensembl ids), of one organism",
        )
    owner, domain, stacked = _stacked(sections, shared)
    similarity = np.asarray(np.nan_to_num(np.corrcoef(stacked), nan=0.0), np.float64)
    groups = _joined(similarity, owner, similar)
    rows = []
    for number, group in enumerate(groups, 1):
        for i in group:
            others = [similarity[i, j] for j in group if j != i]
            own = float(np.mean(others)) if others else float("nan")
            rows.append((list(sections)[owner[i]], int(domain[i]), number, round(own, 4)))
    table = pd.DataFrame(rows, columns=["section", "domain", "matched", "similarity"])
    place = {name: i for i, name in enumerate(sections)}
    return table.sort_values(
        ["section", "domain"], key=lambda c: c.map(place) if c.name == "section" else c, ignore_index=True
    )


def _stacked(
    sections: Mapping[str, Profiles], shared: Sequence[str]
) -> tuple[NDArray[np.intp], NDArray[np.int64], NDArray[np.float64]]:
    """Section, domain and profile of all domains, over the shared genes that differ most between domains."""
    parts, spread = [], np.zeros(len(shared))
    for one in sections.values():
        column = {gene: i for i, gene in enumerate(one.genes)}
        part = one.mean[:, [column[gene] for gene in shared]]
        parts.append(part)
        spread = np.maximum(spread, part.std(axis=0))
    kept = np.sort(np.argsort(-spread, kind="stable")[:N_GENES])
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    return owner, np.concatenate([one.domains for one in sections.values()]), np.vstack(parts)[:, kept]


def _joined(similarity: NDArray[np.float64], owner: NDArray[np.intp], similar: float) -> list[list[int]]:
    groups = [[i] for i in range(len(owner))]
    while True:
        best, pair = similar, None
        for a in range(len(groups)):
            for b in range(a):
                if {owner[i] for i in groups[a]} & {owner[i] for i in groups[b]}:
                    continue
                mean = float(similarity[np.ix_(groups[a], groups[b])].mean())
                if mean > best:
                    best, pair = mean, (b, a)
        if pair is None:
            return sorted(groups, key=lambda group: (-len(group), group[0]))
        groups[pair[0]] = sorted(groups[pair[0]] + groups.pop(pair[1]))
