"""Directions of haematoxylin and eosin in optical density: as they were published, or as a slide itself shows them."""

import numpy as np
from numpy.typing import NDArray

# Ruifrok & Johnston 2001 (Anal. Quant. Cytol. Histol. 23, 291-299), table 1: haematoxylin and eosin over R, G, B
PUBLISHED = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105]])
STAINED_OD = 0.15  # Macenko's beta: a pixel with less in every channel carries no stain
_EXTREME = (1.0, 99.0)  # percentiles of the angle, as in the paper


def stain_directions(density: NDArray[np.float64]) -> NDArray[np.float64]:
    """Find the two stains of stained pixels (Macenko et al., ISBI 2009).

    Their densities lie in a plane, the two widest directions of all, and the stains are the extreme directions in it.

    Parameters
    ----------
    density
        (n, 3) optical densities of R, G and B.

    Returns
    -------
    (2, 3) rows of unit length, haematoxylin first, which absorbs more red. The caller has to judge whether there were
    two stains at all.
    """
    _, vectors = np.linalg.eigh(np.cov(density.T))
    plane = vectors[:, [2, 1]]  # (3, 2)
    plane = plane * np.where(plane.sum(axis=0) < 0, -1.0, 1.0)
    along = density @ plane
    angle = np.arctan2(along[:, 1], along[:, 0])
    ends = plane @ np.array([(np.cos(a), np.sin(a)) for a in np.percentile(angle, _EXTREME)]).T  # (3, 2)
    return unit_rows(ends.T[np.argsort(-ends[0])])


def unit_rows(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bring every row of (k, 3) to length 1."""
    return np.asarray(rows / np.linalg.norm(rows, axis=1, keepdims=True))
