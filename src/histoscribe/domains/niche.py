"""Domains from counts, picture and nuclei together: what a spot and its surroundings are made of. Linear in spots.

The chain: large sections pooled into cells (`pooling`), every block reduced to components and weighed by how much of it
is coherent in space (`niche_blocks`), averaged over neighbours with the spot's own part kept apart, clustered in every
view by Gaussian mixtures (`mixture`) or into communities (`partition`), brought to what the divisions agree on
(`ensemble`), and single doubtful outliers given to their surroundings (`refine`).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains.affinity import EdgeWeight
from histoscribe.domains.clustering import Clustering, Cut, Divider
from histoscribe.domains.ensemble import Agreed, agreed
from histoscribe.domains.histology import LARGEST_CHOSEN, SPOTS_PER_DOMAIN, ordered
from histoscribe.domains.niche_blocks import WEIGHTS, Embedding, View, embed_blocks
from histoscribe.domains.partition import membership
from histoscribe.domains.pooling import Cells, averaged, is_large, make_cells, summed
from histoscribe.domains.refine import edge_lengths, refine
from histoscribe.domains.requests import Request, checked_request
from histoscribe.domains.result import DomainResult
from histoscribe.domains.stability import choose_number, thinned
from histoscribe.graph.smooth import neighbour_mean

# of the mixtures that divide each view: with one volume for all domains, and with volumes halfway to their own
VOLUMES = (0.0, 0.5)
# a section has at least so many divisions; where there are fewer ways to look at it, some leave neighbours out
LEAST_DIVISIONS = 8
# so many divisions measure how stable a number is
_STABILITY_DIVISIONS = 12
# a domain is no smaller than this share of the section where another division is possible: what is smaller is more
# often a few odd spots than a tissue
_LEAST_SHARE = 0.01
# a spot's own share of the squared distance; the rest is its neighbours'
_OWN = 0.2
# added to the recorded rule where several numbers are equally good
_HOLDING = "; of those as good, the largest at which the vote of the divisions leaves no domain without a place"
# a spot with a smaller share of votes for its domain than this may go with its surroundings
_SURE = 0.75
# a gap wider than this many typical steps between neighbours is not tissue
_GAP = 1.5

_MIXTURE = Divider("mixture")


def niche(
    blocks: Mapping[str, Any],
    *,
    graph: sparse.csr_matrix,
    xy_um: NDArray[np.float64],
    n_domains: int | None,
    seed: int,
    weights: Mapping[str, float] | None = None,
    components: int | None = None,
    clustering: Clustering = "mixture",
    edge_weight: EdgeWeight | None = None,
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
        Number of domains, kept exactly; None to choose one that disturbed repeats agree on.
    seed
        Decides which neighbours are left out where a section has only a few views. With counts every seed gives the
        same number and the same domains. The result depends neither on the order of the rows nor on the number of
        threads.
    weights
        Weight by block name, over `WEIGHTS`; "depth", which goes with the counts, can be named too.
    components
        Principal components kept of each block, in every view; views with 10, 20 and 40 of the counts, and 50 of other
        blocks, where not given.
    clustering
        What divides every view: a "mixture" of Gaussians, or communities by "leiden" or "louvain", of the graph of the
        spots nearest in features and in place.
    edge_weight
        How edges of that graph are weighed, see `affinity`; "gaussian" where not given.

    Returns
    -------
    DomainResult
        Confidence is the share of the divisions that put the spot together with most of its domain.

    Raises
    ------
    InputError
        Fewer than three spots, parts that do not fit each other, or no difference between spots.
    ConfigError
        A number of domains that cannot be had, or a weight for a block that is not there.

    Examples
    --------
    >>> from histoscribe.domains.niche import niche
    >>> from histoscribe.graph.lattice import lattice_graph
    >>> from histoscribe.phantom import make_phantom
    >>> spots = make_phantom(7, size_um=1200.0, mpp=1.0, n_domains=3).spots()
    >>> xy_um = spots.obsm["spatial"]  # one micron per pixel
    >>> graph = lattice_graph(xy_um, kind="hex", pitch_um=100.0)
    >>> found = niche({"counts": spots.X}, graph=graph, xy_um=xy_um, n_domains=3, seed=0)
    >>> found.labels.shape, found.evidence["n_domains"], found.evidence["divisions"]
    ((110,), 3, 18)
    """
    from threadpoolctl import threadpool_limits

    # more threads would add up in another order, and rounding could change a spot's domain
    with threadpool_limits(limits=1):
        embedding = embed_niche(
            blocks, graph=graph, xy_um=xy_um, n_domains=n_domains, weights=weights, components=components
        )
        divider = Divider(clustering, edge_weight)
        return cut_niche(embedding, n_domains=n_domains, seed=seed, divider=divider)


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
        """Units that a domain should have: as many as averaging spreads one odd unit over, or a share of all."""
        graph = self.graph
        around = sparse.csr_matrix(graph + graph @ graph)
        reached = float(np.median(np.diff(around.indptr)))
        return max(reached, _LEAST_SHARE * float(graph.shape[0]))

    def latent(self) -> NDArray[np.float32]:
        """Features of the spots by which the first view divides them, (n, 2 d)."""
        X = self.surroundings(self.blocks.views[0], graph=self.graph)
        return np.asarray(X if self.cells is None else self.cells.between @ X, np.float32)

    def to_spots(
        self, labels: NDArray[np.int64], share: sparse.csr_matrix
    ) -> tuple[NDArray[np.int64], sparse.csr_matrix]:
        """Map labels (units,) and shares (units, K) of units to spots: (n,) and (n, K)."""
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
    components: int | None = None,
) -> NicheEmbedding:
    """Compute once what every division of a section shares; the arguments are those of `niche`."""
    given = dict(weights or {})
    depth = given.pop("depth", WEIGHTS["depth"]) if "counts" in blocks else 0.0
    request = checked_request(blocks, graph=graph, xy_um=xy_um, n_domains=n_domains, weights=given, defaults=WEIGHTS)
    weighed = {**request.weights, "depth": depth}
    if not is_large(request.xy_um):
        rows = {name: request.rows(name) for name in blocks}
        embedded = embed_blocks(rows, graph=request.graph, weights=weighed, n_components=components)
        return NicheEmbedding(request, None, embedded, request.graph)
    cells = make_cells(request.xy_um)
    pooled = {
        name: summed(block, cells, request.order) if name == "counts" else averaged(request.rows(name), cells)
        for name, block in request.blocks.items()
    }
    embedded = embed_blocks(pooled, graph=cells.graph, weights=weighed, n_components=components, pool=False)
    return NicheEmbedding(request, cells, embedded, cells.graph)


