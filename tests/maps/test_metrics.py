import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from histoscribe.maps import metrics


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(0.1, 50), shift=st.floats(-5, 5), seed=st.integers(0, 50))
def test_correlations_ignore_scale_and_level(scale, shift, seed):
    rng = np.random.default_rng(seed)
    truth, found = rng.normal(size=(40, 3)), rng.normal(size=(40, 3))
    for score in (metrics.pearson, metrics.spearman):
        assert score(truth, found) == pytest.approx(score(truth, found * scale + shift), abs=1e-6)


def test_a_constant_truth_has_no_score_and_a_constant_prediction_scores_nothing():
    values = np.arange(10.0)[:, None]
    assert np.isnan(metrics.pearson(np.ones((10, 1)), values))
    assert metrics.pearson(values, np.ones((10, 1))) == 0


def raster(seed=0):
    return np.random.default_rng(seed).normal(size=(40, 40)).cumsum(0).cumsum(1)


def test_ssim_of_a_map_with_itself_is_one():
    assert metrics.ssim(raster(), raster(), np.ones((40, 40), bool)) == pytest.approx(1)


def test_ssim_cannot_be_gained_by_the_predictions_own_range():
    truth, tissue = raster(), np.ones((40, 40), bool)
    assert metrics.ssim(truth, truth * 0.01, tissue) < 0.5


def test_ssim_looks_at_tissue_only():
    truth, tissue = raster(), np.zeros((40, 40), bool)
    tissue[10:30, 10:30] = True
    assert metrics.ssim(truth, np.where(tissue, truth, 1e6), tissue) == pytest.approx(1)


def test_ssim_of_a_constant_truth_is_unknown():
    assert np.isnan(metrics.ssim(np.ones((20, 20)), raster()[:20, :20], np.ones((20, 20), bool)))


def test_a_smoothed_map_has_a_moran_ratio_above_one_and_a_noisy_one_below():
    from scipy.ndimage import gaussian_filter

    tissue = np.ones((40, 40), bool)
    rng = np.random.default_rng(1)
    truth = gaussian_filter(rng.normal(size=(40, 40)), 1.0)
    graph = metrics.grid_graph(tissue)
    smooth, noisy = gaussian_filter(truth, 2.0), truth + rng.normal(0, truth.std(), truth.shape)
    ratio = [metrics.moran_ratio(truth.reshape(-1, 1), other.reshape(-1, 1), graph)[0] for other in (smooth, noisy)]
    assert ratio[0] > 1.05
    assert ratio[1] < 0.95


def test_the_grids_graph_joins_four_neighbours_on_tissue():
    tissue = np.array([[True, True], [False, True]])
    assert metrics.grid_graph(tissue).toarray().tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]


def test_the_ceiling_is_what_the_truth_itself_reaches():
    rng = np.random.default_rng(2)
    rate = rng.gamma(2.0, 2.0, (3000, 4))
    counts = rng.poisson(np.hstack([rate, np.full((3000, 1), 2000.0)]))
    ceiling = metrics.thinning_ceiling(sparse.csr_matrix(counts))[:4]
    logged = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    reached = metrics.pearson(logged[:, :4], np.log1p(5 * rate))
    assert ceiling == pytest.approx(reached, abs=0.03)


def test_the_ceiling_of_noise_is_low():
    counts = np.random.default_rng(3).poisson(1.0, (2000, 3))
    assert metrics.thinning_ceiling(sparse.csr_matrix(counts), library=np.full(2000, 1e3)).max() < 0.3


def test_spot_sum_error_is_relative_and_a_zero_counts_as_one():
    assert metrics.spot_sum_error(np.array([[100.0, 0.0]]), np.array([[101.0, 0.02]])) == pytest.approx(0.02)


def test_coverage_counts_both_ends():
    assert metrics.coverage(np.array([0.0, 1.0, 2.0]), np.zeros(3), np.ones(3)) == pytest.approx(2 / 3)
