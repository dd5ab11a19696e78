import numpy as np
from scipy import sparse

from histoscribe.domains.communities import communities


def cliques(sizes, bridge=0.01):
    """Complete graphs in a chain, joined by one light edge each."""
    blocks = [np.ones((size, size)) - np.eye(size) for size in sizes]
    dense = sparse.block_diag(blocks).toarray()
    ends = np.cumsum(sizes)
    for end in ends[:-1]:
        dense[end - 1, end] = dense[end, end - 1] = bridge
    return sparse.csr_matrix(dense), np.repeat(np.arange(len(sizes)), sizes)


def random_graph(n=300, seed=0):
    rng = np.random.default_rng(seed)
    dense = np.triu((rng.random((n, n)) < 0.05) * rng.random((n, n)), 1)
    return sparse.csr_matrix(dense + dense.T)


def partition(labels):
    return {frozenset(np.flatnonzero(labels == k).tolist()) for k in np.unique(labels)}


def test_cliques_are_found():
    graph, truth = cliques([8, 5, 12])
    assert partition(communities(graph, resolution=1.0, seed=0)) == partition(truth)


def test_the_same_seed_gives_the_same_communities_in_every_call():
    graph = random_graph()
    first = communities(graph, resolution=1.0, seed=7)
    assert all(np.array_equal(first, communities(graph, resolution=1.0, seed=7)) for _ in range(4))


def test_the_seed_matters_where_the_graph_does_not_decide():
    graph = random_graph()
    assert len({communities(graph, resolution=1.0, seed=s).tobytes() for s in range(4)}) > 1


def test_weights_are_honoured():
    ring = np.zeros((4, 4))
    for a, b, weight in [(0, 1, 5.0), (1, 2, 1.0), (2, 3, 5.0), (3, 0, 1.0)]:
        ring[a, b] = ring[b, a] = weight
    expected = {frozenset({0, 1}), frozenset({2, 3})}
    assert partition(communities(sparse.csr_matrix(ring), resolution=1.0, seed=0)) == expected
    turned = np.roll(ring, 1, axis=(0, 1))  # the heavy edges are now 1-2 and 3-0
    assert partition(communities(sparse.csr_matrix(turned), resolution=1.0, seed=0)) == {
        frozenset({1, 2}),
        frozenset({3, 0}),
    }


def test_a_higher_resolution_gives_more_communities_up_to_single_spots():
    graph = random_graph()
    counts = [communities(graph, resolution=r, seed=0).max() + 1 for r in (0.01, 1.0, 10.0, 1e6)]
    assert counts == sorted(counts)
    assert counts[0] < counts[1] < counts[-1] == 300


def test_communities_are_connected():
    graph = random_graph(seed=2)
    labels = communities(graph, resolution=1.0, seed=1)
    for k in np.unique(labels):
        inside = graph[labels == k][:, labels == k]
        assert sparse.csgraph.connected_components(inside)[0] == 1


def test_weights_that_differ_by_less_than_float32_do_not_hang():
    rng = np.random.default_rng(0)
    dense = np.triu(1.0 + rng.random((60, 60)) * 1e-9, 1)
    labels = communities(sparse.csr_matrix(dense + dense.T), resolution=1.0, seed=0)
    assert len(labels) == 60
