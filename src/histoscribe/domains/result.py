"""What a domain method is asked and what it gives."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse


@dataclass(frozen=True, slots=True, eq=False)
class DomainResult:
    """Domains of one section.

    Parameters
    ----------
    labels
        (n,) int64, 1 to K: 1 is the largest domain; of equal ones, that of the spot furthest up, then left.
    confidence
        (n,) float64 in [0, 1]: how surely a spot belongs to its domain, as the method defines it.
    evidence
        What a reader needs to judge the result, fit for JSON: the number of domains requested and chosen, why,
        and how the feature blocks were joined.
    """

    labels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    evidence: dict[str, Any]


class DomainMethod(Protocol):
    """Finds the domains of one section; the same arguments give the same result on any number of threads."""

    def __call__(
        self,
        blocks: Mapping[str, Any],
        *,
        graph: sparse.csr_matrix,
        xy_um: NDArray[np.float64],
        n_domains: int | None,
        seed: int,
        weights: Mapping[str, float] | None = None,
    ) -> DomainResult:
        """Label every spot.

        Parameters
        ----------
        blocks
            Feature blocks by name, one row per spot each: "image", "nuclei", "position", ...
        graph
            Spatial neighbours, (n, n) CSR, symmetric.
        xy_um
            Centres of the spots, (n, 2), x before y.
        n_domains
            Number of domains, obeyed exactly; None to choose it.
        seed
            Of everything random.
        weights
            Weight by block name, over the method's own.

        Raises
        ------
        InputError
            Blocks, graph and coordinates do not fit each other or hold nothing to tell spots apart.
        ConfigError
            A number of domains that cannot be, or a weight for a block that is not there.
        """
