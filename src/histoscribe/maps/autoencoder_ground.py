"""What the autoencoder is trained on, and windows of it: pixels, tissue and the spots that lie wholly within."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.maps.autoencoder_network import HALO_PX, REDUCTION
from histoscribe.maps.autoencoder_picture import Picture
from histoscribe.maps.autoencoder_programmes import Programmes

Index = NDArray[np.intp]
Matrix = NDArray[np.float32]

WINDOW_PX = 256
SPOTS_AT_ONCE = 1024
_LEAST_PX = 16  # of a window, so that the similarity of pictures can be measured


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What a network is trained on.

    Parameters
    ----------
    picture
        Pixels of the grid.
    tissue
        (rows, columns) bool.
    absence
        (rows, columns) float32: how far a cell of tissue is from being under a spot, from 0 to 1.
    footprint
        (n, cells of the grid) CSR.
    values
        (n, m) float32 CSR, ln(1 + counts per 10,000) of the genes of `programmes`.
    programmes
        Programmes from which the gene channels start.
    pitch_um
        Distance of neighbouring spots.
    xy_um
        (n, 2) centres of the spots.
    """

    picture: Picture
    tissue: NDArray[np.bool_]
    absence: Matrix
    footprint: sparse.csr_matrix
    values: sparse.csr_matrix
    programmes: Programmes
    pitch_um: float
    xy_um: NDArray[np.float64]

    def take(self, spots: Index) -> "Ground":
        """Return the same with some of the spots only, as if the others had not been measured."""
        footprint = self.footprint[spots]
        absence = absent(footprint, self.tissue)
        return replace(self, footprint=footprint, values=self.values[spots], absence=absence, xy_um=self.xy_um[spots])


@dataclass(frozen=True, slots=True, eq=False)
class Window:
    """A window of the picture, with a halo, and the turn that is applied before the network.

    `row`, `column` and `side` are cells without the halo; `pixels` (1, 3, h, h), `tissue` (1, 1, h - 2 halo, same).
    """

    row: int
    column: int
    side: int
    pixels: torch.Tensor
    tissue: torch.Tensor
    turn: tuple[int, bool]

    def turned(self) -> torch.Tensor:
        """Return the pixels as the network gets them."""
        quarter, mirrored = self.turn
        pixels = torch.rot90(self.pixels, quarter, (2, 3))
        return pixels.flip(3) if mirrored else pixels

    def back(self, channels: torch.Tensor) -> torch.Tensor:
        """Turn what the network makes of them, (1, k, h, h), back."""
        quarter, mirrored = self.turn
        return torch.rot90(channels.flip(3) if mirrored else channels, -quarter, (2, 3))


def random_window(ground: Ground, rng: np.random.Generator, place: torch.device) -> Window:
    """Take a window about a random spot, and turn it at random."""
    picture = ground.picture
    fold, grid = picture.fold, picture.grid
    unit = REDUCTION // np.gcd(REDUCTION, fold)
    longest = max(-(-max(grid.shape) // unit), -(-_LEAST_PX // (unit * fold))) * unit
    side = min(longest, unit * max(1, WINDOW_PX // (unit * fold)))
    start = ground.footprint.indptr[rng.integers(ground.footprint.shape[0])]
    about = np.divmod(ground.footprint.indices[start], grid.columns)
    corner = [
        int(np.clip(at - rng.integers(side), 0, max(count - side, 0)))
        for at, count in zip(about, grid.shape, strict=True)
    ]
    pixels = pixel_tensor(picture.window(*corner, side=side, halo_px=HALO_PX), place)
    tissue = np.zeros((side, side), np.float32)
    part = ground.tissue[corner[0] : corner[0] + side, corner[1] : corner[1] + side]
    tissue[: part.shape[0], : part.shape[1]] = part
    fine = torch.from_numpy(np.repeat(np.repeat(tissue, fold, 0), fold, 1))[None, None].to(place)
    return Window(corner[0], corner[1], side, pixels, fine, (int(rng.integers(4)), bool(rng.integers(2))))


def absent(footprint: sparse.csr_matrix, tissue: NDArray[np.bool_]) -> Matrix:
    """How far each cell of the tissue is from being under a spot: (rows, columns) float32, 0 off the tissue."""
    most = np.maximum(footprint.max(axis=1).toarray().ravel(), 1e-12)
    covered = (sparse.diags(1 / most) @ footprint).max(axis=0).toarray().reshape(tissue.shape)
    return np.asarray(tissue * (1 - np.clip(covered, 0, 1)), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Averaging:
    """The mean over footprints as a sparse operator on the cells of a window, in coordinates: (e,) each.

    Sums are made in one order; torch's sparse product on a CPU depends on where arrays lie in memory.
    """

    spot: torch.Tensor
    cell: torch.Tensor
    share: torch.Tensor
    n_spots: int

    def __call__(self, values: torch.Tensor) -> torch.Tensor:
        """Average (cells, r) over every footprint: (n_spots, r)."""
        parts = values.index_select(0, self.cell) * self.share[:, None]
        return torch.zeros(self.n_spots, values.shape[1], device=values.device).index_add(0, self.spot, parts)


def spots_within(ground: Ground, window: Window) -> tuple[Index, Averaging]:
    """Spots that lie wholly in a window, (s,), and their averaging over its cells, by rows."""
    footprint, grid, side = ground.footprint, ground.picture.grid, window.side
    row, column = np.divmod(footprint.indices, grid.columns)
    row, column = row - window.row, column - window.column
    outside = (row < 0) | (row >= side) | (column < 0) | (column >= side)
    spots = np.flatnonzero(np.add.reduceat(outside, footprint.indptr[:-1]) == 0)
    spots = spots[:: max(1, -(-len(spots) // SPOTS_AT_ONCE))]
    part = footprint[spots].tocoo()
    row, column = np.divmod(part.col.astype(np.int64), grid.columns)
    place = window.pixels.device
    entries = part.row.astype(np.int64), (row - window.row) * side + column - window.column
    spot, cell = (torch.from_numpy(index).to(place) for index in entries)
    share = torch.from_numpy(part.data.astype(np.float32)).to(place)
    return spots, Averaging(spot, cell, share, len(spots))


def pixel_tensor(pixels: NDArray[np.uint8], place: torch.device) -> torch.Tensor:
    """Bring pixels (h, w, 3) to (1, 3, h, w) float32 within 0 and 1."""
    return torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32) / 255).to(place)
