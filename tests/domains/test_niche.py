import numpy as np
import pytest
from scipy import sparse

from histoscribe.domains import niche as room
from histoscribe.domains.metrics import adjusted_rand_index
from histoscribe.domains.niche import niche
from histoscribe.graph.lattice import lattice_graph


def sequenced(field, seed=0, depth=60.0):
    """Counts of 60 genes of which a fourth follows the domains."""
    rng = np.random.default_rng(seed)
    level = np.ones((4, 60))
    level[:, :15] = rng.lognormal(0, 0.8, (4, 15))
    expected = depth * level[field.truth] / level.sum(axis=1).mean() * rng.uniform(0.5, 1.5, (len(field.truth), 1))
    return sparse.csr_matrix(rng.poisson(expected).astype(np.float32))


@pytest.fixture(scope="module")
def found(field):
    return niche({"counts": sequenced(field)}, **field.places, n_domains=4, seed=0)


def test_domains_are_found_from_counts_alone(field, found):
    assert adjusted_rand_index(found.labels, field.truth) > 0.75


def test_a_picture_of_noise_does_little_harm(field, found):
    noise = np.random.default_rng(1).normal(0, 50, (len(field.truth), 30))
    with_noise = niche({"counts": sequenced(field), "image": noise}, **field.places, n_domains=4, seed=0)
    share = with_noise.evidence["blocks"]
    assert share["image"]["coherence"] < 0.6 * share["counts"]["coherence"]
    assert adjusted_rand_index(with_noise.labels, field.truth) > 0.7


def test_the_seed_does_not_matter_where_there_are_counts(field, found):
    other = niche({"counts": sequenced(field)}, **field.places, n_domains=4, seed=7)
    assert np.array_equal(found.labels, other.labels)
    assert np.array_equal(found.confidence, other.confidence)


def test_the_seed_hardly_matters_where_there_is_a_picture_alone(field):
    one, other = (niche({"image": field.image}, **field.places, n_domains=4, seed=seed).labels for seed in (0, 7))
    assert adjusted_rand_index(one, other) > 0.9


def test_a_few_odd_spots_do_not_use_up_a_domain(field):
    counts = sequenced(field).toarray()
    far = [100, 260, 430]
    counts[far, 20:60] *= np.random.default_rng(2).integers(0, 12, (3, 40))
    labels = niche({"counts": sparse.csr_matrix(counts)}, **field.places, n_domains=4, seed=0).labels
    assert np.bincount(labels)[1:].min() >= 19  # a spot and its two rings
    assert adjusted_rand_index(labels, field.truth) > 0.75


@pytest.mark.parametrize("k", [2, 4, 7])
@pytest.mark.parametrize("clustering", ["leiden", "louvain"])
def test_communities_give_as_many_domains_as_asked_for(field, k, clustering):
    found = niche({"counts": sequenced(field)}, **field.places, n_domains=k, seed=0, clustering=clustering)
    assert np.array_equal(np.unique(found.labels), np.arange(1, k + 1))


@pytest.mark.parametrize("edge_weight", ["gaussian", "cosine"])
def test_communities_find_the_domains_too(field, edge_weight):
    options = {"clustering": "leiden", "edge_weight": edge_weight}
    found = niche({"counts": sequenced(field)}, **field.places, n_domains=4, seed=0, **options)
    assert adjusted_rand_index(found.labels, field.truth) > 0.7
    assert found.evidence.items() >= options.items()


def test_every_view_has_as_many_components_as_asked_for(field):
    blocks = {"counts": sequenced(field), "image": field.image}
    found = niche(blocks, **field.places, n_domains=4, seed=0, components=6).evidence["blocks"]
    assert found["counts"]["components"] == found["image"]["components"] == 6


def test_scaling_all_counts_of_a_spot_changes_no_gene_component(field):
    from histoscribe.domains.expression import expression_components
    from histoscribe.expression.normalise import library_size

    counts = sequenced(field)
    scaled = sparse.csr_matrix(
        sparse.diags(np.random.default_rng(0).integers(1, 9, len(field.truth)).astype(float)) @ counts
    )
    first, again = (
        expression_components(one, library=library_size(one), graph=field.graph, n_components=5, powers=(1.0,))[0]
        for one in (counts, scaled)
    )
    assert again == pytest.approx(first, abs=1e-3)


