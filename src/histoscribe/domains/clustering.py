"""What divides features into domains: a Gaussian mixture, or communities of a graph of spots that are alike."""

from dataclasses import dataclass
from typing import Any, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains.affinity import EdgeWeight, affinity
from histoscribe.domains.mixture_cut import MixtureCut
from histoscribe.domains.partition import Partitioner
from histoscribe.errors import ConfigError, nearest

Clustering = Literal["mixture", "leiden", "louvain"]


class Cut(Protocol):
    """One clustering of a section, ready to be cut into any number of domains."""

    def exactly(self, k: int) -> tuple[NDArray[np.int64], float]:
        """Cut into k domains: (n,) from 0 to k - 1, and the resolution at which they were found."""


@dataclass(frozen=True, slots=True)
class Divider:
    """How a method divides its features, and what the record says of it.

    Parameters
    ----------
    clustering
        "mixture" of Gaussians, or communities by "leiden" or "louvain".
    edge_weight
        How much two spots of the graph have in common, see `affinity`; "gaussian" where None. A mixture has no graph.

    Raises
    ------
    ConfigError
        No such clustering or edge weight, or an edge weight for a mixture.
    """

    clustering: Clustering
    edge_weight: EdgeWeight | None = None

    def __post_init__(self) -> None:
        """Refuse names that mean nothing."""
        for name, known in (("clustering", Clustering), ("edge_weight", EdgeWeight)):
            value = getattr(self, name)
            if value is not None and value not in get_args(known):
                raise ConfigError(f"there is no {name} {value!r}", where=name, fix=nearest(str(value), get_args(known)))
        if self.clustering == "mixture" and self.edge_weight is not None:
            raise ConfigError(
                "a mixture has no edges to weigh",
                where="edge_weight",
                found=self.edge_weight,
                fix="leave it out, or choose leiden or louvain as the clustering",
            )

    def cut(
        self, X: NDArray[np.float64], *, graph: sparse.csr_matrix, seed: int, start: int | None = None, **mixture: Any
    ) -> Cut:
        """Get features ready to be cut into any number of domains.

        Parameters
        ----------
        X
            (n, d), rows in the order of their place.
        graph
            Spatial neighbours, (n, n), symmetric.
        seed
            Of the communities.
        start
            Seed of a mixture's random starts; None for deterministic ones.
        mixture
            Further arguments of `MixtureCut`.
        """
        if self.clustering == "mixture":
            return MixtureCut(X, seed=start, **mixture)
        edges = affinity(X, graph=graph, edge_weight=self.edge_weight or "gaussian")
        # the random generator that scikit-network uses takes seeds below 2**32
        return Partitioner(edges, X, seed=seed % 2**32, by=self.clustering)

    def record(self) -> dict[str, str]:
        """Return what was used, fit for JSON."""
        used: dict[str, str] = {"clustering": self.clustering}
        return used if self.clustering == "mixture" else used | {"edge_weight": self.edge_weight or "gaussian"}
