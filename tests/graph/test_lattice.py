import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscribe.errors import ConfigError, InputError
from histoscribe.graph.lattice import lattice_graph


def hexagonal(columns, rows, pitch_um=100.0):
    row, column = np.mgrid[:rows, :columns]
    return np.column_stack([((column + 0.5 * (row % 2)) * pitch_um).ravel(), (row * pitch_um * 3**0.5 / 2).ravel()])


def square(columns, rows, pitch_um=200.0):
    row, column = np.mgrid[:rows, :columns]
    return np.column_stack([column.ravel(), row.ravel()]) * pitch_um


def degrees(graph):
    return np.diff(graph.indptr)


def same(a, b):
    return (a != b).nnz == 0


@pytest.mark.parametrize(
    ("xy", "options", "inside"),
    [
        (hexagonal(9, 9), {"kind": "hex", "pitch_um": 100.0}, 6),
        (square(9, 9), {"kind": "square", "pitch_um": 200.0}, 4),
        (square(9, 9), {"kind": "square", "pitch_um": 200.0, "diagonal": True}, 8),
    ],
)
def test_an_inner_spot_has_all_its_neighbours(xy, options, inside):
    assert degrees(lattice_graph(xy, **options))[40] == inside  # the middle of 9 x 9


def test_a_small_lattice_gives_the_neighbours_drawn_by_hand():
    graph = lattice_graph(square(2, 2), kind="square", pitch_um=200.0)
    assert graph.toarray().tolist() == [[0, 1, 1, 0], [1, 0, 0, 1], [1, 0, 0, 1], [0, 1, 1, 0]]


@pytest.mark.parametrize("kind", ["hex", "square"])
def test_a_warp_of_a_tenth_of_the_pitch_changes_nothing(kind):
    xy = {"hex": hexagonal(12, 12), "square": square(12, 12, 100.0)}[kind]
    shift = np.random.default_rng(0).uniform(-1, 1, xy.shape)
    warped = xy * 1.02 + 100 * 0.04 * shift / np.linalg.norm(shift, axis=1, keepdims=True)
    assert same(lattice_graph(xy, kind=kind, pitch_um=100.0), lattice_graph(warped, kind=kind, pitch_um=100.0))


def test_missing_spots_leave_a_hole_and_no_longer_edges():
    xy = hexagonal(10, 10)
    kept = np.random.default_rng(1).random(100) < 0.6
    whole = lattice_graph(xy, kind="hex", pitch_um=100.0)
    assert same(lattice_graph(xy[kept], kind="hex", pitch_um=100.0), whole[kept][:, kept])


def test_pieces_further_apart_than_the_pitch_are_not_joined():
    two = np.concatenate([square(3, 3), square(3, 3) + [0, 1000]])
    graph = lattice_graph(two, kind="square", pitch_um=200.0)
    assert graph[:9, 9:].nnz == 0


def test_spots_on_one_heap_do_not_make_every_pair_neighbours():
    heap = np.concatenate([np.zeros((3000, 2)), square(2, 2)])
    assert lattice_graph(heap, kind="square", pitch_um=200.0).nnz < 3000 * 20


def test_a_single_spot_has_no_neighbours():
    assert lattice_graph(np.zeros((1, 2)), kind="hex", pitch_um=100.0).nnz == 0


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000))
def test_the_graph_is_symmetric_without_loops_and_follows_the_rows(seed):
    rng = np.random.default_rng(seed)
    xy = hexagonal(6, 7)[rng.random(42) < 0.8]
    order = rng.permutation(len(xy))
    graph = lattice_graph(xy, kind="hex", pitch_um=100.0)
    assert same(graph, graph.T)
    assert graph.diagonal().sum() == 0
    assert same(lattice_graph(xy[order], kind="hex", pitch_um=100.0), graph[order][:, order])


def test_a_tenfold_error_of_scale_is_refused_with_both_distances():
    with pytest.raises(InputError, match=r"expected: neighbours 100 um apart\n  found: nearest spots 1000 um apart"):
        lattice_graph(hexagonal(5, 5) * 10, kind="hex", pitch_um=100.0)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"kind": "triangle"}, ConfigError, "no such lattice"),
        ({"diagonal": True}, ConfigError, "no such lattice"),
        ({"pitch_um": 0.0}, ConfigError, "pitch must be positive"),
        ({"pitch_um": float("nan")}, ConfigError, "pitch must be positive"),
        ({"xy_um": np.zeros((4, 3))}, InputError, "right shape"),
        ({"xy_um": np.zeros((0, 2))}, InputError, "right shape"),
        ({"xy_um": np.ones((4, 2))}, InputError, "same coordinates"),
        ({"xy_um": np.array([[0, 0], [np.nan, 1]])}, InputError, "no finite coordinates"),
    ],
)
def test_what_cannot_be_is_refused(change, error, words):
    arguments = {"xy_um": hexagonal(4, 4), "kind": "hex", "pitch_um": 100.0} | change
    with pytest.raises(error, match=words):
        lattice_graph(arguments.pop("xy_um"), **arguments)


@pytest.mark.parametrize("degrees_turned", [0, 17, 45, 80])
@pytest.mark.parametrize("kind", ["hex", "square"])
def test_a_rotated_lattice_has_the_same_neighbours(kind, degrees_turned):
    xy = {"hex": hexagonal(9, 8), "square": square(9, 8, 100.0)}[kind]
    c, s = np.cos(np.radians(degrees_turned)), np.sin(np.radians(degrees_turned))
    turned = lattice_graph(xy @ np.array([[c, s], [-s, c]]), kind=kind, pitch_um=100.0)
    assert same(turned, lattice_graph(xy, kind=kind, pitch_um=100.0))


@pytest.mark.parametrize("diagonal", [False, True])
def test_the_wider_gaps_between_blocks_of_a_printed_array_are_bridged(diagonal):
    xy = square(10, 10)
    gapped = xy + np.column_stack([60.0 * (xy[:, 0] // 1000), 60.0 * (xy[:, 1] // 600)])  # 260 um every few spots
    options = {"kind": "square", "pitch_um": 200.0, "diagonal": diagonal}
    assert same(lattice_graph(gapped, **options), lattice_graph(xy, **options))
