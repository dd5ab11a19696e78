import numpy as np
import pytest
from scipy import sparse

from histoscribe.domains.efnst_augment import augmented, components, expression_components, similar_neighbours

PITCH = 100.0


def lattice(columns=12, rows=10):
    row, column = np.mgrid[:rows, :columns]
    return np.column_stack([((column + 0.5 * (row % 2)) * PITCH).ravel(), (row * PITCH * 3**0.5 / 2).ravel()])


def weights(xy, k=36, expression=None, image=None):
    return similar_neighbours(xy, pitch_um=PITCH, expression=expression, image=image, k=k)


def test_only_spots_within_three_pitches_lend():
    xy = lattice()
    pairs = weights(xy).tocoo()
    assert np.linalg.norm(xy[pairs.row] - xy[pairs.col], axis=1).max() == pytest.approx(3 * PITCH)
    assert not (pairs.row == pairs.col).any()


def test_a_spot_in_the_middle_of_a_hexagonal_lattice_has_36_within_three_pitches():
    assert np.diff(weights(lattice()).indptr).max() == 36


@pytest.mark.parametrize("jitter", [0.0, 1e-9, 0.5])
def test_small_errors_of_the_lattice_change_no_neighbour(jitter):
    xy = lattice()
    moved = xy + np.random.default_rng(0).uniform(-jitter, jitter, xy.shape)
    assert (weights(moved).astype(bool) != weights(xy).astype(bool)).nnz == 0


def test_rows_add_up_to_one_and_hold_k_at_most():
    expression = np.random.default_rng(0).normal(size=(120, 8))
    found = weights(lattice(), k=4, expression=expression)
    total = np.asarray(found.sum(axis=1)).ravel()
    assert np.diff(found.indptr).max() == 4
    assert total[total > 0] == pytest.approx(1.0)


def test_spots_of_contrary_expression_lend_nothing():
    xy = lattice()
    kind = np.where(np.arange(len(xy)) % 2, 1.0, -1.0)
    expression = kind[:, None] * np.random.default_rng(0).normal(size=8)
    pairs = weights(xy, expression=expression).tocoo()
    assert (kind[pairs.row] == kind[pairs.col]).all()


def test_the_picture_decides_between_spots_of_equal_expression():
    xy = lattice()
    left = xy[:, 0] < xy[:, 0].mean()
    image = np.where(left[:, None], [1.0, 0.0], [0.0, 1.0])
    pairs = weights(xy, expression=np.tile([1.0, 2.0, 4.0], (len(xy), 1)), image=image).tocoo()
    assert pairs.nnz
    assert (left[pairs.row] == left[pairs.col]).all()


def test_a_constant_section_is_not_changed_by_augmentation():
    X = np.full((120, 3), 2.5)
    assert augmented(X, weights(lattice(), k=4), strength=0.7) == pytest.approx(X)


def test_a_spot_without_lenders_keeps_its_own():
    X = np.random.default_rng(0).normal(size=(2, 3))
    far = weights(np.array([[0.0, 0.0], [5000.0, 0.0]]))
    assert np.array_equal(augmented(X, far, strength=0.5), X)


def test_components_do_not_depend_on_sequencing_depth():
    rng = np.random.default_rng(0)
    counts = rng.poisson(20, (50, 30)) + 1
    deep = counts * rng.integers(1, 20, 50)[:, None]
    section = np.zeros(50, int)
    shallow, other = (expression_components(sparse.csr_matrix(c), section=section, n_comps=5) for c in (counts, deep))
    assert np.allclose(shallow, other, atol=1e-3)


def test_components_of_sparse_and_dense_are_the_same_and_equal_the_exact_ones():
    X = np.random.default_rng(0).poisson(1.0, (60, 12)).astype(float)
    section = np.zeros(60, int)
    z = (X - X.mean(axis=0)) / X.std(axis=0)
    u, s, _ = np.linalg.svd(z, full_matrices=False)
    dense = components(X, section=section, n_comps=4)
    assert np.allclose(np.abs(dense), np.abs(u[:, :4] * s[:4]))
    assert np.allclose(dense, components(sparse.csr_matrix(X), section=section, n_comps=4))


def test_components_take_away_what_differs_between_sections_as_a_whole():
    X = np.random.default_rng(0).normal(size=(80, 6))
    section = np.repeat([0, 1], 40)
    stained = X * np.where(section[:, None], 3.0, 1.0) + np.where(section[:, None], 7.0, 0.0)
    plain, found = (components(x, section=section, n_comps=3) for x in (X, stained))
    assert np.allclose(plain, found)


def test_nothing_that_varies_gives_no_components():
    assert components(np.full((20, 4), 0.1), section=np.zeros(20, int), n_comps=3).shape == (20, 0)
