import numpy as np

from histoscribe.maps.hide import random_folds


def test_folds_are_of_equal_size_and_depend_on_the_seed():
    fold = random_folds(23, 5, seed=1)
    assert np.ptp(np.bincount(fold)) <= 1
    assert not np.array_equal(fold, random_folds(23, 5, seed=2))
