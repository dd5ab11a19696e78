"""EfNST as in its paper: expression augmented by similar neighbours, two autoencoders, refined clusters.

The chain: spots nearby that look alike and express alike lend each other expression (`efnst_augment`); the components
of all feature blocks go through a denoising autoencoder and a variational graph autoencoder (`efnst_network`), trained
first to restore and to join neighbours, then to sharpen clusters (`efnst_train`); the embedding is cut into domains by
a Gaussian mixture (`mixture_cut`), repeated with disturbances that vote on every spot (`stability`), and outliers
are given to their surroundings (`refine`).

Zhao et al. 2024, Communications Biology, "EfNST: a composite scaling network of EfficientNet for improving spatial
domain identification performance". Where this differs from the published program, the program contradicts the paper.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains.affinity import EdgeWeight
from histoscribe.domains.clustering import Clustering, Cut, Divider
from histoscribe.domains.efnst_input import network_input
from histoscribe.domains.efnst_settings import EfnstSettings
from histoscribe.domains.efnst_train import Trainer
from histoscribe.domains.histology import LARGEST_CHOSEN, SPOTS_PER_DOMAIN, ordered
from histoscribe.domains.refine import edge_lengths, refine
from histoscribe.domains.requests import Request, checked_request
from histoscribe.domains.result import DomainResult
from histoscribe.domains.stability import choose_number, thinned, vote
from histoscribe.graph.smooth import neighbour_mean

# of the components that the network is given; the position is not among them, because the graph knows it
WEIGHTS = {"counts": 1.0, "image": 1.0, "nuclei": 0.5, "position": 0.0}
_REPEATS = 6
# a gap wider than this many typical steps between neighbours is not tissue
_GAP = 1.5


def efnst(
    blocks: Mapping[str, Any],
    *,
    graph: sparse.csr_matrix,
    xy_um: NDArray[np.float64],
    n_domains: int | None,
    seed: int,
    weights: Mapping[str, float] | None = None,
    settings: EfnstSettings | None = None,
    clustering: Clustering = "mixture",
    edge_weight: EdgeWeight | None = None,
) -> DomainResult:
    """Find domains by expression and by how the tissue looks, through EfNST's networks.

    Parameters
    ----------
    blocks
        "counts" (n, g) sparse raw counts, "image" (n, d) embedding, "nuclei" (n, d) features; any of them.
        Others need a weight.
    graph
        Spatial neighbours, (n, n) CSR, symmetric, from `histoscribe.graph`.
    xy_um
        Centres of the spots, (n, 2), x before y.
    n_domains
        Number of domains, kept exactly; None to choose one that disturbed repeats agree on.
    seed
        Of everything random. The result depends on it and on the data, not on the order of the rows or the number of
        threads.
    weights
        Weight by block name, over `WEIGHTS`.
    settings
        Settings of EfNST.
    clustering
        What divides the embedding: a "mixture" of Gaussians, or communities by "leiden", as in the published program,
        or "louvain".
    edge_weight
        How edges of the graph are weighed whose communities are looked for, see `affinity`; "gaussian" where not given.

    Returns
    -------
    DomainResult
        Confidence is the share of the repeats of the last clustering that put the spot into its domain.

    Raises
    ------
    InputError
        Fewer than three spots, parts that do not fit each other, or no difference between spots.
    ConfigError
        A number of domains that cannot be had, or a weight for a block that is not there.
    """
    settings = settings or EfnstSettings()
    request = checked_request(blocks, graph=graph, xy_um=xy_um, n_domains=n_domains, weights=weights, defaults=WEIGHTS)
    section = np.zeros(len(xy_um), np.intp)
    found = labelled(
        request,
        section=section,
        scaling_group=section,
        n_domains=n_domains,
        seed=seed,
        settings=settings,
        divider=Divider(clustering, edge_weight),
    )
    return found.rows(np.argsort(request.order))


def labelled(
    request: Request,
    *,
    section: NDArray[np.intp],
    scaling_group: NDArray[np.intp],
    n_domains: int | None,
    seed: int,
    settings: EfnstSettings,
    divider: Divider,
) -> DomainResult:
    """Find the domains of spots in the order of their place.

    Parameters
    ----------
    request
        Blocks, graph and coordinates.
    section
        (n,) which section a spot belongs to, from 0, for the adversary.
    scaling_group
        (n,) group of spots from 0; features are standardised within each.
    n_domains, seed, settings
        As for `efnst`.
    divider
        How the embedding is divided.
    """
    from threadpoolctl import threadpool_limits

    # more threads would add up in another order, and rounding could change a spot's domain
    with threadpool_limits(limits=1):
        X, record = network_input(request, section=scaling_group, settings=settings)
        trainer = Trainer(X, graph=request.graph, xy_um=request.xy_um, section=section, settings=settings, seed=seed)
        trained = trainer.pretrain()
        evidence: dict[str, Any] = {"method": "efnst", "seed": seed, "requested": n_domains, "blocks": record}
        evidence |= {"settings": settings.to_dict(), "device": trainer.device, "pretrained": trained.losses}
        evidence |= divider.record()
        if n_domains is None:
            cuts = _cuts(trained.embedding, request.graph, seed, divider)
            evidence["choice"] = choose_number(cuts, largest=_largest(len(X)))
        k = n_domains if n_domains is not None else int(evidence["choice"]["chosen"])
        if settings.epochs and k > 1:
            trained = trainer.refine(_centres(trained.embedding, k, seed))
            evidence["refined"] = trained.losses
        labels, confidence, how = _clustered(trained.embedding, request, k=k, seed=seed, divider=divider)
    return DomainResult(labels, confidence, evidence | how, np.asarray(trained.embedding, np.float32))


def _clustered(
    embedding: NDArray[np.float64], request: Request, *, k: int, seed: int, divider: Divider
) -> tuple[NDArray[np.int64], NDArray[np.float64], dict[str, Any]]:
    found = [cut.exactly(k)[0] for cut in _cuts(embedding, request.graph, seed, divider)]
    voted, share = vote(found, k)
    max_um = _GAP * float(np.median(edge_lengths(request.graph, request.xy_um)))
    refined = refine(voted, graph=request.graph, xy_um=request.xy_um, max_um=max_um)
    confidence = np.asarray(share[np.arange(len(refined)), refined]).ravel()
    how = {
        "n_domains": int(k),
        "repeats": len(found),
        "refined_spots": int((refined != voted).sum()),
        "refine_max_um": max_um,
        "mean_confidence": round(float(confidence.mean()), 4),
    }
    return ordered(refined), confidence, how


def _cuts(embedding: NDArray[np.float64], graph: sparse.csr_matrix, seed: int, divider: Divider) -> list[Cut]:
    """Cut the embedding, averaged over all neighbours, then again and again over a random half of them."""
    cuts = [divider.cut(neighbour_mean(graph, embedding), graph=graph, seed=seed)]
    for i, child in enumerate(np.random.SeedSequence(seed).spawn(_REPEATS), 1):
        half = thinned(graph, np.random.default_rng(child))
        cuts.append(divider.cut(neighbour_mean(half, embedding), graph=graph, seed=seed + i))
    return cuts


def _centres(embedding: NDArray[np.float64], k: int, seed: int) -> NDArray[np.float64]:
    from sklearn.cluster import KMeans

    found: NDArray[np.float64] = KMeans(k, n_init=5, random_state=seed % 2**32).fit(embedding).cluster_centers_
    return found


def _largest(n_spots: int) -> int:
    """Largest number of domains that is chosen for a section; a larger one can be asked for."""
    return max(min(2, n_spots - 1), min(LARGEST_CHOSEN, n_spots // SPOTS_PER_DOMAIN))
