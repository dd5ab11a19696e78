"""Large sections in square cells: bins of a few microns hold too few molecules, and domains are no finer than niches.

A section of up to `LARGE` spots is left as it is, and so is a larger one whose spots lie as far apart as niches are
wide. In a large section of bins, the spots of a square cell are pooled: their counts are added up, scaled as if all
cells held the same number of spots, and their other features are averaged. Labels of the cells are interpolated to the
spots from the cells' centres, so the cells do not show in the borders. The time is linear in spots.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.domains.partition import membership
from histoscribe.graph.lattice import lattice_graph
from histoscribe.graph.spacing import pitch_of
from histoscribe.numerics.bilinear import corners_around

# where the time of dividing bins one by one reaches half a minute
LARGE = 50_000
# spots further apart than this are each a niche of their own; so many of them are pooled only to bound the time
_BIN_UM, _MOST_SPOTS = 30.0, 100_000
_ROWS = 50_000


@dataclass(frozen=True, slots=True, eq=False)
class Cells:
    """Square cells and the spots in them.

    Parameters
    ----------
    cell
        (n,) which cell each spot lies in, from 0.
    xy_um
        (m, 2) centres.
    graph
        (m, m) cells that share a side.
    between
        (n, m) CSR, rows adding up to 1: each spot's weights of the centres around it.
    """

    cell: NDArray[np.intp]
    xy_um: NDArray[np.float64]
    graph: sparse.csr_matrix
    between: sparse.csr_matrix


def is_large(xy_um: NDArray[np.float64]) -> bool:
    """Whether the spots, (n, 2), are pooled: bins from `LARGE` of them on, spots that lie far apart hardly ever."""
    return len(xy_um) > LARGE and (len(xy_um) > _MOST_SPOTS or pitch_of(xy_um) <= _BIN_UM)


def make_cells(xy_um: NDArray[np.float64], *, n_cells: int = LARGE) -> Cells:
    """Lay square cells over the spots, as small as at most `n_cells` occupied ones allow.

    Their side is a whole number of pitches and their border lies between spots, so that cells on a lattice hold equally
    many.

    Parameters
    ----------
    xy_um
        (n, 2), in the order of their place: features are added up in it, so that a sum depends on no other order.
    """
    pitch = max(pitch_of(xy_um), 1e-9)
    low = xy_um.min(axis=0) - pitch / 2
    # the first guess is that every spot of a lattice is there; rounding must not make it a pitch more
    side = pitch * max(1, int(np.ceil(np.sqrt(len(xy_um) / n_cells) - 1e-9)))
    while True:
        place = np.floor((xy_um - low) / side).astype(np.int64)  # column, row
        columns = int(place[:, 0].max()) + 1
        occupied, cell = np.unique(place[:, 1] * columns + place[:, 0], return_inverse=True)
        if len(occupied) <= n_cells:
            break
        side += pitch
    grid = np.column_stack([occupied % columns, occupied // columns])  # (m, 2)
    centre = low + (grid + 0.5) * side
    return Cells(
        cell=cell,
        xy_um=centre,
        graph=lattice_graph(centre, kind="square", pitch_um=side),
        between=_bilinear((xy_um - low) / side - 0.5, occupied, columns),
    )


def summed(counts: Any, cells: Cells, order: NDArray[np.intp]) -> sparse.csr_matrix:
    """Add up the rows of sparse counts, (n, g) to (m, g), some thousands at a time; `order` brings them into place.

    Cells at an edge hold fewer spots than others. All are given the counts of a cell of mean size, or those at an edge
    would pass for tissue with few molecules.
    """
    counts = sparse.csr_matrix(counts)
    total = sparse.csr_matrix((len(cells.xy_um), counts.shape[1]), dtype=np.float64)
    for first in range(0, counts.shape[0], _ROWS):
        rows = order[first : first + _ROWS]
        cell = cells.cell[first : first + _ROWS]
        member = sparse.csr_matrix(
            (np.ones(len(rows)), (cell, np.arange(len(rows)))), shape=(total.shape[0], len(rows))
        )
        total = total + member @ counts[rows]
    size = np.bincount(cells.cell)  # (m,)
    return sparse.csr_matrix(sparse.diags(size.mean() / size) @ total)


def averaged(values: NDArray[np.float64], cells: Cells) -> NDArray[np.float64]:
    """Average the rows of features, (n, d) to (m, d)."""
    member = membership(cells.cell)
    total = member.T @ values
    return np.asarray(total / np.asarray(member.sum(axis=0)).T)


def _bilinear(place: NDArray[np.float64], occupied: NDArray[np.int64], columns: int) -> sparse.csr_matrix:
    """Weights of the four centres around each spot, those of empty cells shared out among the others."""
    points, share = corners_around(place)
    column, row = np.moveaxis(points, 2, 0)  # (4, n) each
    key = row * columns + column
    index = np.minimum(np.searchsorted(occupied, key), len(occupied) - 1)
    held = (occupied[index] == key) & (column >= 0) & (column < columns) & (row >= 0)
    spot = np.broadcast_to(np.arange(len(place)), held.shape)
    matrix = sparse.csr_matrix((share[held], (spot[held], index[held])), shape=(len(place), len(occupied)))
    return sparse.csr_matrix(sparse.diags(1 / np.asarray(matrix.sum(axis=1)).ravel()) @ matrix)
