"""Moran's I, against what can be counted by hand."""

import numpy as np
import pytest
from scipy import sparse

from histoscribe.graph.lattice import lattice_graph
from histoscribe.graph.moran import morans_i

# six spots in a row
PATH = sparse.csr_matrix(np.eye(6, k=1) + np.eye(6, k=-1))


def test_morans_i_counted_by_hand():
    # on the path, mean 0: neighbours' means are 1, 1, 0, 0, -1, -1, so the sum of products is 4 over a variance of 6
    values = np.array([1.0, 1, 1, -1, -1, -1])[:, None]
    assert morans_i(values, PATH, row_standardised=True) == pytest.approx([4 / 6])


def test_morans_i_is_the_same_for_sparse_and_shifted_values():
    values = np.random.default_rng(0).poisson(2.0, (6, 4)).astype(float)
    assert morans_i(sparse.csr_matrix(values), PATH) == pytest.approx(morans_i(values + 5, PATH))


def test_morans_i_is_minus_one_on_a_chessboard_and_near_one_on_a_slope():
    row, column = np.divmod(np.arange(400), 20)
    graph = lattice_graph(np.column_stack([column, row]) * 1.0, kind="square", pitch_um=1.0)
    values = np.column_stack([(row + column) % 2, row, np.full(400, 3)]).astype(float)
    i = morans_i(sparse.csr_matrix(values), graph)
    assert i[0] == pytest.approx(-1.0)
    assert i[1] > 0.9
    assert i[2] == 0.0


@pytest.mark.parametrize("row_standardised", [False, True])
def test_morans_i_is_that_of_the_formula(row_standardised):
    rng = np.random.default_rng(1)
    values = rng.normal(3.0, 0.01, (30, 3))
    half = np.triu(rng.random((30, 30)) < 0.2, 1)
    W = (half | half.T).astype(float)
    W[7], W[:, 7] = 0, 0  # a spot without neighbours
    expected = []
    joined = W.sum(axis=1) > 0 if row_standardised else np.ones(30, bool)
    w = W[joined][:, joined]
    w = w / w.sum(axis=1, keepdims=True) if row_standardised else w
    for x in values[joined].T:
        z = x - x.mean()
        expected.append(len(z) / w.sum() * (z @ w @ z) / (z @ z))
    found = morans_i(values, sparse.csr_matrix(W), row_standardised=row_standardised)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("row_standardised", [False, True])
def test_without_neighbours_nothing_is_alike(row_standardised):
    assert morans_i(np.eye(3), sparse.csr_matrix((3, 3)), row_standardised=row_standardised).tolist() == [0, 0, 0]


@pytest.mark.parametrize("value", [0.0, 0.1, 1e3, 1e6])
def test_a_constant_column_scores_nothing(value):
    assert morans_i(np.full((6, 1), value), PATH).tolist() == [0]
