"""Domains from counts, picture and nuclei together: what a spot and its surroundings are made of. Linear in spots.

The chain: large sections pooled into cells (`pooling`), every block reduced to components and weighed by how much of it
is coherent in space (`niche_blocks`), averaged over rings of neighbours with the spot's own part kept apart, clustered
by a Gaussian mixture with one covariance (`mixture`) again and again at several radii and with neighbours left out,
the divisions voting on every spot (`stability`), and single outliers given to their surroundings (`refine`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains.histology import LARGEST_CHOSEN, SPOTS_PER_DOMAIN, ordered
from histoscribe.domains.mixture_cut import MixtureCut
from histoscribe.domains.niche_blocks import WEIGHTS, Embedding, View, embed_blocks
from histoscribe.domains.pooling import LARGE, Cells, averaged, make_cells, summed
from histoscribe.domains.refine import edge_lengths, refine
from histoscribe.domains.requests import Request, checked_request
from histoscribe.domains.result import DomainResult
from histoscribe.domains.stability import agreed, choose_number, thinned
from histoscribe.graph.smooth import neighbour_mean

# rings of neighbours that a spot's surroundings reach
RADII = (1, 2)
# a section has at least so many divisions; where there are fewer ways to look at it, some leave neighbours out
LEAST_DIVISIONS = 8
# starts of a division, and of one whose number of domains is being chosen: many of those are made, and none is kept
_STARTS, _FEW_STARTS = 24, 6
# a small section is quick to divide and has many odd maxima: it is given more starts, up to these
_SMALL, _MOST_STARTS = 1500, 48
# so many of the divisions tell how stable a number is
_TELLING = 6
# share of the squared distance that a spot has itself; the rest is its neighbours'
_OWN = 0.2
# a gap wider than this many typical steps between neighbours is not tissue
_GAP = 1.5


def niche(
    blocks: Mapping[str, Any],
    *,
    graph: sparse.csr_matrix,
    xy_um: NDArray[np.float64],
    n_domains: int | None,
    seed: int,
    weights: Mapping[str, float] | None = None,
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
        Of the starts and of the disturbances. The result depends on it and on the data, not on the order of the rows
        or the number of threads.
    weights
        Weight by block name, over `WEIGHTS`; "depth", which goes with the counts, can be named too.

    Returns
    -------
    DomainResult
        Confidence is the share of the divisions that put the spot into its domain.

    Raises
    ------
    InputError
        Fewer than three spots, parts that do not fit each other, or nothing that tells spots apart.
    ConfigError
        A number of domains that cannot be had, or a weight for a block that is not there.
    """
    from threadpoolctl import threadpool_limits

    # more threads would add up in another order, and a rounding can move a spot
    with threadpool_limits(limits=1):
        embedding = embed_niche(blocks, graph=graph, xy_um=xy_um, n_domains=n_domains, weights=weights)
        return cut_niche(embedding, n_domains=n_domains, seed=seed)


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

    def surroundings(self, view: View, radius: int, *, graph: sparse.csr_matrix) -> NDArray[np.float64]:
        """Each unit's own components beside the mean of its surroundings, (units, 2 d).

        Parameters
        ----------
        view
            One of the blocks' views.
        radius
            Rings of neighbours.
        graph
            Neighbours of the units, or some of them.
        """
        around = neighbour_mean(graph, view.X, own_share=_OWN, rounds=radius)
        own = neighbour_mean(graph, view.X)
        return np.hstack([np.sqrt(_OWN) * own, np.sqrt(1 - _OWN) * around])

    def to_spots(self, share: sparse.csr_matrix, labels: NDArray[np.int64]) -> tuple[NDArray[np.int64], Any]:
        """Bring votes (units, K) and labels of units to spots: (n,) labels and (n, K) votes."""
        if self.cells is None:
            return labels, share
        between = sparse.csr_matrix(self.cells.between @ share)
        spots = np.asarray(between.argmax(axis=1)).ravel().astype(np.int64)
        if len(np.unique(spots)) < len(np.unique(labels)):  # a domain of one small cell: no interpolation then
            return labels[self.cells.cell], share[self.cells.cell]
        return spots, between


