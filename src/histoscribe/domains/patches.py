"""Large sections in small pieces: neighbouring spots that look alike are clustered as one.

Finding the spots that look alike anywhere in a section takes a search in ten dimensions, and its time grows faster than
the number of spots. Patches of some ten spots bring a large section back to a size at which that is cheap, and make
clusters of single bins impossible.
"""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains.affinity import spatial_affinity
from histoscribe.domains.partition import at_least, membership

# sections up to the first number of spots are clustered spot by spot; larger ones in at least so many patches
LARGE = 6000
N_PATCHES = 4000


def patches(X: NDArray[np.float64], *, graph: sparse.csr_matrix, seed: int) -> NDArray[np.int64]:
    """Say to which patch each spot belongs.

    Parameters
    ----------
    X
        Features averaged over neighbours, (n, d).
    graph
        Spatial neighbours, (n, n), symmetric.
    seed
        Of Leiden.

    Returns
    -------
    (n,) int64 from 0. In a section of at most `LARGE` spots every spot is its own patch.
    """
    if len(X) <= LARGE:
        return np.arange(len(X))
    # steps between neighbours shrink as patches grow with the section, so the time stays n log n
    return at_least(spatial_affinity(X, graph), N_PATCHES, seed=seed, start=N_PATCHES / 4)


def patch_means(X: NDArray[np.float64], patch: NDArray[np.int64]) -> NDArray[np.float64]:
    """Mean of each patch's spots, (patches, d)."""
    member = membership(patch)
    return np.asarray((member.T @ X) / np.asarray(member.sum(axis=0)).T)


def patch_graph(graph: sparse.csr_matrix, patch: NDArray[np.int64]) -> sparse.csr_matrix:
    """Patches that touch, (patches, patches) CSR; an entry counts the edges across."""
    member = membership(patch)
    touching = sparse.csr_matrix(member.T @ graph @ member)
    touching.setdiag(0)
    touching.eliminate_zeros()
    return touching
