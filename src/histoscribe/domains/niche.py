"""Domains from counts, picture and nuclei together: what a spot and its surroundings are made of. Linear in spots.

The chain: large sections pooled into cells (`pooling`), every block reduced to components and weighed by how much of it
is coherent in space (`niche_blocks`), averaged over neighbours with the spot's own part kept apart, clustered in every
view by Gaussian mixtures (`mixture`), or by Leiden (`partition`), brought to what the divisions agree on (`ensemble`),
and single doubtful outliers given to their surroundings (`refine`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains.affinity import affinity
from histoscribe.domains.ensemble import Agreed, agreed
from histoscribe.domains.histology import LARGEST_CHOSEN, SPOTS_PER_DOMAIN, ordered
from histoscribe.domains.mixture_cut import MixtureCut
from histoscribe.domains.niche_blocks import WEIGHTS, Embedding, View, embed_blocks
from histoscribe.domains.partition import Partitioner, membership
from histoscribe.domains.pooling import LARGE, Cells, averaged, make_cells, summed
from histoscribe.domains.refine import edge_lengths, refine
from histoscribe.domains.requests import Request, checked_request
from histoscribe.domains.result import DomainResult
from histoscribe.domains.stability import Cut, choose_number, thinned
from histoscribe.errors import ConfigError, listing
from histoscribe.graph.smooth import neighbour_mean

# of the mixtures that divide each view: with one volume for all domains, and with volumes halfway to their own
VOLUMES = (0.0, 0.5)
# a section has at least so many divisions; where there are fewer ways to look at it, some leave neighbours out
LEAST_DIVISIONS = 8
# so many of the divisions tell how stable a number is
_TELLING = 12
# a domain is no smaller than this share of the section where the section can be divided otherwise: what is smaller is
# more often a few odd spots than a tissue
_LEAST_SHARE = 0.01
# share of the squared distance that a spot has itself; the rest is its neighbours'
_OWN = 0.2
# told where several numbers are as good as each other
_HOLDING = "; of those as good, the largest at which the vote of the divisions leaves no domain without a place"
# a spot that fewer of the votes than these put where it is may go with its surroundings
_SURE = 0.75
# a gap wider than this many typical steps between neighbours is not tissue
_GAP = 1.5

Clustering = Literal["mixture", "leiden"]
CLUSTERINGS: tuple[Clustering, ...] = ("mixture", "leiden")


def niche(
    blocks: Mapping[str, Any],
    *,
    graph: sparse.csr_matrix,
    xy_um: NDArray[np.float64],
    n_domains: int | None,
    seed: int,
    weights: Mapping[str, float] | None = None,
    clustering: Clustering = "mixture",
) -> DomainResult:
    """Find domains by what spots and their surroundings are made of.

    Parameters
    ----------
    blocks
        "counts" (n, g) raw counts, sparse or dense; "image" (n, d) embedding; "nuclei" (n, d) features; "position"
        (n, 2), by default not used; any of them. Others need a weight.
    graph
        Spatial neighbours, (n, n) CSR, symmetric, from `histoscribe.graph`.
    xy_um
        Centres of the spots, (n, 2), x before y.
    n_domains
        Number of domains, obeyed exactly; None to choose one that disturbed repeats agree on.
    seed
        Of neighbours left out where a section can be looked at in a few ways only, and of Leiden. With counts and the
        mixture every seed gives the same number and the same domains. The result depends neither on the order of the
        rows nor on the number of threads.
    weights
        Weight by block name, over `WEIGHTS`; "depth", which goes with the counts, can be named too.
    clustering
        What divides each view: "mixture", or "leiden" on the graph of the spots nearest in features and in place.

    Returns
    -------
    DomainResult
        Confidence is the share of the divisions that put the spot together with most of its domain.

    Raises
    ------
    InputError
        Fewer than three spots, parts that do not fit each other, or nothing that tells spots apart.
    ConfigError
        A number of domains that cannot be had, a weight for a block that is not there, or another clustering.
    """
    from threadpoolctl import threadpool_limits

    # more threads would add up in another order, and a rounding can move a spot
    with threadpool_limits(limits=1):
        embedding = embed_niche(blocks, graph=graph, xy_um=xy_um, n_domains=n_domains, weights=weights)
        return cut_niche(embedding, n_domains=n_domains, seed=seed, clustering=clustering)


def niche_leiden(
    blocks: Mapping[str, Any],
    *,
    graph: sparse.csr_matrix,
    xy_um: NDArray[np.float64],
    n_domains: int | None,
    seed: int,
    weights: Mapping[str, float] | None = None,
) -> DomainResult:
    """`niche` with Leiden in place of the mixture; arguments, result and errors as there."""
    return niche(blocks, graph=graph, xy_um=xy_um, n_domains=n_domains, seed=seed, weights=weights, clustering="leiden")


@dataclass(frozen=True, slots=True, eq=False)
class NicheEmbedding:
    """What every division of one section shares.

    Parameters
    ----------
    request
        The section's spots, sorted by place.
    cells
        How the spots were pooled; None where they were not.
    blocks
        Components of all blocks of the units, which are spots or cells.
    graph
        Neighbours of the units.
    """

    request: Request
    cells: Cells | None
    blocks: Embedding
    graph: sparse.csr_matrix

    def surroundings(self, view: View, *, graph: sparse.csr_matrix) -> NDArray[np.float64]:
        """Each unit's components, half its own, half its neighbours', beside those of its surroundings; (units, 2 d).

        Where the view has pooled the counts of neighbours, the former are as they are.

        Parameters
        ----------
        view
            One of the blocks' views.
        graph
            Neighbours of the units, or some of them.
        """
        around = neighbour_mean(graph, view.X, own_share=_OWN)
        own = view.X if view.pooled else neighbour_mean(graph, view.X)
        return np.hstack([np.sqrt(_OWN) * own, np.sqrt(1 - _OWN) * around])

    @property
    def least(self) -> float:
        """Units that a domain should have: those that one odd unit reaches when all are averaged, or a share of all."""
        graph = self.graph
        around = sparse.csr_matrix(graph + graph @ graph)
        reached = float(np.median(np.diff(around.indptr)))
        return max(reached, _LEAST_SHARE * float(graph.shape[0]))

    def to_spots(
        self, labels: NDArray[np.int64], share: sparse.csr_matrix
    ) -> tuple[NDArray[np.int64], sparse.csr_matrix]:
        """Bring labels (units,) and shares (units, K) of units to spots: (n,) and (n, K)."""
        if self.cells is None:
            return labels, share
        between = self.cells.between
        spots = np.asarray((between @ membership(labels)).argmax(axis=1)).ravel().astype(np.int64)
        if len(np.unique(spots)) < len(np.unique(labels)):  # a domain of one small cell: no interpolation then
            return labels[self.cells.cell], share[self.cells.cell]
        return spots, sparse.csr_matrix(between @ share)


def embed_niche(
    blocks: Mapping[str, Any],
    *,
    graph: sparse.csr_matrix,
    xy_um: NDArray[np.float64],
    n_domains: int | None,
    weights: Mapping[str, float] | None = None,
) -> NicheEmbedding:
    """Do once what every division of a section shares; the arguments are those of `niche`."""
    told = dict(weights or {})
    depth = told.pop("depth", WEIGHTS["depth"]) if "counts" in blocks else 0.0
    request = checked_request(blocks, graph=graph, xy_um=xy_um, n_domains=n_domains, weights=told, defaults=WEIGHTS)
    weighed = {**request.weights, "depth": depth}
    if len(request.order) <= LARGE:
        rows = {name: request.rows(name) for name in blocks}
        return NicheEmbedding(request, None, embed_blocks(rows, graph=request.graph, weights=weighed), request.graph)
    cells = make_cells(request.xy_um)
    pooled = {
        name: summed(block, cells, request.order) if name == "counts" else averaged(request.rows(name), cells)
        for name, block in request.blocks.items()
    }
    return NicheEmbedding(
        request, cells, embed_blocks(pooled, graph=cells.graph, weights=weighed, pool=False), cells.graph
    )


def cuts_of(
    embedding: NicheEmbedding,
    *,
    seed: int,
    clustering: Clustering = "mixture",
    disturbed: bool = False,
    telling: bool = False,
) -> Iterator[Cut]:
    """Divisions of a section, ready to be cut into any number of domains: every view by every kind of mixture.

    Where those are few, they are done again with half of the neighbours left out.

    Parameters
    ----------
    seed
        Of the neighbours left out, and of Leiden.
    clustering
        As for `niche`. Leiden, which is slow, is given a part of the views.
    disturbed
        Whether all divisions leave out neighbours.
    telling
        Whether to take a part of the views and to start by chance, so that the divisions tell what the data leave open.
    """
    # starts by chance are slow with volumes, and one kind of mixture tells what holds
    kinds = VOLUMES if clustering == "mixture" and not telling else VOLUMES[:1]
    plan = [(view, volume) for view in embedding.blocks.views for volume in kinds]
    if clustering == "leiden" or telling:
        plan = _spread(plan, _TELLING if telling else LEAST_DIVISIONS)
    children = np.random.SeedSequence(seed).spawn(max(len(plan), LEAST_DIVISIONS))
    for i, child in enumerate(children):
        view, volume = plan[i % len(plan)]
        whole = i < len(plan) and not disturbed
        graph = embedding.graph if whole else thinned(embedding.graph, np.random.default_rng(child))
        X = embedding.surroundings(view, graph=graph)
        if clustering == "leiden":
            # the random generator that scikit-network uses takes seeds below 2**32
            yield Partitioner(affinity(X, graph=embedding.graph), X, seed=(seed + i) % 2**32)
        else:
            yield MixtureCut(X, least=embedding.least, volume=volume, seed=i if telling else None)


def cut_niche(
    embedding: NicheEmbedding,
    *,
    n_domains: int | None,
    seed: int,
    clustering: Clustering = "mixture",
    disturbed: bool = False,
) -> DomainResult:
    """Divide a section into domains; the arguments are those of `niche` and `cuts_of`."""
    if clustering not in CLUSTERINGS:
        raise ConfigError(
            "there is no such clustering", where="clustering", expected=listing(CLUSTERINGS), found=clustering
        )
    request = embedding.request
    method = "niche" if clustering == "mixture" else f"niche-{clustering}"
    evidence: dict[str, Any] = {"method": method, "seed": seed, "requested": n_domains}
    evidence["blocks"] = embedding.blocks.record
    cuts = list(cuts_of(embedding, seed=seed, clustering=clustering, disturbed=disturbed))
    if n_domains is None:
        few = list(cuts_of(embedding, seed=seed, clustering=clustering, telling=True))
        choice = choose_number(few, largest=largest_number(len(request.xy_um)), finest=True)
        numbers = sorted(choice["as_good"], reverse=True) if choice["agreed"] else [choice["chosen"]]
        k, vote = _voted(cuts, numbers, least=embedding.least)
        evidence["choice"] = choice | {"chosen": k, "rule": choice["rule"] + (_HOLDING if len(numbers) > 1 else "")}
    else:
        k, vote = _voted(cuts, [n_domains], least=embedding.least)
    voted, share = embedding.to_spots(vote.labels, vote.share)
    max_um = _GAP * float(np.median(edge_lengths(request.graph, request.xy_um)))
    firm = np.asarray(share[np.arange(len(voted)), voted]).ravel() >= _SURE
    refined = refine(voted, graph=request.graph, xy_um=request.xy_um, max_um=max_um, firm=firm)
    confidence = np.asarray(share[np.arange(len(refined)), refined]).ravel()
    evidence |= {
        "n_domains": int(k),
        "divisions": len(cuts),
        "all_domains_hold": vote.holds,
        "units": int(embedding.graph.shape[0]),
        "least_units": round(embedding.least, 1),
        "refined_spots": int((refined != voted).sum()),
        "refine_max_um": max_um,
        "mean_confidence": round(float(confidence.mean()), 4),
    }
    if clustering == "mixture":
        evidence["volumes"] = list(VOLUMES)
    back = np.argsort(request.order)
    return DomainResult(ordered(refined)[back], np.clip(confidence, 0.0, 1.0)[back], evidence)


def _voted(cuts: Sequence[Cut], numbers: Sequence[int], *, least: float) -> tuple[int, Agreed]:
    """Vote of the divisions into the first of the numbers at which every domain holds, or into the first of all."""
    votes = []
    for k in numbers:
        votes.append((k, agreed([cut.exactly(k)[0] for cut in cuts], k, least=least)))
        if votes[-1][1].holds:
            return votes[-1]
    return votes[0]


def _spread(items: Sequence[Any], n: int) -> list[Any]:
    """At most n of the items, evenly spread."""
    return [items[i] for i in np.unique(np.linspace(0, len(items) - 1, min(n, len(items))).round().astype(int))]


def largest_number(n_spots: int) -> int:
    """Largest number of domains that is chosen for a section; a larger one can be asked for."""
    return max(min(2, n_spots - 1), min(LARGEST_CHOSEN, n_spots // SPOTS_PER_DOMAIN))