def cuts_of(
    embedding: NicheEmbedding,
    *,
    seed: int,
    divider: Divider = _MIXTURE,
    disturbed: bool = False,
    for_stability: bool = False,
) -> Iterator[Cut]:
    """Divisions of a section, ready to be cut into any number of domains: every view by every kind of mixture.

    Where those are few, they are done again with half of the neighbours left out.

    Parameters
    ----------
    seed
        Of the neighbours left out, and of the communities.
    divider
        What divides each view. Communities take long to find, so that they are looked for in a part of the views only.
    disturbed
        Whether all divisions leave out neighbours.
    for_stability
        Whether to use a part of the views and random starts, so that the divisions show what the data leave open.
    """
    # random starts are slow with volumes, and one kind of mixture is enough to measure stability
    mixture = divider.clustering == "mixture"
    kinds = VOLUMES if mixture and not for_stability else VOLUMES[:1]
    plan = [(view, volume) for view in embedding.blocks.views for volume in kinds]
    if not mixture or for_stability:
        plan = _spread(plan, _STABILITY_DIVISIONS if for_stability else LEAST_DIVISIONS)
    children = np.random.SeedSequence(seed).spawn(max(len(plan), LEAST_DIVISIONS))
    for i, child in enumerate(children):
        view, volume = plan[i % len(plan)]
        whole = i < len(plan) and not disturbed
        graph = embedding.graph if whole else thinned(embedding.graph, np.random.default_rng(child))
        X = embedding.surroundings(view, graph=graph)
        start = i if for_stability else None
        yield divider.cut(X, graph=embedding.graph, seed=seed + i, start=start, least=embedding.least, volume=volume)


def cut_niche(
    embedding: NicheEmbedding,
    *,
    n_domains: int | None,
    seed: int,
    divider: Divider = _MIXTURE,
    disturbed: bool = False,
) -> DomainResult:
    """Divide a section into domains; the arguments are those of `niche` and `cuts_of`."""
    request = embedding.request
    evidence: dict[str, Any] = {"method": "niche", "seed": seed, "requested": n_domains, **divider.record()}
    evidence["blocks"] = embedding.blocks.record
    cuts = list(cuts_of(embedding, seed=seed, divider=divider, disturbed=disturbed))
    if n_domains is None:
        few = list(cuts_of(embedding, seed=seed, divider=divider, for_stability=True))
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
    if divider.clustering == "mixture":
        evidence["volumes"] = list(VOLUMES)
    back = np.argsort(request.order)
    labels, confidence = ordered(refined)[back], np.clip(confidence, 0.0, 1.0)[back]
    return DomainResult(labels, confidence, evidence, embedding.latent()[back])


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
