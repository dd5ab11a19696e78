"""Domains from the picture: what tiles look like, the nuclei in them, and where they lie.

The chain: blocks standardised and reduced to what is coherent in space (`features`), averaged over neighbours,
joined to a graph of spots that are near or look alike (`affinity`), cut into communities by Leiden (`partition`),
repeated with disturbances that vote on every spot (`stability`), and single outliers given to their surroundings
(`refine`).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains.affinity import EdgeWeight
from histoscribe.domains.clustering import Clustering, Divider
from histoscribe.domains.features import N_COMPONENTS, join_blocks
from histoscribe.domains.refine import edge_lengths, refine
from histoscribe.domains.requests import Request, checked_request
from histoscribe.domains.result import DomainResult
from histoscribe.domains.stability import choose_number, repeats, vote

# share of the squared distance; the position only breaks ties, because a larger share draws domains as compact
# patches whatever the tissue looks like
WEIGHTS = {"image": 1.0, "nuclei": 0.5, "position": 0.005}
N_REPEATS = 8
LARGEST_CHOSEN = 12
# least mean number of spots in a domain where the number is chosen: with fewer, repeats show nothing
SPOTS_PER_DOMAIN = 25
# a gap wider than this many typical steps between neighbours is not tissue
_GAP = 1.5


def histology(
    blocks: Mapping[str, Any],
    *,
    graph: sparse.csr_matrix,
    xy_um: NDArray[np.float64],
    n_domains: int | None,
    seed: int,
    weights: Mapping[str, float] | None = None,
    components: int | None = None,
    clustering: Clustering = "leiden",
    edge_weight: EdgeWeight | None = None,
) -> DomainResult:
    """Find domains by how the tissue looks.

    Parameters
    ----------
    blocks
        "image" (n, d) embedding, "nuclei" (n, d) features, "position" (n, 2); any of them. Others need a weight.
    graph
        Spatial neighbours, (n, n) CSR, symmetric, from `histoscribe.graph`.
    xy_um
        Centres of the spots, (n, 2), x before y.
    n_domains
        Number of domains, kept exactly; None to choose one that disturbed repeats agree on.
    seed
        Of Leiden and of the disturbances. The result depends on it and on the data, not on the order of the rows or
        the number of threads.
    weights
        Weight by block name, over `WEIGHTS`.
    components
        Principal components kept of each block; 50 where not given.
    clustering
        What divides the features: communities by "leiden" or "louvain", or a "mixture" of Gaussians.
    edge_weight
        How edges of the graph are weighed whose communities are looked for, see `affinity`; "gaussian" where not given.

    Returns
    -------
    DomainResult
        Confidence is the share of the repeats that put the spot into its domain.

    Raises
    ------
    InputError
        Fewer than three spots, parts that do not fit each other, or no difference between spots.
    ConfigError
        A number of domains that cannot be had, or a weight for a block that is not there.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.domains.histology import histology
    >>> from histoscribe.graph.lattice import lattice_graph
    >>> row, column = (axis.ravel() for axis in np.mgrid[:12, :12])
    >>> xy_um = 200.0 * np.column_stack([column, row])
    >>> graph = lattice_graph(xy_um, kind="square", pitch_um=200.0)
    >>> colour = np.random.default_rng(0).normal(np.where(row[:, None] < 7, [220, 170, 200], [150, 90, 160]), 10)
    >>> found = histology({"image": colour}, graph=graph, xy_um=xy_um, n_domains=2, seed=0)
    >>> found.labels.reshape(12, 12)[:, 0]
    array([1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2])
    """
    from threadpoolctl import threadpool_limits

    request = checked_request(blocks, graph=graph, xy_um=xy_um, n_domains=n_domains, weights=weights, defaults=WEIGHTS)
    divider = Divider(clustering, edge_weight)
    # more threads would add up in another order, and rounding could change a spot's domain
    with threadpool_limits(limits=1):
        labels, confidence, evidence = _clustered(
            request, n_domains, seed, divider=divider, components=components or N_COMPONENTS
        )
    back = np.argsort(request.order)
    return DomainResult(labels[back], confidence[back], evidence)


def _clustered(
    request: Request, n_domains: int | None, seed: int, *, divider: Divider, components: int
) -> tuple[NDArray[np.int64], NDArray[np.float64], dict[str, Any]]:
    blocks = {name: request.rows(name) for name in request.blocks}
    joined = join_blocks(blocks, weights=request.weights, graph=request.graph, n_components=components)
    clustering = repeats(joined.X, graph=request.graph, n_repeats=N_REPEATS, seed=seed, divider=divider)
    cuts, patch = clustering.cuts, clustering.patch
    evidence: dict[str, Any] = {"method": "histology", "seed": seed, "requested": n_domains, "blocks": joined.record}
    evidence |= divider.record()
    if n_domains is None:
        evidence["choice"] = choose_number(cuts, largest=_largest(len(joined.X)))
    k = n_domains if n_domains is not None else evidence["choice"]["chosen"]
    found = [cut.exactly(k) for cut in cuts]
    voted, share = vote([labels[patch] for labels, _ in found], k)
    max_um = _GAP * float(np.median(edge_lengths(request.graph, request.xy_um)))
    refined = refine(voted, graph=request.graph, xy_um=request.xy_um, max_um=max_um)
    confidence = np.asarray(share[np.arange(len(refined)), refined]).ravel()
    evidence |= {
        "n_domains": int(k),
        "resolution": found[0][1] if np.isfinite(found[0][1]) else None,
        "repeats": len(found),
        "patches": int(patch.max()) + 1,
        "refined_spots": int((refined != voted).sum()),
        "refine_max_um": max_um,
        "mean_confidence": round(float(confidence.mean()), 4),
    }
    return ordered(refined), confidence, evidence


def _largest(n_spots: int) -> int:
    """Largest number of domains that is chosen for a section; a larger one can be asked for."""
    return max(min(2, n_spots - 1), min(LARGEST_CHOSEN, n_spots // SPOTS_PER_DOMAIN))


def ordered(labels: NDArray[np.int64]) -> NDArray[np.int64]:
    """Rename domains to 1, 2, ... by size, largest first; equal ones by their first spot.

    Parameters
    ----------
    labels
        (n,), any integers, spots in the order of their place.

    Returns
    -------
    (n,) int64, 1 to K.
    """
    _, first, names, size = np.unique(labels, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(size), np.int64)
    rank[np.lexsort((first, -size))] = np.arange(1, len(size) + 1)
    return rank[names]