def embed_niche(
    blocks: Mapping[str, Any],
    *,
    graph: sparse.csr_matrix,
    xy_um: NDArray[np.float64],
    n_domains: int | None,
    weights: Mapping[str, float] | None = None,
) -> NicheEmbedding:
    """Do once what every division of a section shares; the arguments are those of `niche`."""
    few = {name: np.zeros((np.shape(block)[0], 1)) if np.ndim(block) == 2 else block for name, block in blocks.items()}
    told = dict(weights or {})
    depth = told.pop("depth", WEIGHTS["depth"]) if "counts" in blocks else 0.0
    request = checked_request(few, graph=graph, xy_um=xy_um, n_domains=n_domains, weights=told, defaults=WEIGHTS)
    weighed, order = {**request.weights, "depth": depth}, request.order
    if len(order) <= LARGE:
        rows = {name: _rows(block, order) for name, block in blocks.items()}
        return NicheEmbedding(request, None, embed_blocks(rows, graph=request.graph, weights=weighed), request.graph)
    cells = make_cells(request.xy_um)
    pooled = {name: _pooled(block, order, cells) for name, block in blocks.items()}
    return NicheEmbedding(request, cells, embed_blocks(pooled, graph=cells.graph, weights=weighed), cells.graph)


def cuts_of(embedding: NicheEmbedding, *, seed: int, n_starts: int = _STARTS) -> list[MixtureCut]:
    """Divisions of a section in every view, ready to be cut into any number of domains.

    Views of all genes alike take the radii in turns; those of weighed genes, and a section's only view, are divided at
    every radius.
    """
    views = embedding.blocks.views
    plan = []
    for i, view in enumerate(views):
        if view.weighed or len(views) == 1:
            plan += [(view, radius) for radius in RADII]
        else:
            plan.append((view, RADII[i // 2 % len(RADII)]))
    cuts = []
    children = np.random.SeedSequence(seed).spawn(max(len(plan), LEAST_DIVISIONS))
    for i, child in enumerate(children):
        view, radius = plan[i % len(plan)]
        whole = i < len(plan)
        graph = embedding.graph if whole else thinned(embedding.graph, np.random.default_rng(child))
        X = embedding.surroundings(view, radius, graph=graph)
        cuts.append(MixtureCut(X, seed=seed + i, n_starts=n_starts))
    return cuts


def cut_niche(embedding: NicheEmbedding, *, n_domains: int | None, seed: int) -> DomainResult:
    """Divide a section into domains; the arguments are those of `niche`."""
    request = embedding.request
    evidence: dict[str, Any] = {"method": "niche", "seed": seed, "requested": n_domains}
    evidence["blocks"] = embedding.blocks.record
    if n_domains is None:
        few = cuts_of(embedding, seed=seed, n_starts=_FEW_STARTS)
        few = few[:: max(1, len(few) // _TELLING)]
        evidence["choice"] = choose_number(few, largest=largest_number(len(request.xy_um)))
    k = n_domains if n_domains is not None else int(evidence["choice"]["chosen"])
    starts = min(_MOST_STARTS, max(_STARTS, _STARTS * _SMALL // embedding.graph.shape[0]))
    found = [cut.exactly(k)[0] for cut in cuts_of(embedding, seed=seed, n_starts=starts)]
    units, share = agreed(found, k)
    voted, share = embedding.to_spots(share, units)
    max_um = _GAP * float(np.median(edge_lengths(request.graph, request.xy_um)))
    refined = refine(voted, graph=request.graph, xy_um=request.xy_um, max_um=max_um)
    confidence = np.asarray(share[np.arange(len(refined)), refined]).ravel()
    evidence |= {
        "n_domains": int(k),
        "divisions": len(found),
        "radii": list(RADII),
        "units": int(embedding.graph.shape[0]),
        "refined_spots": int((refined != voted).sum()),
        "refine_max_um": max_um,
        "mean_confidence": round(float(confidence.mean()), 4),
    }
    back = np.argsort(request.order)
    return DomainResult(ordered(refined)[back], np.clip(confidence, 0.0, 1.0)[back], evidence)


def largest_number(n_spots: int) -> int:
    """Largest number of domains that is chosen for a section; a larger one can be asked for."""
    return max(min(2, n_spots - 1), min(LARGEST_CHOSEN, n_spots // SPOTS_PER_DOMAIN))


def _rows(block: Any, order: NDArray[np.intp]) -> Any:
    return sparse.csr_matrix(block)[order] if sparse.issparse(block) else np.asarray(block, np.float64)[order]


def _pooled(block: Any, order: NDArray[np.intp], cells: Cells) -> Any:
    """Pool a block whose rows are the caller's; sparse ones, counts, are added up, others averaged."""
    if sparse.issparse(block):
        return summed(block, cells, order)
    return averaged(np.asarray(block, np.float64)[order], cells)
