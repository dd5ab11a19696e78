"""Several sections at once: the same domains, under the same numbers, in all of them.

Sections of different patients and stains differ in every feature, whatever the tissue. There are two ways to keep that
from becoming domains, and they can be combined: every feature is standardised within its section, or an adversary
must not be able to say from which section an embedding comes (Ganin and Lempitsky 2015, "Unsupervised domain adaptation
by backpropagation").
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains.affinity import EdgeWeight
from histoscribe.domains.clustering import Clustering, Divider
from histoscribe.domains.efnst import WEIGHTS, labelled
from histoscribe.domains.efnst_settings import EfnstSettings
from histoscribe.domains.expression import checked_counts
from histoscribe.domains.requests import checked_request
from histoscribe.domains.result import DomainResult
from histoscribe.errors import ConfigError, InputError, listing

Integration = Literal["standardised", "adversarial", "both"]
INTEGRATIONS: tuple[Integration, ...] = ("standardised", "adversarial", "both")
# sections lie so many of their own widths apart: no spot is near one of another section
_APART = 10.0


@dataclass(frozen=True, slots=True, eq=False)
class JointSection:
    """One of several sections.

    Parameters
    ----------
    name
        Of the section; no two have the same.
    blocks, graph, xy_um
        As for `DomainMethod`.
    genes
        Names of the columns of blocks["counts"]; empty where there are none.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.domains.joint import JointSection, joint_domains
    >>> from histoscribe.graph.lattice import lattice_graph
    >>> from histoscribe.phantom import cohort, make_phantom
    >>> sections = []
    >>> for phantom in cohort(2, like=make_phantom(7, size_um=1000.0, mpp=1.0, n_domains=3)):
    ...     spots = phantom.spots()
    ...     xy_um = spots.obsm["spatial"] * phantom.mpp
    ...     graph = lattice_graph(xy_um, kind="hex", pitch_um=100.0)
    ...     sections.append(JointSection(phantom.name, {"counts": spots.X}, graph, xy_um, tuple(spots.var_names)))
    >>> found = joint_domains(sections, n_domains=3, seed=0)
    >>> {name: np.unique(result.labels).tolist() for name, result in found.items()}
    {'P0S0': [1, 2, 3], 'P1S0': [1, 2, 3]}
    """

    name: str
    blocks: Mapping[str, Any]
    graph: sparse.csr_matrix
    xy_um: NDArray[np.float64]
    genes: Sequence[str] = ()


def joint_domains(
    sections: Sequence[JointSection],
    *,
    n_domains: int | None,
    seed: int,
    weights: Mapping[str, float] | None = None,
    settings: EfnstSettings | None = None,
    integration: Integration = "standardised",
    clustering: Clustering = "mixture",
    edge_weight: EdgeWeight | None = None,
) -> dict[str, DomainResult]:
    """Find the domains of several sections together with EfNST.

    Parameters
    ----------
    sections
        Two or more. Only the blocks that all of them have are used, and only the genes that all of them have.
    n_domains
        Number of domains over all sections, kept exactly; None to have it chosen. A section may lack some.
    seed, weights, settings
        As for `efnst`.
    integration
        How differences between sections are removed.
    clustering, edge_weight
        As for `efnst`.

    Returns
    -------
    dict
        Result of each section by name. A label means the same in all sections; 1 is the largest domain over all.

    Raises
    ------
    InputError
        Fewer than two sections, equal names, no block in common, no gene in common, or as for `DomainMethod`.
    ConfigError
        An unknown integration, or as for `DomainMethod`.
    """
    if integration not in INTEGRATIONS:
        raise ConfigError("there is no such integration", expected=listing(INTEGRATIONS), found=integration)
    settings = settings or EfnstSettings()
    weight = 0.0 if integration == "standardised" else settings.domain_weight or 1.0
    settings = replace(settings, domain_weight=weight)
    sections = sorted(_checked(sections), key=lambda section: section.name)
    sizes = [len(section.xy_um) for section in sections]
    request = checked_request(
        _joined_blocks(sections),
        graph=sparse.csr_matrix(sparse.block_diag([section.graph for section in sections])),
        xy_um=_side_by_side([np.asarray(section.xy_um, np.float64) for section in sections]),
        n_domains=n_domains,
        weights=weights,
        defaults=WEIGHTS,
    )
    number = np.repeat(np.arange(len(sections)), sizes)[request.order]
    scaling_group = np.zeros_like(number) if integration == "adversarial" else number
    found = labelled(
        request,
        section=number,
        scaling_group=scaling_group,
        n_domains=n_domains,
        seed=seed,
        settings=settings,
        divider=Divider(clustering, edge_weight),
    )
    evidence = found.evidence | {"sections": [section.name for section in sections], "integration": integration}
    found = replace(found, evidence=evidence)
    parts = np.split(np.argsort(request.order), np.cumsum(sizes)[:-1])
    return {section.name: found.rows(part) for section, part in zip(sections, parts, strict=True)}


def shared_genes(sections: Sequence[JointSection]) -> list[str]:
    """Genes that all sections have, sorted; raises InputError where there are none, or names stand twice."""
    for section in sections:
        if len(section.genes) != np.shape(section.blocks["counts"])[1] or len(set(section.genes)) != len(section.genes):
            raise InputError(
                "the genes' names do not fit the counts",
                where=f"section {section.name!r}",
                expected=f"{np.shape(section.blocks['counts'])[1]:,} names, each once",
                found=f"{len(section.genes):,}, {len(set(section.genes)):,} different",
            )
    shared = sorted(set.intersection(*(set(section.genes) for section in sections)))
    if not shared:
        raise InputError(
            "the sections have no gene in common",
            where="sections",
            found="; ".join(f"{section.name}: {listing(section.genes, 3)}" for section in sections),
            fix="give genes the same kind of name in all sections: symbols, or Ensembl identifiers",
        )
    return shared


def _checked(sections: Sequence[JointSection]) -> Sequence[JointSection]:
    names = [section.name for section in sections]
    if len(names) < 2 or len(set(names)) < len(names):
        raise InputError(
            "joint domains need two or more sections with different names", where="sections", found=listing(names)
        )
    for section in sections:
        n = len(section.xy_um)
        if section.graph.shape != (n, n) or any(np.shape(block)[0] != n for block in section.blocks.values()):
            raise InputError(
                "graph, blocks and coordinates have different numbers of spots",
                where=f"section {section.name!r}",
                expected=n,
                found={"graph": section.graph.shape[0], **{k: np.shape(b)[0] for k, b in section.blocks.items()}},
            )
    return sections


def _joined_blocks(sections: Sequence[JointSection]) -> dict[str, Any]:
    shared = sorted(set.intersection(*(set(section.blocks) for section in sections)))
    joined: dict[str, Any] = {}
    for name in shared:
        if name == "counts":
            genes = shared_genes(sections)
            joined[name] = sparse.csr_matrix(sparse.vstack([_of_genes(section, genes) for section in sections]))
            continue
        widths = {section.name: np.shape(section.blocks[name])[1] for section in sections}
        if len(set(widths.values())) > 1:
            raise InputError(f"the feature block {name!r} has another width in each section", found=widths)
        joined[name] = np.concatenate([np.asarray(section.blocks[name]) for section in sections])
    return joined


def _of_genes(section: JointSection, genes: Sequence[str]) -> sparse.csr_matrix:
    column = {gene: i for i, gene in enumerate(section.genes)}
    return checked_counts(section.blocks["counts"])[:, [column[gene] for gene in genes]]


def _side_by_side(places: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    widest = max(float(np.ptp(xy, axis=0).max()) for xy in places) + 1.0
    return np.concatenate([xy - xy.min(axis=0) + [i * _APART * widest, 0.0] for i, xy in enumerate(places)])