def test_a_chosen_number_comes_with_the_numbers_that_hold_as_well(field):
    choice = niche({"counts": sequenced(field)}, **field.places, n_domains=None, seed=0).evidence["choice"]
    assert choice["chosen"] in choice["admissible"]
    assert set(choice["admissible"]) <= set(choice["numbers"])
    assert set(choice["levels"]) <= set(choice["numbers"])
    assert abs(choice["chosen"] - 4) <= 1


@pytest.fixture
def small_limit(monkeypatch):
    """Sections of more than 400 spots count as large."""
    monkeypatch.setattr(room, "is_large", lambda xy_um: len(xy_um) > 400)
    monkeypatch.setattr(room, "make_cells", lambda xy_um: _make_cells(xy_um, n_cells=300))  # cells of 3 x 3 bins


def _make_cells(xy_um, n_cells):
    from histoscribe.domains.pooling import make_cells

    return make_cells(xy_um, n_cells=n_cells)


@pytest.fixture
def striped():
    """Bins of 8 um in three stripes, counts of 30 genes of which each stripe has its own third."""
    side = 40
    row, column = (axis.ravel() for axis in np.mgrid[:side, :side])
    xy_um = np.column_stack([column, row]) * 8.0
    truth = np.minimum(3 * row // side, 2)
    level = np.where(np.arange(30) % 3 == np.arange(3)[:, None], 4.0, 1.0)
    counts = sparse.csr_matrix(np.random.default_rng(0).poisson(0.3 * level[truth]).astype(np.float32))
    return counts, {"graph": lattice_graph(xy_um, kind="square", pitch_um=8.0), "xy_um": xy_um}, truth


def test_a_pooled_section_keeps_its_domains_whatever_the_order(small_limit, striped):
    counts, places, truth = striped
    graph, xy_um = places["graph"], places["xy_um"]
    first = niche({"counts": counts}, **places, n_domains=3, seed=0)
    order = np.random.default_rng(1).permutation(len(truth))
    again = niche({"counts": counts[order]}, graph=graph[order][:, order], xy_um=xy_um[order], n_domains=3, seed=0)
    assert first.evidence["units"] <= 400
    assert adjusted_rand_index(first.labels, truth) > 0.8
    assert np.array_equal(first.labels[order], again.labels)
    assert np.array_equal(first.confidence[order], again.confidence)


def test_a_pooled_section_is_divided_alike_from_dense_and_sparse_counts(small_limit, striped):
    counts, places, _ = striped
    sparse_ones, dense = (niche({"counts": c}, **places, n_domains=3, seed=0) for c in (counts, counts.toarray()))
    assert np.array_equal(sparse_ones.labels, dense.labels)
    assert np.array_equal(sparse_ones.confidence, dense.confidence)


def test_an_edge_is_no_domain(small_limit, striped):
    """Cells at the last row and column hold fewer bins than others, and spots there have fewer neighbours."""
    counts, places, _ = striped
    embedding = room.embed_niche({"counts": counts}, **places, n_domains=3)
    size = np.bincount(embedding.cells.cell)
    assert size.min() < size.max()
    for view in embedding.blocks.views:
        depth = view.X[:, view.columns["depth"]].ravel()
        assert abs(np.corrcoef(depth, size)[0, 1]) < 0.2


def test_neighbours_missing_at_an_edge_make_no_pooled_view_dark(field):
    views = room.embed_niche({"counts": sequenced(field)}, **field.places, n_domains=4).blocks.views
    neighbours = np.asarray((field.graph > 0).sum(axis=1)).ravel()
    pooled = [view.X[:, view.columns["depth"]].ravel() for view in views if view.pooled]
    assert pooled
    for depth in pooled:
        assert abs(np.corrcoef(depth, neighbours)[0, 1]) < 0.3
