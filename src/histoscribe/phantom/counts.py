"""Counts from expected expression: factors gathered under every spot, capture depth, negative binomial noise."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.spatial import cKDTree

from histoscribe.phantom.layouts import Layout, hd_shape
from histoscribe.phantom.programmes import FINE_UM, FactorField
from histoscribe.phantom.randomness import Float, generator

MOLECULES_PER_UM2 = 2.6  # expected where the capture depth is 1 and all is tissue
DISPERSION = 0.03  # of the negative binomial: variance = mean + dispersion * mean ** 2
DEPTH_SD = 0.35  # of the logarithm of the capture depth
_BLOCK_BINS = 512
_ROWS_AT_ONCE = 1 << 21  # values drawn at once


@dataclass(frozen=True, slots=True, eq=False)
class Footprints:
    """What lies under each of n spots.

    Parameters
    ----------
    factors
        (n, r) mean of the factors over the spot's 2 um bins that are tissue; zero for a spot without any.
    tissue
        (n,) share of the spot that is tissue.
    """

    factors: Float
    tissue: Float


def gather(field: FactorField, layout: Layout) -> Footprints:
    """Average the factors over the round footprints of a layout's spots, block by block."""
    tree, radius = cKDTree(layout.xy_um), layout.size_um / 2
    total, tissue, bins = None, np.zeros(len(layout)), np.zeros(len(layout))
    for column, row, columns, rows in _blocks(field, _BLOCK_BINS):
        centre = [(np.arange(start, start + n) + 0.5) * FINE_UM for start, n in ((column, columns), (row, rows))]
        x, y = (a.ravel() for a in np.meshgrid(*centre))
        _, spot = tree.query(np.column_stack([x, y]), distance_upper_bound=radius)
        under = np.flatnonzero(spot < len(layout))
        if len(under) == 0:
            continue
        factors, present = field.bins(column, row, columns, rows)
        sums = sparse.csr_matrix((np.ones(len(under)), (spot[under], under)), shape=(len(layout), len(x)))
        part = sums @ factors.reshape(len(x), -1).astype(np.float64)
        total = part if total is None else total + part
        tissue += sums @ present.ravel()
        bins += np.bincount(spot[under], minlength=len(layout))
    if total is None:
        total = np.zeros((len(layout), 1))
    return Footprints(total / np.maximum(tissue, 1)[:, None], tissue / np.maximum(bins, 1))


def capture_depths(n: int, *key: int | str) -> Float:
    """Capture efficiency of each spot relative to the mean, independent of the picture, (n,)."""
    return generator(*key, "depth").lognormal(-(DEPTH_SD**2) / 2, DEPTH_SD, n)


def draw_counts(rates: Float, loadings: Float, scale: Float, *key: int | str) -> sparse.csr_matrix:
    """Negative binomial counts with mean scale * (rates @ loadings).

    Parameters
    ----------
    rates
        (n, r) factors per spot.
    loadings
        (r, g) expected shares.
    scale
        (n,) expected molecules of a spot.

    Returns
    -------
    (n, g) int32 sparse counts.
    """
    step = max(1, _ROWS_AT_ONCE // loadings.shape[1])
    parts = []
    for start in range(0, len(rates), step):
        rows = slice(start, start + step)
        mean = scale[rows, None] * (rates[rows] @ loadings)  # (rows, g)
        rng = generator(*key, "counts", start)
        rate = mean * rng.gamma(1 / DISPERSION, DISPERSION, mean.shape)
        parts.append(sparse.csr_matrix(rng.poisson(rate).astype(np.int32)))
    return sparse.vstack(parts, format="csr", dtype=np.int32)


def draw_bin_counts(field: FactorField, loadings: Float, bin_um: int, *key: int | str) -> sparse.csr_matrix:
    """Draw the counts of all square bins of a section, molecule by molecule at 2 um and summed to larger bins.

    A bin of any size holds exactly the molecules of the 2 um bins in it. Bins differ in capture by a gamma factor.

    Returns
    -------
    (bins, g) int32 sparse, in the order of `square_layout`.
    """
    factor, n_genes = int(bin_um // FINE_UM), loadings.shape[1]
    columns_all, rows_all = hd_shape(field.geometry.size_um, bin_um)
    found = []
    for column, row, columns, rows in _blocks(field, _BLOCK_BINS):
        factors, _ = field.bins(column, row, columns, rows)
        rng = generator(*key, "bins", column, row)
        place, gene = _draw_molecules(factors.reshape(columns * rows, -1), loadings, rng)
        bin_row, bin_col = (row + place // columns) // factor, (column + place % columns) // factor
        kept = (bin_row < rows_all) & (bin_col < columns_all)
        entry = (bin_row[kept] * columns_all + bin_col[kept]) * n_genes + gene[kept]
        where, times = np.unique(entry, return_counts=True)  # larger bins never cross the border of a block
        found.append([part.astype(np.int32) for part in (times, where // n_genes, where % n_genes)])
    times, spots, genes = (np.concatenate(parts) for parts in zip(*found, strict=True))
    shape = (columns_all * rows_all, n_genes)
    return sparse.coo_matrix((times, (spots, genes)), shape=shape).tocsr()


def _draw_molecules(
    factors: NDArray[np.float32], loadings: Float, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Bin and gene of every molecule caught in some 2 um bins, from their factors (bins, r)."""
    totals = loadings.sum(axis=1)  # share of a place's molecules that each factor makes where it is 1
    made = np.cumsum(factors * totals, axis=1, dtype=np.float64)  # rises to 1 on tissue
    per_bin = rng.poisson(made[:, -1] * MOLECULES_PER_UM2 * FINE_UM**2 * rng.gamma(4.0, 0.25, len(made)))
    place = np.repeat(np.arange(len(made)), per_bin)
    made /= np.maximum(made[:, -1:], 1e-12)
    factor = _climb(made, place, rng)
    within = np.cumsum(loadings, axis=1) / np.maximum(totals, 1e-12)[:, None]
    return place, _climb(within, factor, rng)


def _climb(shares: Float, rows: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a column for each row number from that row's cumulative shares (n, k): one search in one rising ladder."""
    n, k = shares.shape
    ladder = (shares + np.arange(n)[:, None]).ravel()
    step = np.searchsorted(ladder, rows + rng.random(len(rows)), side="right") - rows * k
    column: NDArray[np.int64] = np.clip(step, 0, k - 1)
    return column


def _blocks(field: FactorField, side: int) -> Iterator[tuple[int, int, int, int]]:
    """Windows (column, row, columns, rows) of 2 um bins that cover the section."""
    columns, rows = (int(np.ceil(length / FINE_UM)) for length in field.geometry.size_um)
    for row in range(0, rows, side):
        for column in range(0, columns, side):
            yield column, row, min(side, columns - column), min(side, rows - row)


def mean_bins(values: NDArray[np.float32], factor: int) -> NDArray[np.float32]:
    """Mean over squares of factor x factor fine bins: (h, w, r) to (h / factor, w / factor, r)."""
    height, width, depth = values.shape
    grouped = values.reshape(height // factor, factor, width // factor, factor, depth)
    means: NDArray[np.float32] = grouped.mean(axis=(1, 3), dtype=np.float32)
    return means
