"""One method over seeds, numbers of domains and block weights: what all of it agrees on, and how far each domain holds.

A division depends on choices that nobody can justify to the last digit. Here they are varied around what was asked for;
what they agree on is the result (`ensemble`), and each domain is told with the share of the divisions in which it is
found again. For `niche` the embedding is computed once and only the clustering is repeated; another seed means there
that other neighbours are left out, because a mixture that draws nothing would tell the same division again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains import DOMAINS
from histoscribe.domains.ensemble import agreed
from histoscribe.domains.histology import ordered
from histoscribe.domains.metrics import adjusted_rand_index, seed_pair_ari
from histoscribe.domains.niche import Clustering, NicheEmbedding, cut_niche, embed_niche
from histoscribe.domains.requests import check_number
from histoscribe.domains.result import DomainResult
from histoscribe.graph.checks import sorted_by_place

N_SEEDS = 3
# what divides the views, by the name of the method
NICHE: dict[str, Clustering] = {"niche": "mixture", "niche-leiden": "leiden"}
# a block's weight is multiplied by each of these in turn, the other blocks staying as they are
_FACTORS = (0.5, 2.0)

Divide = Callable[..., DomainResult]


def consensus(
    blocks: Mapping[str, Any],
    *,
    method: str,
    graph: sparse.csr_matrix,
    xy_um: NDArray[np.float64],
    n_domains: int | None,
    seed: int,
    weights: Mapping[str, float] | None = None,
) -> DomainResult:
    """Divide a section many times by one method and return what the divisions agree on.

    Parameters
    ----------
    method
        Name of a registered domain method.
    blocks, graph, xy_um, n_domains, seed, weights
        As for `DomainMethod`. Without a number, the method's own choice at the first seed is taken.

    Returns
    -------
    DomainResult
        Confidence is the share of the divisions that put the spot together with most of its domain.
        `evidence["reproducibility"]` has for every domain the mean over the divisions of the Jaccard index with the
        domain most like it.

    Raises
    ------
    InputError, ConfigError
        As for `DomainMethod`; no method of this name.
    """
    check_number(n_domains, len(xy_um))
    divide, names = _divider(method, blocks, graph=graph, xy_um=xy_um, n_domains=n_domains, weights=weights, seed=seed)
    first = divide(n_domains=n_domains, seed=seed, factors={})
    k = int(first.evidence["n_domains"])
    members = [("as asked", first.labels)]
    members += list(_variants(divide, names, k=k, n_spots=len(xy_um), seed=seed))
    order = sorted_by_place(np.asarray(xy_um, np.float64))
    divisions = [np.unique(labels[order], return_inverse=True)[1] for _, labels in members]
    # the division as asked has no crumbs, and the consensus is to have none either
    vote = agreed(divisions, k, least=np.bincount(first.labels)[1:].min() / 2)
    labels, share = vote.labels, vote.share
    named = ordered(labels)
    confidence = np.asarray(share[np.arange(len(labels)), labels]).ravel()
    seeds = [one for one, (name, _) in zip(divisions, members, strict=True) if _is_seed(name)]
    evidence = first.evidence | {
        "consensus": {
            "divisions": [name for name, _ in members],
            "agreement": [round(adjusted_rand_index(one, labels), 4) for one in divisions],
            "seed_pair_ari": round(seed_pair_ari(seeds), 4),
        },
        "reproducibility": {str(j): share for j, share in enumerate(reproducibility(named - 1, divisions), 1)},
        "mean_confidence": round(float(confidence.mean()), 4),
    }
    back = np.argsort(order)
    return DomainResult(named[back], confidence[back], evidence)


def reproducibility(labels: NDArray[np.int64], divisions: Sequence[NDArray[np.integer]]) -> list[float]:
    """Mean Jaccard index of each domain 0, 1, ... of `labels`, (n,), with the one most like it in each division."""
    k = int(labels.max()) + 1
    size = np.bincount(labels, minlength=k)
    best = []
    for one in divisions:
        together = np.zeros((k, int(one.max()) + 1))
        np.add.at(together, (labels, one), 1)
        union = size[:, None] + np.bincount(one) - together
        best.append((together / union).max(axis=1))
    return [round(float(value), 4) for value in np.mean(best, axis=0)]


def _variants(
    divide: Divide, names: Sequence[str], *, k: int, n_spots: int, seed: int
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    for other in range(1, N_SEEDS):
        yield f"seed {seed + other}", divide(n_domains=k, seed=seed + other, factors={}).labels
    for number in (k - 1, k + 1):
        if 2 <= number <= n_spots:
            yield f"{number} domains", divide(n_domains=number, seed=seed, factors={}).labels
    if len(names) < 2:  # the weight of a block that is alone changes nothing
        return
    for name in names:
        for factor in _FACTORS:
            yield f"{name} x {factor:g}", divide(n_domains=k, seed=seed, factors={name: factor}).labels


def _is_seed(name: str) -> bool:
    return name == "as asked" or name.startswith("seed ")


def _divider(
    method: str,
    blocks: Mapping[str, Any],
    *,
    graph: sparse.csr_matrix,
    xy_um: NDArray[np.float64],
    n_domains: int | None,
    weights: Mapping[str, float] | None,
    seed: int,
) -> tuple[Divide, list[str]]:
    """Return what divides the section again with other choices, and the names of the blocks whose weight counts."""
    if method in NICHE:
        embedding = embed_niche(blocks, graph=graph, xy_um=xy_um, n_domains=n_domains, weights=weights)
        return _niche_divider(embedding, NICHE[method], seed)
    run = DOMAINS.get(method)

    def divide(*, n_domains: int | None, seed: int, factors: Mapping[str, float]) -> DomainResult:
        return run(blocks, graph=graph, xy_um=xy_um, n_domains=n_domains, seed=seed, weights=weights)

    # another method's own weights are not known here: its seeds and numbers are varied
    return divide, []


def _niche_divider(embedding: NicheEmbedding, clustering: Clustering, asked: int) -> tuple[Divide, list[str]]:
    def divide(*, n_domains: int | None, seed: int, factors: Mapping[str, float]) -> DomainResult:
        from threadpoolctl import threadpool_limits

        blocks = embedding.blocks.rescaled(factors)
        with threadpool_limits(limits=1):
            return cut_niche(
                replace(embedding, blocks=blocks),
                n_domains=n_domains,
                seed=seed,
                clustering=clustering,
                disturbed=seed != asked,
            )

    return divide, embedding.blocks.names
