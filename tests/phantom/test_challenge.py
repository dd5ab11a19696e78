import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata, skew, spearmanr

from histoscribe.errors import ConfigError
from histoscribe.phantom import cohort, make_phantom, write_challenge_h5
from histoscribe.phantom.challenge import TYPES

LIKE = make_phantom(1, size_um=1000, mpp=2.0, n_genes=60)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_challenge_h5(list(cohort(3, like=LIKE)), tmp_path_factory.mktemp("challenge") / "challenge.h5")


def abundances(rows):
    return np.column_stack([rows[name] for name in TYPES])


def test_the_file_has_the_challenge_s_layout(path):
    with h5py.File(path) as file:
        assert set(file["images/Train"]) == {"S_1", "S_2"}
        assert set(file["images/Test"]) == {"S_3"}
        picture = file["images/Train/S_1"]
        assert picture.dtype == np.float32
        assert picture.shape == (250, 250, 3)
        assert 0 <= picture[:].min() < picture[:].max() <= 1
        assert file["spots/Train/S_1"].dtype.names == ("x", "y", *TYPES)
        assert file["spots/Test/S_3"].dtype.names == ("x", "y", "Test_Set")
        assert set(file["spots/Test/S_3"]["Test_Set"]) == {1, 2}


def test_x_is_the_column_and_y_the_row_of_tissue(path):
    with h5py.File(path) as file:
        picture, rows = file["images/Train/S_2"][:], file["spots/Train/S_2"][:]
    assert (picture[rows["y"], rows["x"]].mean(axis=1) < 0.93).mean() > 0.9


def test_abundances_are_positive_skewed_and_mostly_of_one_order(path):
    with h5py.File(path) as file:
        first, second = (abundances(file[f"spots/Train/S_{k}"][:]) for k in (1, 2))
    assert first.min() > 0
    assert np.median(skew(first, axis=0)) > 1
    constant = rankdata(first, axis=1).mean(axis=0)
    agreement = np.mean([spearmanr(constant, row).statistic for row in second])
    assert 0.4 < agreement < 0.8  # the challenge's own constant ranking scores about 0.6


def test_the_hidden_truth_lies_beside_the_file_in_the_rows_order(path):
    truth = pd.read_csv(path.with_name("challenge_truth.csv"))
    with h5py.File(path) as file:
        assert len(truth) == len(file["spots/Test/S_3"])
    assert list(truth.columns) == ["slide", "ID", *TYPES]
    assert list(truth.ID) == list(range(len(truth)))


def test_a_challenge_needs_a_training_slide(tmp_path):
    with pytest.raises(ConfigError, match="make no challenge"):
        write_challenge_h5([LIKE], tmp_path / "x.h5", n_test=1)
