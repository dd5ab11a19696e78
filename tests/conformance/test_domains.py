"""What every registered domain method must do."""

import json
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from threadpoolctl import threadpool_limits

from histoscribe.domains import DOMAINS
from histoscribe.domains.metrics import adjusted_rand_index
from histoscribe.errors import ConfigError, InputError
from histoscribe.graph.knn import knn_graph
from histoscribe.graph.lattice import lattice_graph

COLUMNS, ROWS = 12, 11
N = COLUMNS * ROWS


# what divides the features of the built-in methods, beside their own choice
CHOSEN = [("niche", "leiden"), ("histology", "louvain"), ("histology", "mixture")]


def method_name(method):
    function = method.func if isinstance(method, partial) else method
    return function.__name__


@pytest.fixture(params=[*((name, None) for name in DOMAINS.names()), *CHOSEN], scope="module", ids=str)
def method(request):
    name, clustering = request.param
    return DOMAINS.get(name) if clustering is None else partial(DOMAINS.get(name), clustering=clustering)


def case(seed=0):
    """Three bands on a hexagonal lattice, 20 features."""
    rng = np.random.default_rng(seed)
    row, column = np.mgrid[:ROWS, :COLUMNS]
    xy_um = np.column_stack([((column + 0.5 * (row % 2)) * 100.0).ravel(), (row * 100.0 * 3**0.5 / 2).ravel()])
    truth = (row.ravel() * 3) // ROWS
    image = rng.normal(0, 1, (3, 20))[truth] * 2 + rng.normal(0, 1, (N, 20))
    return {
        "blocks": {"image": image, "position": xy_um},
        "graph": lattice_graph(xy_um, kind="hex", pitch_um=100.0),
        "xy_um": xy_um,
        "n_domains": 3,
        "seed": 0,
    }


READ_COUNTS = ("efnst", "niche")
COUNTING = [("efnst", None), ("niche", None), ("niche", "leiden")]


