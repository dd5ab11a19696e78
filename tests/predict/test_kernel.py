"""A ridge on likenesses to landmarks is kernel ridge, exactly where every row is a landmark."""

import numpy as np
import pytest
from sklearn.kernel_ridge import KernelRidge

from histoscribe.predict.heads.kernel import Landmarks


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(60, 4))


def test_with_all_rows_it_is_kernel_ridge(rows):
    y, new = np.sin(rows[:, 0]), rows[:10] + 0.1
    bend = Landmarks.fit(rows, count=60)
    F = bend.transform(rows)
    weights = np.linalg.solve(F.T @ F + 0.1 * np.eye(F.shape[1]), F.T @ y)
    reference = KernelRidge(alpha=0.1, kernel="rbf", gamma=1 / (2 * bend.width**2)).fit(rows, y).predict(new)
    np.testing.assert_allclose(bend.transform(new) @ weights, reference, atol=1e-5)


def test_fewer_landmarks_come_near_the_kernel(rows):
    whole, part = (Landmarks.fit(rows, count=count, breadth=2.0).transform(rows) for count in (60, 30))
    assert np.abs(whole @ whole.T - part @ part.T).max() < 0.02


def test_the_order_of_the_rows_changes_nothing(rows):
    turned = Landmarks.fit(rows[::-1], count=20)
    np.testing.assert_array_equal(turned.places, Landmarks.fit(rows, count=20).places)


def test_equal_rows_and_a_single_row_are_finite():
    for same in (np.ones((5, 3)), np.ones((1, 3))):
        assert np.isfinite(Landmarks.fit(same, count=4).transform(same)).all()
