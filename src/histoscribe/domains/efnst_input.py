"""The input of EfNST's network: components of every feature block, augmented, in units of their own noise."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains import efnst_augment as augment
from histoscribe.domains.coherence import coherent_components
from histoscribe.domains.efnst_settings import EfnstSettings
from histoscribe.domains.features import join_blocks
from histoscribe.domains.refine import edge_lengths
from histoscribe.domains.requests import Request

# so many spots for each component at least, or the components describe single spots
_SPOTS_PER_COMPONENT = 8
# the autocorrelation of the first so many components is recorded
_RECORDED = 10


def network_input(
    request: Request, *, section: NDArray[np.intp], settings: EfnstSettings
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Features for the network.

    A squared error is the right loss only where every feature has the same noise. So the components of each block are
    turned and scaled until the differences between neighbours have variance 1 in every direction.

    Parameters
    ----------
    request
        Blocks, weights, graph and coordinates.
    section
        (n,) section of each spot from 0, spots sorted by place; blocks are standardised within a section.
    settings
        Components, and how expression is augmented.

    Returns
    -------
    (n, d) float64, and what was done to each block, fit for JSON.

    Raises
    ------
    InputError, ConfigError
        As for `DomainMethod`.
    """
    n = len(request.xy_um)
    limit = max(2, min(settings.pca_n_comps, n // _SPOTS_PER_COMPONENT))
    used = [name for name in request.blocks if request.weights[name] != 0]
    reduced = {name: _reduced(name, request.rows(name), section=section, limit=limit) for name in used}
    left_out = {name: np.zeros((n, 1)) for name in request.blocks if name not in used}
    joined = join_blocks(reduced | left_out, weights=request.weights, n_components=limit)
    record, parts = joined.record, {}
    for name, columns in joined.columns.items():
        parts[name], coherence = coherent_components(joined.X[:, columns], graph=request.graph, n_components=limit)
        record[name]["autocorrelation"] = [round(float(r), 4) for r in coherence[:_RECORDED]]
    X = np.hstack([part * np.sqrt(request.weights[name]) for name, part in parts.items()])
    lenders = _lenders(reduced, request, settings)
    return (X if lenders is None else augment.augmented(X, lenders, strength=settings.strength)), record


def _reduced(name: str, block: Any, *, section: NDArray[np.intp], limit: int) -> NDArray[np.float64]:
    """Components of a block; one of zeros where nothing varies."""
    if name == "counts":
        scores = augment.expression_components(block, section=section, n_comps=limit)
    else:
        scores = augment.components(block, section=section, n_comps=limit)
    return scores if scores.shape[1] else np.zeros((len(section), 1))


def _lenders(
    reduced: Mapping[str, NDArray[np.float64]], request: Request, settings: EfnstSettings
) -> sparse.csr_matrix | None:
    """Similar neighbours by expression and picture, whichever there is; None where none are wanted."""
    if not (settings.neighbour_k and settings.strength):
        return None
    return augment.similar_neighbours(
        request.xy_um,
        pitch_um=float(np.median(edge_lengths(request.graph, request.xy_um))),
        expression=reduced.get("counts"),
        image=reduced.get("image"),
        k=settings.neighbour_k,
    )