def counts_case(seed=0, genes=40):
    """The same bands shown by counts: in each, a third of the genes is three times as high."""
    given, rng = case(seed), np.random.default_rng(seed)
    row = np.mgrid[:ROWS, :COLUMNS][0].ravel()
    level = np.ones((3, genes))
    for band in range(3):
        level[band, band::3] = 3.0
    counts = rng.poisson(4 * level[(row * 3) // ROWS] * rng.uniform(0.6, 1.4, (N, 1)))
    return given | {"blocks": {"counts": sparse.csr_matrix(counts.astype(np.float32))}}


def call_counts(method, **changes):
    arguments = counts_case() | changes
    return method(arguments.pop("blocks"), **arguments)


def with_counts(counts):
    return {"blocks": {"counts": sparse.csr_matrix(counts)}}


@pytest.fixture(params=COUNTING, scope="module", ids=str)
def counting(request):
    name, clustering = request.param
    return DOMAINS.get(name) if clustering is None else partial(DOMAINS.get(name), clustering=clustering)


def call(method, **changes):
    arguments = case() | changes
    return method(arguments.pop("blocks"), **arguments)


@pytest.mark.parametrize("n", [3, 4, 5, 7, 12, 30])
@pytest.mark.parametrize("n_domains", [None, 2])
def test_a_handful_of_spots_gives_domains(method, n, n_domains):
    """As few as three spots, which may all be neighbours of each other, end in no traceback."""
    rng = np.random.default_rng(n)
    xy_um = 100.0 * np.column_stack([np.arange(n) % 5, np.arange(n) // 5])
    blocks = {
        "counts": sparse.csr_matrix(rng.poisson(5.0, (n, 30)).astype(np.float32)),
        "image": rng.normal(size=(n, 9)),
    }
    if method_name(method) not in READ_COUNTS:
        del blocks["counts"]
    found = method(blocks, graph=knn_graph(xy_um, k=6), xy_um=xy_um, n_domains=n_domains, seed=0)
    assert len(found.labels) == n
    if n_domains is not None:
        assert len(np.unique(found.labels)) == n_domains
    assert np.isfinite(found.confidence).all()


@pytest.fixture(scope="module")
def reference(method):
    with threadpool_limits(limits=1):
        return call(method)


def test_a_result_has_a_label_and_a_confidence_for_every_spot(reference):
    assert reference.labels.shape == reference.confidence.shape == (N,)
    assert reference.labels.dtype == np.int64
    assert reference.confidence.dtype == np.float64
    assert 0 <= reference.confidence.min() <= reference.confidence.max() <= 1


@pytest.mark.parametrize("k", range(1, 13))
def test_a_requested_number_is_obeyed(method, k):
    assert np.array_equal(np.unique(call(method, n_domains=k).labels), np.arange(1, k + 1))


def test_labels_are_ordered_by_size(reference):
    sizes = np.bincount(reference.labels)[1:]
    assert list(sizes) == sorted(sizes, reverse=True)


def test_without_a_number_one_is_chosen_with_evidence(method):
    result = call(method, n_domains=None)
    assert result.evidence["requested"] is None
    assert result.evidence["n_domains"] == len(np.unique(result.labels))
    assert len(result.evidence["choice"]["stability"]) > 1


def test_evidence_is_fit_for_json(reference):
    assert json.loads(json.dumps(reference.evidence, allow_nan=False)) == reference.evidence


def test_the_same_call_gives_the_same_result(method, reference):
    again = call(method)
    assert np.array_equal(again.labels, reference.labels)
    assert np.array_equal(again.confidence, reference.confidence)


def test_two_threads_give_the_same_bytes(method, reference):
    with threadpool_limits(limits=2):
        result = call(method)
    assert result.labels.tobytes() == reference.labels.tobytes()
    assert result.confidence.tobytes() == reference.confidence.tobytes()


@settings(max_examples=6, deadline=None)
@given(order=st.permutations(range(N)))
def test_labels_follow_the_rows(method, reference, order):
    given, order = case(), np.array(order)
    result = call(
        method,
        blocks={name: block[order] for name, block in given["blocks"].items()},
        graph=given["graph"][order][:, order],
        xy_um=given["xy_um"][order],
    )
    assert np.array_equal(result.labels, reference.labels[order])
    assert np.array_equal(result.confidence, reference.confidence[order])


def test_nothing_that_was_handed_in_is_changed(method):
    arguments, untouched = case(), case()
    method(arguments.pop("blocks"), **arguments)
    assert np.array_equal(arguments["xy_um"], untouched["xy_um"])
    assert (arguments["graph"] != untouched["graph"]).nnz == 0


def test_pieces_of_tissue_far_apart_are_labelled_together(method):
    given = case()
    xy_um = np.concatenate([given["xy_um"], given["xy_um"] + [9000, 0]])
    image = np.concatenate([given["blocks"]["image"]] * 2) + np.random.default_rng(1).normal(0, 0.1, (2 * N, 20))
    result = call(
        method,
        blocks={"image": image, "position": xy_um},
        graph=lattice_graph(xy_um, kind="hex", pitch_um=100.0),
        xy_um=xy_um,
    )
    assert (result.labels[:N] == result.labels[N:]).mean() > 0.9


def test_spots_with_equal_features_and_places_do_no_harm(method):
    given = case()
    double = np.repeat(np.arange(N), 2)
    xy_um = given["xy_um"][double]
    graph = lattice_graph(xy_um + np.tile([[0, 0], [1.0, 0]], (N, 1)), kind="hex", pitch_um=100.0)
    image = given["blocks"]["image"][double]
    assert len(np.unique(call(method, blocks={"image": image}, graph=graph, xy_um=xy_um).labels)) == 3


def small(n):
    xy_um = np.column_stack([np.arange(n) * 100.0, np.zeros(n)])
    return {
        "blocks": {"image": np.arange(n * 2.0).reshape(n, 2)},
        "graph": lattice_graph(xy_um, kind="hex", pitch_um=100.0),
        "xy_um": xy_um,
        "n_domains": 1,
    }


def with_image(image):
    return {"blocks": {"image": image}}


def image_with(value):
    image = case()["blocks"]["image"].copy()
    image[5, 3] = value
    return image


def one_way():
    graph = case()["graph"].tolil()
    graph[0, 1] = 0
    return graph.tocsr()


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        (small(1), InputError, "too few spots"),
        (small(2), InputError, "too few spots"),
        (with_image(np.ones((N, 20))), InputError, "no feature differs"),
        (with_image(image_with(np.nan)), InputError, "missing or infinite values in 1 of 132"),
        (with_image(image_with(np.inf)), InputError, "missing or infinite values in 1 of 132"),
        (with_image(np.ones((N - 1, 20))), InputError, "does not fit the spots"),
        (with_image(np.ones(N)), InputError, "does not fit the spots"),
        ({"blocks": {}}, InputError, "no features"),
        ({"n_domains": N + 1}, ConfigError, "more domains than spots"),
        ({"n_domains": 0}, ConfigError, "at least one domain"),
        ({"n_domains": -3}, ConfigError, "at least one domain"),
        ({"weights": {"imag": 1.0}}, ConfigError, "did you mean image"),
        ({"weights": {"image": -1.0}}, ConfigError, "must not be negative"),
        ({"weights": {"image": 0.0, "position": 0.0}}, ConfigError, "every feature block has the weight 0"),
        ({"blocks": {"smell": np.ones((N, 2))}}, ConfigError, "'smell' has no weight"),
        ({"graph": case()["graph"] * 0}, InputError, "no spot has a neighbour"),
        ({"graph": case()["graph"][:10, :10]}, InputError, "graph does not fit"),
        ({"graph": case()["graph"].toarray()}, InputError, "graph does not fit"),
        ({"graph": one_way()}, InputError, "not symmetric"),
        ({"xy_um": np.zeros((N, 2))}, InputError, "same coordinates"),
        ({"xy_um": np.full((N, 2), np.nan)}, InputError, "no finite coordinates"),
        ({"xy_um": np.zeros((N, 3))}, InputError, "right shape"),
    ],
)
def test_bad_input_is_refused_with_words(method, changes, error, words):
    with pytest.raises(error, match=words):
        call(method, **changes)


def shuffled(arguments, order):
    """The same section with its rows in another order."""
    blocks = {name: block[order] for name, block in arguments["blocks"].items()}
    return {"blocks": blocks, "graph": arguments["graph"][order][:, order], "xy_um": arguments["xy_um"][order]}


def test_the_message_on_a_bad_value_names_the_callers_row(method):
    changes = shuffled(case(), np.random.default_rng(5).permutation(N))
    changes["blocks"]["image"][17, 3] = np.nan
    with pytest.raises(InputError) as refused:
        call(method, **changes)
    assert refused.value.found == "first in row 17"


def test_the_message_on_a_bad_count_names_the_callers_row(counting):
    changes = shuffled(counts_case(), np.random.default_rng(5).permutation(N))
    counts = changes["blocks"]["counts"].toarray()
    counts[17, 3] = -1.0
    with pytest.raises(InputError) as refused:
        call_counts(counting, **changes | {"blocks": {"counts": counts}})
    assert refused.value.found == "1 of them, the first in row 17"


BANDS = (np.mgrid[:ROWS, :COLUMNS][0].ravel() * 3) // ROWS


def test_counts_alone_give_domains(counting):
    assert adjusted_rand_index(call_counts(counting).labels, BANDS) > 0.5


def test_dense_counts_and_sparse_ones_are_the_same(counting):
    sparse_one = call_counts(counting)
    dense = call_counts(counting, blocks={"counts": counts_case()["blocks"]["counts"].toarray()})
    assert np.array_equal(sparse_one.labels, dense.labels)


def test_counts_follow_the_rows(counting):
    order = np.random.default_rng(5).permutation(N)
    reference, turned = call_counts(counting), call_counts(counting, **shuffled(counts_case(), order))
    assert np.array_equal(turned.labels, reference.labels[order])


def test_genes_that_are_all_zero_change_nothing(counting):
    counts = counts_case()["blocks"]["counts"]
    more = sparse.hstack([counts, sparse.csr_matrix((N, 30))], format="csr")
    assert np.array_equal(call_counts(counting, **with_counts(more)).labels, call_counts(counting).labels)


def test_spots_that_are_all_zero_get_a_label_too(counting):
    counts = counts_case()["blocks"]["counts"].toarray()
    counts[[3, 40, 41]] = 0
    assert np.array_equal(np.unique(call_counts(counting, **with_counts(counts)).labels), [1, 2, 3])


def test_one_gene_is_enough(counting):
    counts = np.random.default_rng(0).poisson(3 + 5 * BANDS)[:, None].astype(np.float32)
    blocks = {"counts": sparse.csr_matrix(counts), "image": case()["blocks"]["image"]}
    assert np.array_equal(np.unique(call(counting, blocks=blocks).labels), [1, 2, 3])


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (np.zeros((N, 5)), "no feature differs"),
        (np.zeros((N, 0)), "wrong shape"),
        (np.full((N, 5), -1.0), "negative"),
    ],
)
def test_uninformative_counts_are_refused(counting, counts, words):
    with pytest.raises(InputError, match=words):
        call_counts(counting, **with_counts(counts))


def test_the_latent_features_stand_in_the_order_of_the_spots(method):
    given = counts_case() if method in [DOMAINS.get(name) for name in READ_COUNTS] else case()
    found = method(**given)
    if found.latent is None:
        return
    assert found.latent.dtype == np.float32
    assert found.latent.shape[0] == N
    assert np.isfinite(found.latent).all()
    order = np.random.default_rng(1).permutation(N)
    blocks = {name: block[order] for name, block in given["blocks"].items()}
    turned = method(
        **given | {"blocks": blocks, "xy_um": given["xy_um"][order], "graph": given["graph"][order][:, order]}
    )
    assert np.array_equal(turned.latent, found.latent[order])


def test_methods_that_divide_a_latent_give_it():
    for name in READ_COUNTS:
        assert DOMAINS.get(name)(**counts_case()).latent is not None
