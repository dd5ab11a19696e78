import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from histoscribe.domains.pooling import averaged, is_large, make_cells, summed
from histoscribe.graph.checks import sorted_by_place


def places(n, seed=0):
    xy = np.random.default_rng(seed).uniform(0, [900, 500], (n, 2))
    return xy[sorted_by_place(xy)]


@settings(max_examples=20, deadline=None)
@given(n=st.integers(200, 1500), seed=st.integers(0, 99))
def test_cells_are_no_more_than_asked_for_and_hold_every_spot(n, seed):
    cells = make_cells(places(n, seed), n_cells=100)
    assert len(cells.xy_um) <= 100
    assert np.array_equal(np.unique(cells.cell), np.arange(len(cells.xy_um)))


def test_counts_are_added_up_as_if_all_cells_held_as_many_spots():
    xy = places(600)
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(1.0, (600, 12)).astype(np.float32))
    cells = make_cells(xy, n_cells=50)
    pooled = summed(counts, cells, np.arange(600)).toarray()
    size = np.bincount(cells.cell)
    assert size.min() < size.max()
    assert size @ pooled / size.mean() == pytest.approx(counts.toarray().sum(axis=0))
    assert pooled[3] == pytest.approx(counts[cells.cell == 3].toarray().mean(axis=0) * 600 / len(size))


def test_features_are_averaged():
    xy = places(600)
    cells = make_cells(xy, n_cells=50)
    assert averaged(xy, cells)[7] == pytest.approx(xy[cells.cell == 7].mean(axis=0))


def test_a_spots_weights_add_up_to_one():
    cells = make_cells(places(800), n_cells=60)
    assert np.asarray(cells.between.sum(axis=1)).ravel() == pytest.approx(np.ones(800))


def test_a_plane_is_interpolated_exactly_inside():
    row, column = (axis.ravel() for axis in np.mgrid[:40, :40])
    xy = np.column_stack([column, row]).astype(float)
    cells = make_cells(xy, n_cells=100)
    inside = ((xy > 6) & (xy < 33)).all(axis=1)
    assert (cells.between @ cells.xy_um)[inside] == pytest.approx(xy[inside])


def lattice(side, pitch):
    row, column = (axis.ravel() for axis in np.mgrid[:side, :side])
    return np.column_stack([column, row]) * pitch + 3.7


def test_whether_spots_are_pooled_is_decided_by_how_near_they_lie_not_by_their_number_alone():
    assert not is_large(lattice(230, 100.0))  # 52,900 spots of Visium's pitch
    assert is_large(lattice(230, 8.0))
    assert not is_large(lattice(220, 8.0))


@pytest.mark.parametrize("n_cells", [100, 399, 401, 900, 1599])
def test_on_a_lattice_all_cells_hold_as_many_bins(n_cells):
    cells = make_cells(lattice(40, 8.0), n_cells=n_cells)
    size = np.bincount(cells.cell)
    inner = size[(cells.xy_um > 40).all(axis=1) & (cells.xy_um < 270).all(axis=1)]
    assert len(size) <= n_cells
    assert (inner == inner[0]).all()
    assert inner[0] == np.ceil(np.sqrt(1600 / n_cells)) ** 2
