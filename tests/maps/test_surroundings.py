import numpy as np
import pytest

from histoscribe.maps.grid import Grid
from histoscribe.maps.local import NAMES
from histoscribe.maps.surroundings import surroundings

GRID = Grid(60, 60, um=8.0, mpp=0.5)
CELLS = np.flatnonzero(np.add.outer(np.arange(60), np.arange(60)) < 90)  # a corner is glass


@pytest.fixture
def features(rng):
    return rng.normal(size=(len(CELLS), len(NAMES))).astype(np.float32)


def test_what_a_single_cell_shows_by_itself_is_blurred_away(features):
    seen = surroundings(GRID, CELLS, features, spot_um=55.0)
    assert (seen.fine.std(axis=0) < 0.4).all()


def test_the_blur_grows_with_the_spot_that_teaches(features):
    small, large = (surroundings(GRID, CELLS, features, spot_um=um).fine.std() for um in (16.0, 110.0))
    assert large < 0.5 * small


def test_glass_takes_no_part_in_the_blur():
    right = CELLS % GRID.columns >= 20
    features = np.tile(right[:, None], (1, len(NAMES))).astype(np.float32)
    seen = surroundings(GRID, CELLS, features, spot_um=55.0).fine[:, 0]
    far = CELLS % GRID.columns >= 32  # from the step, but not from the glass
    assert seen[far] == pytest.approx(seen[far].max())


def test_a_stain_that_is_paler_throughout_shifts_nothing(features):
    one = surroundings(GRID, CELLS, features, spot_um=55.0)
    other = surroundings(GRID, CELLS, 0.5 * features - 3, spot_um=55.0)
    assert np.allclose(one.fine, other.fine, atol=1e-4)


def test_the_features_that_were_given_are_left_as_they_were(features):
    before = features.copy()
    surroundings(GRID, CELLS, features, spot_um=55.0)
    assert np.array_equal(before, features)
