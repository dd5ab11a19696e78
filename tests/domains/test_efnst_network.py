import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscribe.domains.efnst_settings import EfnstSettings

torch = pytest.importorskip("torch")

from histoscribe.domains import efnst_network as parts  # noqa: E402


def network(width=7, n_sections=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return parts.build_network(width, settings=EfnstSettings(), n_sections=n_sections, generator=generator)


def path(n):
    """Edges of a path, both directions."""
    one, two = torch.arange(n - 1), torch.arange(1, n)
    return torch.cat([one, two]), torch.cat([two, one])


def test_first_weights_come_from_the_generator_alone():
    one = network()
    torch.rand(3)
    two, other = network(), network(seed=1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not torch.equal(one.mean.own.weight, other.mean.own.weight)


def test_the_graph_layer_computes_its_formula():
    layer = network().conv
    h, (source, target) = torch.randn(3, 20), path(3)
    found = layer(h, source, target)
    gate = torch.sigmoid(layer.towards(h[1]) + layer.away(h[[0, 2]]))
    expected = layer.own(h[1]) + (gate * layer.value(h[[0, 2]])).mean(dim=0)
    assert torch.allclose(found[1], expected, atol=1e-6)


def test_a_spot_without_neighbours_is_given_its_own_part_alone():
    layer, h = network().conv, torch.randn(1, 20)
    none = torch.empty(0, dtype=torch.int64)
    assert torch.allclose(layer(h, none, none), layer.own(h))


def test_the_decoder_reaches_negative_and_large_values():
    net = network().eval()
    restored = net.decoder(100 * torch.randn(50, 28))
    assert restored.min() < -1
    assert restored.max() > 1


def test_edge_logits_are_not_squashed():
    z = torch.tensor([[3.0, 0.0], [4.0, 0.0], [-2.0, 0.0]])
    found = parts.edge_logits(z, torch.tensor([0, 0]), torch.tensor([1, 2]))
    assert found.tolist() == [12.0, -6.0]


def test_divergence_of_the_standard_normal_is_nothing():
    assert float(parts.divergence(torch.zeros(5, 3), torch.zeros(5, 3))) == 0


@pytest.mark.parametrize("n", [4, 400])
def test_divergence_does_not_shrink_with_the_section(n):
    assert float(parts.divergence(torch.ones(n, 3), torch.zeros(n, 3))) == pytest.approx(1.5)


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(0, 2**31))
def test_assignments_and_targets_add_up_to_one(k, seed):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(40, 4, generator=generator)
    q = parts.soft_assignment(z, z[:k], alpha=0.8)
    p = parts.target_distribution(q)
    assert torch.allclose(q.sum(dim=1), torch.ones(40), atol=1e-5)
    assert torch.allclose(p.sum(dim=1), torch.ones(40), atol=1e-5)


def test_targets_are_sharper_than_the_assignment():
    q = torch.tensor([[0.7, 0.3], [0.3, 0.7]])
    assert parts.target_distribution(q)[0].tolist() == pytest.approx([0.49 / 0.58, 0.09 / 0.58])


def test_the_nearest_centre_is_the_likeliest():
    z = torch.tensor([[0.0, 0.0], [5.0, 5.0]])
    assert parts.soft_assignment(z, z, alpha=0.8).argmax(dim=1).tolist() == [0, 1]


def test_the_reversed_gradient_leaves_values_and_turns_gradients():
    z = torch.tensor([1.0, -2.0], requires_grad=True)
    out = parts.reversed_gradient(z)
    out.sum().backward()
    assert out.tolist() == [1.0, -2.0]
    assert z.grad.tolist() == [-1.0, -1.0]


def test_one_section_has_no_adversary():
    assert network().adversary is None
    assert network(n_sections=2).adversary is not None


def test_batches_cover_every_spot_once_with_two_rings_around():
    from histoscribe.domains.efnst_batches import Neighbourhoods
    from histoscribe.graph.lattice import lattice_graph

    row, column = np.mgrid[:30, :30]
    xy = np.column_stack([column.ravel() * 100.0, row.ravel() * 100.0])
    graph = lattice_graph(xy, kind="square", pitch_um=100.0)
    reach = (graph + graph @ graph).astype(bool)
    core = []
    for batch in Neighbourhoods(graph, xy, batch_spots=200).epoch(np.random.default_rng(0)):
        own = batch.rows[: batch.n_core]
        core.append(own)
        assert set(reach[own].indices) <= set(batch.rows)
        assert (graph[batch.rows[batch.source], batch.rows[batch.target]] == 1).all()
    assert np.array_equal(np.sort(np.concatenate(core)), np.arange(900))


def test_the_embedding_does_not_depend_on_where_batches_are_cut():
    from histoscribe.domains.efnst_train import Trainer
    from histoscribe.graph.lattice import lattice_graph

    row, column = np.mgrid[:20, :20]
    xy = np.column_stack([column.ravel() * 100.0, row.ravel() * 100.0])
    graph = lattice_graph(xy, kind="square", pitch_um=100.0)
    X = np.random.default_rng(0).normal(size=(400, 6))

    def untrained(batch_spots):
        chosen = EfnstSettings(pre_epochs=0, batch_spots=batch_spots)
        section = np.zeros(400, int)
        return Trainer(X, graph=graph, xy_um=xy, section=section, settings=chosen, seed=0).pretrain().embedding

    assert np.allclose(untrained(4096), untrained(100), atol=1e-5)
