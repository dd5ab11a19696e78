"""Spots whose measurement failed are found, and spots that merely have few molecules are not taken for them."""

import numpy as np
import pytest

from histoscribe.expression.dead_spots import dead_spots, swamped_spots

ROW, COLUMN = (axis.ravel() for axis in np.mgrid[:20, :20])
XY = 100.0 * np.column_stack([COLUMN, ROW])


def depths(median, spread=0.4, seed=0):
    rng = np.random.default_rng(seed)
    return rng.poisson(median * np.exp(rng.normal(0, spread, len(XY)))).astype(float)


@pytest.mark.parametrize("kept", [0.0, 0.005, 0.02])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.15])
def test_dead_spots_are_found_wherever_they_lie(kept, share):
    total = depths(4000)
    dead = np.random.default_rng(1).choice(len(total), int(share * len(total)), replace=False)
    total[dead] = np.floor(kept * total[dead])
    found = dead_spots(total, XY)
    assert found[dead].mean() > 0.98
    assert np.delete(found, dead).sum() == 0


def test_a_row_of_dead_spots_is_found_though_they_are_each_others_neighbours():
    total = depths(4000)
    total[(ROW == 7) | (ROW == 8)] = 3
    assert np.array_equal(dead_spots(total, XY), (ROW == 7) | (ROW == 8))


@pytest.mark.parametrize("median", [2, 20, 200, 20_000])
def test_no_spot_of_a_healthy_section_is_called_dead_however_shallow(median):
    assert not dead_spots(depths(median, spread=0.6), XY).any()


def test_few_molecules_where_there_is_no_tissue_are_no_failure():
    total = depths(4000)
    lumen = (abs(ROW - 9) < 2) & (abs(COLUMN - 9) < 2)
    total[lumen] = 40
    assert dead_spots(total, XY)[lumen].all()
    assert not dead_spots(total, XY, on_tissue=~lumen).any()
    total[lumen] = 0  # there is nothing of which a profile could be made
    assert np.array_equal(dead_spots(total, XY, on_tissue=~lumen), lumen)


def test_a_tenth_of_the_depth_in_half_of_the_section_is_tissue():
    total = depths(4000)
    total[COLUMN > 9] = np.round(total[COLUMN > 9] / 15)
    assert not dead_spots(total, XY).any()


def test_order_and_scale_do_not_matter():
    total = depths(900)
    total[[5, 6, 77]] = 0
    order = np.random.default_rng(2).permutation(len(total))
    assert np.array_equal(dead_spots(total, XY)[order], dead_spots(total[order], XY[order]))
    assert np.array_equal(dead_spots(total, XY), dead_spots(total, XY * 0.01 + 7))


@pytest.mark.parametrize("n", [0, 1, 4, 12])
def test_a_handful_of_spots_says_nothing(n):
    assert not dead_spots(np.zeros(n), XY[:n]).any()


@pytest.mark.parametrize("wild", [5e4, 1e6, 1e9])
def test_spots_with_one_wild_count_are_found_and_no_others(wild):
    total = depths(4000)
    largest = np.round(0.1 * total)
    rows = [5, 6, 77]
    total[rows] += wild
    largest[rows] = wild
    assert np.array_equal(np.flatnonzero(swamped_spots(total, largest, XY)), rows)


@pytest.mark.parametrize("n", [0, 1, 4, 12])
def test_a_handful_of_spots_are_never_swamped(n):
    assert not swamped_spots(np.full(n, 9.0), np.full(n, 9.0), XY[:n]).any()


def test_deep_spots_and_genes_that_have_most_of_every_spot_are_no_wild_counts():
    total = depths(4000)
    total[[5, 6, 77]] *= 20
    assert not swamped_spots(total, np.round(0.3 * total), XY).any()
    total = depths(4000)
    assert not swamped_spots(total, np.round(0.95 * total), XY).any()
