"""Distances between points."""

import numpy as np
import pytest

from histoscribe.graph.spacing import nearest_distance, pitch_of


def test_the_distance_to_the_nearest():
    xy = np.array([[0.0, 0], [3, 4], [100, 0]])
    assert nearest_distance(xy).tolist() == [5, 5, pytest.approx(97.0824, 1e-4)]


def test_the_pitch_is_the_usual_distance():
    assert pitch_of(np.array([[0.0, 0], [3, 0], [6, 0], [9, 0]])) == 3


def test_a_single_point_has_no_nearest():
    assert np.isnan(nearest_distance(np.zeros((1, 2)))).all()
    assert pitch_of(np.zeros((1, 2)), alone=100.0) == 100.0
