"""The interface of a domain method, and its result."""

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
        What a reader needs to judge the result, fit for JSON: the number of domains requested and chosen, the reason,
        and how the feature blocks were joined.
    latent
        (n, d) float32, the features that the method divides, for further work in scanpy; None where it has none.
    """

    labels: NDArray[np.int64]
    confidence: NDArray[np.float64]
    evidence: dict[str, Any]
    latent: NDArray[np.float32] | None = None

    def rows(self, chosen: NDArray[np.intp]) -> "DomainResult":
        """Return the result of some spots, or of all in another order."""
        latent = None if self.latent is None else self.latent[chosen]
        return DomainResult(self.labels[chosen], self.confidence[chosen], self.evidence, latent)


class DomainMethod(Protocol):
    """Finds the domains of one section; the same arguments give the same result on any number of threads.

    Examples
    --------
    A method of your own is a function; this one halves a section into light and dark spots:

    >>> import numpy as np
    >>> from histoscribe.domains import DomainResult
    >>> def halves(blocks, *, graph, xy_um, n_domains, seed, weights=None):
    ...     light = blocks["image"].mean(axis=1)
    ...     labels = np.where(light < np.median(light), 2, 1)
    ...     return DomainResult(labels, np.ones(len(labels)), {"method": "halves", "n_domains": 2})
    >>> colours = np.array([[230.0, 200.0, 220.0], [225.0, 190.0, 215.0], [120.0, 60.0, 140.0]])
    >>> halves({"image": colours}, graph=None, xy_um=np.zeros((3, 2)), n_domains=2, seed=0).labels
    array([1, 1, 2])

    A package that has it in `my_package/halves.py` registers it in its pyproject.toml, and then it is found by name::

        [project.entry-points."histoscribe.domains"]
        halves = "my_package.halves:halves"
    """

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
            Number of domains, kept exactly; None to choose it.
        seed
            Of everything random.
        weights
            Weight by block name, over the method's own.

        Raises
        ------
        InputError
            Blocks, graph and coordinates do not fit each other, or spots do not differ.
        ConfigError
            An impossible number of domains, or a weight for a block that is not there.
        """
