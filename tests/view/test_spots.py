"""Which spot lies under a pixel: discs and bins, at any zoom; counts read chunk by chunk."""

import numpy as np
import pandas as pd
import pytest
import zarr
from scipy import sparse

from histoscribe.view import genes as genes_module
from histoscribe.view.genes import GeneCounts
from histoscribe.view.spots import Spots
from histoscribe.view.tiles import Window


def spots_at(xy_px, *, radius_px, lattice=None):
    obs = pd.DataFrame(index=[f"s{k}" for k in range(len(xy_px))])
    if lattice is not None:
        obs["array_col"], obs["array_row"] = np.asarray(lattice).T
    return Spots(obs, np.asarray(xy_px, np.float64), (), None, radius_px, lattice is not None)


def test_a_disc_covers_its_area_and_its_edge_is_smooth():
    under = spots_at([[50.0, 40.0]], radius_px=20.3).under(Window(0, 0, 1.0, 100, 80))
    assert under["cover"].astype(float).sum() / 255 == pytest.approx(np.pi * 20.3**2, rel=0.01)
    assert ((under["cover"] > 0) & (under["cover"] < 255)).any()


@pytest.mark.parametrize("scale", [0.5, 1.0, 8.0])
def test_a_pixel_in_a_disc_belongs_to_its_spot_at_any_zoom(scale):
    xy = np.random.default_rng(0).permutation(np.stack(np.meshgrid(*[np.arange(40, 400, 80)] * 2), -1).reshape(-1, 2))
    under = spots_at(xy, radius_px=25.0).under(Window(0, 0, scale, int(400 / scale), int(400 / scale)))
    places = (xy / scale).astype(int)
    assert under["row"][places[:, 1], places[:, 0]].tolist() == list(range(len(xy)))


def test_a_disc_over_the_border_of_two_tiles_has_no_seam():
    spots = spots_at([[64.0, 30.0]], radius_px=20.0)
    whole = spots.under(Window(0, 0, 1.0, 128, 60))["cover"]
    halves = [spots.under(Window(x, 0, 1.0, 64, 60))["cover"] for x in (0, 64)]
    np.testing.assert_array_equal(whole, np.hstack(halves))


def test_a_tile_far_from_all_spots_is_empty():
    assert spots_at([[10.0, 10.0]], radius_px=5.0).under(Window(500, 500, 1.0, 64, 64)) is None


def test_bins_fill_a_turned_lattice_without_gaps_and_absent_bins_stay_clear():
    column, row = (one.ravel() for one in np.meshgrid(np.arange(12), np.arange(9)))
    turn = np.array([[0.96, 0.28], [-0.28, 0.96]]) * 10  # 10 px a bin, turned by 16 degrees
    lattice = np.column_stack([column, row])
    kept = np.arange(len(lattice)) != 40
    xy = lattice[kept] @ turn + (80, 20)
    spots = spots_at(xy, radius_px=5.0, lattice=lattice[kept])
    under = spots.under(Window(0, 0, 1.0, 200, 200))
    expected = kept.sum() * 100
    assert (under["cover"] > 0).sum() == pytest.approx(expected, rel=0.02)
    for place in (0, 17, 60, len(xy) - 1):
        x, y = xy[place].astype(int)
        assert under["row"][y, x] == place
        assert spots.at(*xy[place] + (3, 3)) == place
    missing = lattice[40] @ turn + (80, 20)
    assert under["cover"][tuple(missing.astype(int)[::-1])] == 0
    assert spots.at(*missing) is None


@pytest.mark.parametrize("most_held", [0, 10**9], ids=["chunk by chunk", "as columns"])
def test_counts_of_a_gene_and_of_a_spot_are_those_of_the_matrix(tmp_path, monkeypatch, most_held):
    monkeypatch.setattr(genes_module, "_MOST_HELD", most_held)
    monkeypatch.setattr(genes_module, "_ROWS", 7)
    matrix = sparse.random(60, 23, density=0.2, format="csr", dtype=np.float32, rng=np.random.default_rng(1))
    matrix[11] = 0
    matrix.eliminate_zeros()
    group = zarr.create_group(str(tmp_path / "X"))
    for name in ("data", "indices", "indptr"):
        array = group.create_array(name, data=getattr(matrix, name), chunks=(13,), overwrite=False)
        assert array.nchunks > 1
    counts = GeneCounts(zarr.open_group(str(tmp_path / "X"), mode="r"), n_spots=60, n_genes=23)
    for gene in range(23):
        np.testing.assert_array_equal(counts.column(gene), matrix[:, [gene]].toarray()[:, 0])
    columns, values = counts.row(5)
    np.testing.assert_array_equal(np.bincount(columns, values, 23), matrix[5].toarray()[0])
    assert len(counts.row(11)[0]) == 0
    np.testing.assert_allclose(counts.totals(), np.asarray(matrix.sum(axis=1)).ravel(), rtol=1e-6)
