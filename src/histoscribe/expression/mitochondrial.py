"""Which genes stand on the mitochondrial genome, by symbol or by Ensembl identifier (human and mouse)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# the 13 proteins and two ribosomal RNAs of either species (Ensembl 110)
_ENSEMBL = {
    "ENSG00000": "198888 198763 198804 198712 228253 198899 198938 198840 212907 198886 198786 198695 198727 211459 "
    "210082",
    "ENSMUSG000000": "64341 64345 64351 64354 64356 64357 64358 64360 65947 64363 64367 64368 64370 64337 64339",
}
_IDENTIFIERS = frozenset(prefix + number for prefix, numbers in _ENSEMBL.items() for number in numbers.split())


def mitochondrial(genes: Sequence[str]) -> NDArray[np.bool_]:
    """Find the mitochondrial genes.

    Parameters
    ----------
    genes
        (g,) symbols, of which those that begin with "MT-" in any case are mitochondrial, or Ensembl identifiers, with
        a version or without.

    Returns
    -------
    (g,) bool.
    """
    names = [str(gene).upper() for gene in genes]
    return np.array([name.startswith("MT-") or name.partition(".")[0] in _IDENTIFIERS for name in names], bool)
