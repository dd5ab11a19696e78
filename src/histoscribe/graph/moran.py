"""Moran's I: whether neighbours have like values."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

# columns handled at a time, so that what is averaged over neighbours stays small
_CHUNK = 500


def morans_i(values: Any, graph: sparse.csr_matrix, *, row_standardised: bool = False) -> NDArray[np.float64]:
    """Moran's I of every column: n / sum(w) * sum_ij w_ij z_i z_j / sum_i z_i^2 (Moran 1950), z centred.

    Parameters
    ----------
    values
        (n, t), sparse or dense.
    graph
        Spatial weights w, (n, n).
    row_standardised
        Divide each spot's weights by their sum, so that all spots count the same however many neighbours they have;
        spots without any are left out.

    Returns
    -------
    (t,) float64, about 0 for noise and 1 for what changes slowly; 0 for a column that does not vary, and where no two
    spots are neighbours.

    Examples
    --------
    >>> import numpy as np
    >>> from histoscribe.graph.lattice import lattice_graph
    >>> from histoscribe.graph.moran import morans_i
    >>> row, column = (axis.ravel() for axis in np.mgrid[:20, :20])
    >>> graph = lattice_graph(200.0 * np.column_stack([column, row]), kind="square", pitch_um=200.0)
    >>> noise = np.random.default_rng(2).normal(size=400)
    >>> chessboard = (row + column) % 2
    >>> morans_i(np.column_stack([column, noise, chessboard]), graph).round(1)
    array([ 0.9,  0. , -1. ])
    """
    columns: Any = values.tocsr() if sparse.issparse(values) else np.asarray(values)
    sums = np.asarray(graph.sum(axis=1)).ravel()
    if row_standardised:
        joined = sums > 0
        columns = columns[joined]
        graph = sparse.diags(1 / sums[joined]) @ graph[joined][:, joined]
        sums = np.ones(int(joined.sum()))
    found, (n, t) = np.zeros(columns.shape[1]), columns.shape
    if not sums.any():
        return found
    columns = columns.tocsc() if sparse.issparse(columns) else columns
    as_neighbour = np.asarray(graph.sum(axis=0)).ravel()
    for first in range(0, t, _CHUNK):
        part = sparse.csr_matrix(columns[:, first : first + _CHUNK], dtype=np.float64)
        centre = np.asarray(part.mean(axis=0)).ravel()
        variance = np.asarray(part.multiply(part).sum(axis=0)).ravel() / n - centre**2
        # sum_ij w_ij (x_i - c) (x_j - c), expanded so that nothing becomes dense
        product = np.asarray(part.multiply(graph @ part).sum(axis=0)).ravel() / n
        cross = as_neighbour @ part / n + sums @ part / n
        along = product - centre * cross + centre**2 * (sums.sum() / n)
        # what rounding leaves of a constant column is no variance
        varies = variance > 1e-12 * (1 + centre**2)
        found[first : first + _CHUNK] = np.divide(
            n / sums.sum() * along, variance, out=np.zeros(len(centre)), where=varies
        )
    return found
