"""Consensus of one method over seeds, numbers of domains and block weights, with how reproducible each domain is.

A division depends on choices that nobody can justify to the last digit. Here they are varied around the request. What
the divisions agree on is the result (`ensemble`), and each domain is reported with the share of the divisions in which
it is found again. For `niche` the embedding is computed once and only the clustering is repeated; there, another seed
leaves out other neighbours, because its mixture is deterministic and would give the same division again.

Examples
--------
>>> from histoscribe.domains.consensus import consensus
>>> from histoscribe.graph.lattice import lattice_graph
>>> from histoscribe.phantom import make_phantom
>>> spots = make_phantom(7, size_um=900.0, mpp=1.0, n_domains=3).spots()
>>> xy_um = spots.obsm["spatial"]  # one micron per pixel
>>> graph = lattice_graph(xy_um, kind="hex", pitch_um=100.0)
>>> found = consensus({"counts": spots.X}, method="niche", graph=graph, xy_um=xy_um, n_domains=3, seed=0)
>>> found.evidence["consensus"]["divisions"]
['as asked', 'seed 1', 'seed 2', '2 domains', '4 domains', 'counts x 0.5', 'counts x 2', 'depth x 0.5', 'depth x 2']
>>> {domain: round(share, 1) for domain, share in found.evidence["reproducibility"].items()}
{'1': 0.8, '2': 0.9, '3': 0.5}
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains import DOMAINS
from histoscribe.domains.affinity import EdgeWeight
from histoscribe.domains.clustering import Clustering, Divider
from histoscribe.domains.ensemble import agreed
from histoscribe.domains.histology import ordered
from histoscribe.domains.metrics import adjusted_rand_index, seed_pair_ari
from histoscribe.domains.niche import cut_niche, embed_niche
from histoscribe.domains.requests import check_number
from histoscribe.domains.result import DomainMethod, DomainResult
from histoscribe.graph.checks import sorted_by_place

N_SEEDS = 3
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
    **options: Any,
) -> DomainResult:
    """Divide a section many times by one method and return what the divisions agree on.

    Parameters
    ----------
    method
        Name of a registered domain method.
    blocks, graph, xy_um, n_domains, seed, weights
        As for `DomainMethod`. Without a number, the method's own choice at the first seed is taken.
    options
        Further arguments of the method.

    Returns
    -------
    DomainResult
        Confidence is the share of the divisions that put the spot together with most of its domain.
        `evidence["reproducibility"]` has for every domain the mean over the divisions of the Jaccard index with the
        domain most like it.

    Raises
    ------
    InputError, ConfigError
        As for `DomainMethod`, or there is no method of this name.
    """
    check_number(n_domains, len(xy_um))
    places = {"graph": graph, "xy_um": xy_um, "weights": weights}
    if method == "niche":
        divide, names = _niche_divider(blocks, asked=seed, n_domains=n_domains, **places, **options)
    else:
        # another method's own weights are not known here: its seeds and numbers are varied
        divide, names = partial(_divide, DOMAINS.get(method), blocks, **places, **options), []
    first = divide(n_domains=n_domains, seed=seed, factors={})
    k = int(first.evidence["n_domains"])
    members = [("as asked", first.labels)]
    members += list(_variants(divide, names, k=k, n_spots=len(xy_um), seed=seed))
    order = sorted_by_place(np.asarray(xy_um, np.float64))
    divisions = [np.unique(labels[order], return_inverse=True)[1] for _, labels in members]
    # the division as requested has no tiny domains, and the consensus is to have none either
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
    return DomainResult(named[back], confidence[back], evidence, first.latent)


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


def _divide(
    run: DomainMethod, blocks: Mapping[str, Any], *, factors: Mapping[str, float], **arguments: Any
) -> DomainResult:
    return run(blocks, **arguments)


def _niche_divider(
    blocks: Mapping[str, Any],
    *,
    asked: int,
    clustering: Clustering = "mixture",
    edge_weight: EdgeWeight | None = None,
    **arguments: Any,
) -> tuple[Divide, list[str]]:
    """Return what divides the section with other choices, and the names of the blocks with a weight."""
    embedding = embed_niche(blocks, **arguments)
    divider = Divider(clustering, edge_weight)

    def divide(*, n_domains: int | None, seed: int, factors: Mapping[str, float]) -> DomainResult:
        from threadpoolctl import threadpool_limits

        blocks = embedding.blocks.rescaled(factors)
        with threadpool_limits(limits=1):
            return cut_niche(
                replace(embedding, blocks=blocks),
                n_domains=n_domains,
                seed=seed,
                divider=divider,
                disturbed=seed != asked,
            )

    return divide, embedding.blocks.names
