"""The input of every domain method, checked once and sorted so that the order of the rows does not matter."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains.expression import checked_counts
from histoscribe.domains.features import checked_block
from histoscribe.errors import ConfigError, InputError, listing, nearest
from histoscribe.graph.checks import checked_xy, sorted_by_place

FEWEST_SPOTS = 3
MOST_DOMAINS = 256


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """Blocks, and graph and coordinates with the spots sorted by y, then x.

    Parameters
    ----------
    blocks
        Name to (n, d), rows as the caller's: CSR of the counts, arrays of all others.
    weights
        One for every block.
    graph
        (n, n) CSR of the spatial neighbours.
    xy_um
        (n, 2).
    order
        (n,) row of the caller that each sorted row came from.
    """

    blocks: dict[str, Any]
    weights: dict[str, float]
    graph: sparse.csr_matrix
    xy_um: NDArray[np.float64]
    order: NDArray[np.intp]

    def rows(self, name: str) -> Any:
        """One block in the order of the graph and the coordinates."""
        return self.blocks[name][self.order]


def checked_request(
    blocks: Mapping[str, Any],
    *,
    graph: sparse.csr_matrix,
    xy_um: NDArray[np.float64],
    n_domains: int | None,
    weights: Mapping[str, float] | None,
    defaults: Mapping[str, float],
) -> Request:
    """Check the input of a domain method, and sort it.

    Parameters
    ----------
    blocks, graph, xy_um, n_domains, weights
        As for `DomainMethod`.
    defaults
        The method's own weights.

    Raises
    ------
    InputError, ConfigError
        As for `DomainMethod`.
    """
    xy = checked_xy(xy_um)
    n = len(xy)
    if n < FEWEST_SPOTS:
        raise InputError(
            "there are too few spots for domains", where="xy_um", expected=f"{FEWEST_SPOTS} or more", found=n
        )
    check_number(n_domains, n)
    for name, block in blocks.items():
        if np.ndim(block) != 2 or np.shape(block)[0] != n:
            raise InputError(
                f"the feature block {name!r} does not fit the spots",
                where="blocks",
                expected=f"({n}, features)",
                found=np.shape(block),
            )
    # before sorting, so that a message names the caller's row
    checked = {
        name: checked_counts(block) if name == "counts" else checked_block(name, block)
        for name, block in blocks.items()
    }
    _check_graph(graph, n)
    order = sorted_by_place(xy)
    return Request(
        blocks=checked,
        weights=_weights(blocks, weights or {}, defaults),
        graph=_reordered(graph, order),
        xy_um=xy[order],
        order=order,
    )


def check_number(n_domains: int | None, n_spots: int) -> None:
    """Refuse an impossible number of domains, saying why; None passes. Raises ConfigError."""
    if n_domains is None:
        return
    if n_domains < 1:
        raise ConfigError("there must be at least one domain", where="n_domains", expected="1 or more", found=n_domains)
    if n_domains > n_spots:
        raise ConfigError(
            "there cannot be more domains than spots",
            where="n_domains",
            expected=f"at most {n_spots:,}",
            found=n_domains,
            fix="ask for fewer domains, or leave the number out to have it chosen",
        )
    if n_domains > MOST_DOMAINS:
        raise ConfigError(
            "that is more domains than a map can show",
            where="n_domains",
            expected=f"at most {MOST_DOMAINS}",
            found=n_domains,
        )


def _check_graph(graph: sparse.csr_matrix, n: int) -> None:
    if not sparse.issparse(graph) or graph.shape != (n, n):
        raise InputError(
            "the neighbour graph does not fit the spots",
            where="graph",
            expected=f"a sparse matrix of {n} x {n}",
            found=getattr(graph, "shape", type(graph).__name__),
        )
    if sparse.triu(graph, k=1).count_nonzero() == 0:
        raise InputError(
            "no spot has a neighbour",
            where="graph",
            fix="check the microns per pixel and the pitch, or join the k nearest spots instead",
        )
    if abs(graph - graph.T).max() > 0:
        raise InputError("the neighbour graph is not symmetric", where="graph", fix="use histoscribe.graph")


def _weights(
    blocks: Mapping[str, Any], weights: Mapping[str, float], defaults: Mapping[str, float]
) -> dict[str, float]:
    for name in weights:
        if name not in blocks:
            raise ConfigError(
                f"there is no feature block {name!r} to weigh", where="weights", fix=nearest(name, blocks)
            )
    together = {**defaults, **weights}
    for name in blocks:
        if name not in together:
            raise ConfigError(
                f"the feature block {name!r} has no weight",
                where="weights",
                found=f"weights for {listing(together)}",
                fix=f"give a weight for {name!r}",
            )
    return {name: float(together[name]) for name in blocks}


def _reordered(graph: sparse.csr_matrix, order: NDArray[np.intp]) -> sparse.csr_matrix:
    graph = sparse.csr_matrix(graph, dtype=np.float64)
    graph = graph[order][:, order]
    graph.setdiag(0)
    graph.eliminate_zeros()
    graph.sort_indices()
    return graph
