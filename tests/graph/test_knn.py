import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscribe.errors import ConfigError, InputError
from histoscribe.graph.knn import knn_graph


def test_points_on_a_line_join_their_nearest():
    xy = np.array([[0, 0], [1, 0], [3, 0], [3.5, 0]])
    assert knn_graph(xy, k=1).toarray().tolist() == [[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]


def test_no_edge_is_longer_than_the_limit_and_one_as_long_is_kept():
    xy = np.array([[0, 0], [2, 0], [5, 0]])
    assert knn_graph(xy, k=2, max_um=2.0).toarray().tolist() == [[0, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_fewer_points_than_neighbours_join_all():
    assert knn_graph(np.array([[0, 0], [1, 0], [0, 1]]), k=10).nnz == 6


def test_points_in_one_place_are_neighbours_and_never_their_own():
    graph = knn_graph(np.array([[0, 0], [0, 0], [0, 0], [9, 9]]), k=2)
    assert graph.diagonal().sum() == 0
    assert graph[:3, :3].nnz == 6


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.booleans())
def test_the_graph_is_symmetric_and_follows_the_rows(seed, k, ties):
    rng = np.random.default_rng(seed)
    grid = np.column_stack([np.arange(30) % 6, np.arange(30) // 6]).astype(float)
    xy = grid if ties else grid + rng.uniform(0, 0.4, grid.shape)
    order = rng.permutation(30)
    graph = knn_graph(xy, k=k)
    assert (graph != graph.T).nnz == 0
    assert np.diff(graph.indptr).min() >= k
    assert (knn_graph(xy[order], k=k) != graph[order][:, order]).nnz == 0


@pytest.mark.parametrize(
    ("xy", "options", "error", "words"),
    [
        (np.eye(2), {"k": 0}, ConfigError, "at least one neighbour"),
        (np.eye(2), {"k": 1, "max_um": 0.0}, ConfigError, "largest distance must be positive"),
        (np.zeros((5, 2)), {"k": 1}, InputError, "same coordinates"),
        (np.full((5, 2), np.inf), {"k": 1}, InputError, "no finite coordinates"),
        (np.zeros(5), {"k": 1}, InputError, "right shape"),
    ],
)
def test_what_cannot_be_is_refused(xy, options, error, words):
    with pytest.raises(error, match=words):
        knn_graph(xy, **options)
