import numpy as np
import pytest
from scipy import sparse

from histoscribe.maps import metrics, scores
from histoscribe.maps.mapper import HeldOut


@pytest.fixture(scope="module")
def table(problem, fitted, section):
    colours = scores.spot_colours(section.image, section.xy_px, diameter_um=55.0)
    return scores.spot_scores(problem, fitted.held, colours, genes=12)


def test_every_method_is_scored_on_the_same_genes(table, problem):
    by_method = table.groupby("method", sort=False)["gene"].apply(list)
    assert list(by_method.index) == ["map", "nearest", "gaussian", "kriging", "ridge_colour"]
    assert all(genes == list(problem.genes[:12]) for genes in by_method)


def test_what_left_nothing_out_would_be_no_score(problem, fitted):
    assert set(fitted.held.fold) == set(range(5))
    inside = metrics.pearson(problem.log_values(), fitted.at(problem.footprint))
    outside = metrics.pearson(problem.log_values(), fitted.held.values)
    assert np.nanmean(outside) < np.nanmean(inside)


def test_only_the_map_has_intervals(table):
    assert table.loc[table["method"] != "map", "coverage"].isna().all()
    assert table.loc[table["method"] == "map", "coverage"].between(0.75, 1).all()


def test_kriging_beats_the_nearest_spot(table):
    mean = table.groupby("method")["pearson"].mean()
    assert mean["kriging"] > mean["nearest"]


def test_the_summary_has_all_strata_and_the_whole(table):
    rows = scores.summary(table)
    assert {row["stratum"] for row in rows} == {0, 1, 2, 3, 4}
    whole = next(row for row in rows if row["stratum"] == 0 and row["method"] == "map")
    assert whole["genes"] == 12
    assert whole["pearson"] == pytest.approx(np.nanmean(table.loc[table["method"] == "map", "pearson"]))


def test_intervals_from_the_other_folds_cover_what_they_say(rng):
    values = rng.normal(5, 1, (3000, 3))
    held = HeldOut(np.arange(3000) % 5, np.full((3000, 3), 5.0, np.float32), np.ones(3000))
    assert scores.cross_coverage(values, held.values, held) == pytest.approx(0.9, abs=0.02)


def test_one_fold_alone_gives_no_coverage():
    held = HeldOut(np.zeros(30, np.intp), np.zeros((30, 2), np.float32), np.ones(30))
    assert np.isnan(scores.cross_coverage(np.zeros((30, 2)), held.values, held)).all()


def test_bins_are_scored_in_raster_order(rng):
    array = np.array([[r, c] for r in range(12) for c in range(15) if (r, c) != (4, 4)])
    counts = sparse.csr_matrix(rng.poisson(5 + 4 * np.sin(array / 2.0)).astype(float))
    bins = scores.FineBins(array * 16.0, array, counts, np.full(len(array), 100.0), ("A", "B"), 16.0)
    places = bins.places(["B", "A"])
    assert places.tissue.shape == (12, 15)
    assert not places.tissue[4, 4]
    itself = places.score(places.truth)
    assert itself["ssim"] == pytest.approx(1.0)
    assert itself["pearson"] == pytest.approx(1.0)
    assert (places.score(places.truth.mean(axis=0) + 0 * places.truth)["ssim"] < 0.5).all()
