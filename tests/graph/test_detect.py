import numpy as np
import pytest

from histoscribe.graph.detect import detect_lattice

ROW, COLUMN = (axis.ravel().astype(float) for axis in np.mgrid[:15, :15])
HEX = np.column_stack([COLUMN + 0.5 * (ROW % 2), ROW * 3**0.5 / 2])
SQUARE = np.column_stack([COLUMN, ROW])


@pytest.mark.parametrize(("xy", "kind"), [(HEX, "hex"), (SQUARE, "square")])
def test_a_lattice_is_seen_turned_scaled_and_with_holes(xy, kind):
    rng = np.random.default_rng(0)
    turn = np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    seen = detect_lattice((137.0 * xy @ turn)[rng.random(len(xy)) < 0.9])
    assert seen is not None
    assert seen[0] == kind
    assert seen[1] == pytest.approx(137.0)


def test_points_anywhere_lie_on_no_lattice():
    assert detect_lattice(np.random.default_rng(0).random((400, 2))) is None


def test_a_few_points_are_no_evidence():
    assert detect_lattice(SQUARE[:10]) is None
