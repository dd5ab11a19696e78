import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscribe.domains.refine import refine
from histoscribe.errors import ConfigError
from histoscribe.graph.knn import knn_graph
from histoscribe.graph.lattice import lattice_graph


def square(n=5, pitch_um=100.0):
    xy = np.column_stack([np.arange(n * n) % n, np.arange(n * n) // n]) * pitch_um
    return xy, lattice_graph(xy, kind="square", pitch_um=pitch_um)


def test_a_single_outlier_takes_the_label_around_it():
    xy, graph = square()
    labels = np.full(25, 3)
    labels[12] = labels[0] = 8  # the corner keeps the label in use
    labels[[1, 5]] = 8
    changed = refine(labels, graph=graph, xy_um=xy, max_um=150.0)
    assert changed[12] == 3
    assert changed[0] == 8


def test_a_firm_outlier_keeps_its_label():
    xy, graph = square()
    labels = np.where(np.isin(np.arange(25), [0, 1, 5, 12, 18]), 8, 3)
    changed = refine(labels, graph=graph, xy_um=xy, max_um=150.0, firm=np.arange(25) == 12)
    assert (changed[12], changed[18]) == (8, 3)


def test_a_straight_border_stays():
    xy, graph = square(6)
    labels = (xy[:, 0] > 250).astype(int)
    assert np.array_equal(refine(labels, graph=graph, xy_um=xy, max_um=150.0), labels)


def test_half_of_the_votes_is_not_a_majority():
    xy = np.array([[0.0, 0], [100, 0]])
    graph = knn_graph(xy, k=1)
    assert refine(np.array([1, 2]), graph=graph, xy_um=xy, max_um=150.0).tolist() == [1, 2]


def test_neighbours_across_a_gap_have_no_say():
    # one spot of label 2 beyond a gap of 400 um; without the cut its three nearest would outvote it
    xy = np.array([[0.0, 0], [100, 0], [50, 80], [450, 0], [-900, 0]])
    graph = knn_graph(xy[:4], k=3)
    labels = np.array([1, 1, 1, 2])
    graph.resize(5, 5)
    labels = np.append(labels, 2)
    assert refine(labels, graph=graph, xy_um=xy, max_um=150.0)[3] == 2
    assert refine(labels, graph=graph, xy_um=xy, max_um=1000.0)[3] == 1


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 3))
def test_a_label_never_crosses_a_gap_wider_than_the_cut(seed, rounds):
    rng = np.random.default_rng(seed)
    left = rng.uniform(0, 500, (30, 2))
    xy = np.concatenate([left, left + [500 + 200.1, 0]])
    labels = np.concatenate([rng.integers(0, 3, 30), rng.integers(3, 6, 30)])
    changed = refine(labels, graph=knn_graph(xy, k=20), xy_um=xy, max_um=200.0, rounds=rounds)
    assert changed[:30].max() < 3 <= changed[30:].min()


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000))
def test_no_domain_is_lost_and_the_rows_order_does_not_matter(seed):
    rng = np.random.default_rng(seed)
    xy, graph = square(6)
    labels = rng.integers(1, 12, 36)
    order = rng.permutation(36)
    changed = refine(labels, graph=graph, xy_um=xy, max_um=150.0, rounds=2)
    assert set(changed) == set(labels)
    again = refine(labels[order], graph=graph[order][:, order], xy_um=xy[order], max_um=150.0, rounds=2)
    assert np.array_equal(again, changed[order])


def test_a_distance_that_is_not_positive_is_refused():
    xy, graph = square()
    with pytest.raises(ConfigError, match="must be positive"):
        refine(np.zeros(25, int), graph=graph, xy_um=xy, max_um=0.0)
