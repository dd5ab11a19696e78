"""How much a spot's profile is worth: less where few molecules were counted, next to nothing where none were.

The variance of ln(1 + counts per 10,000) between spots has two parts: what differs in the tissue, B, and the noise of
counting, A / n with n molecules on a spot. A follows from the genes' means by Poisson's law; B is what is left of the
variance that the section shows. A fit by least squares on spots of unequal n is best with weights in proportion to
1 / (B + A / n) (Aitken 1936), so that a spot fades with its depth and no threshold decides about it.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.expression.normalise import log_per_10k

Float = NDArray[np.float64]

LEAST = 1e-3  # weight of a spot without molecules, so that a fit on such spots alone is still one
# a section whose variance is all noise has hardly any tissue variance, but some
_LEAST_TISSUE = 0.05


def spot_weights(counts: Any, library: Float) -> Float:
    """Weight of each spot in a fit of ln(1 + counts per 10,000), (n,), from `LEAST` to 1; 1 from the median depth on.

    Parameters
    ----------
    counts
        (n, g) raw counts, of all genes or of those that are fitted.
    library
        (n,) molecules of each spot over all genes.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.expression.precision import spot_weights
    >>> rng = np.random.default_rng(0)
    >>> level = 100.0 * rng.lognormal(0, 0.5, (200, 30))
    >>> level[:4] *= np.array([0.5, 0.1, 0.01, 0])[:, None]
    >>> counts = rng.poisson(level)
    >>> print(spot_weights(counts, counts.sum(axis=1))[:4].round(2))
    [0.96 0.76 0.18 0.  ]
    """
    values = log_per_10k(counts, library=library)
    molecules = np.maximum(library, 0.0)
    if not molecules.any():
        return np.ones(len(molecules))
    usual = float(np.median(molecules[molecules > 0]))
    # the law is that of well measured spots: weak ones would add the noise of their own to the tissue's variance
    share = np.minimum(molecules, usual) / np.minimum(molecules, usual).sum()
    mean, square = values.T @ share, values.multiply(values).T @ share
    variance = float((square - mean**2).sum())
    if variance <= 0:
        return np.ones(len(molecules))
    noise = float(counting_noise(mean).sum())
    seen = noise * float(share[molecules > 0] @ (1 / molecules[molecules > 0]))
    tissue = max(variance - seen, _LEAST_TISSUE * variance)
    # times n above and below: there may be no molecules
    return np.asarray(np.clip(molecules * (tissue + noise / usual) / (tissue * molecules + noise), LEAST, 1.0))


def counting_noise(mean: Float) -> Float:
    """Variance of ln(1 + counts per 10,000) by counting on a spot of one molecule, (g,); of n molecules, an n-th of it.

    Parameters
    ----------
    mean
        (g,) means of ln(1 + counts per 10,000).
    """
    per_10k = np.expm1(mean)
    # Poisson's law; one molecule is 1e4 / n counts per 10,000, and ln(1 + v) has the slope 1 / (1 + v)
    return np.asarray(1e4 * per_10k / (1 + per_10k) ** 2)
