import numpy as np
from scipy.spatial import cKDTree

from histoscribe.phantom import make_phantom
from histoscribe.phantom.layouts import hex_layout, square_layout, st_layout

SIZE = (2000.0, 1500.0)


def test_visium_spots_have_six_neighbours_at_one_pitch():
    layout = hex_layout(SIZE, 1)
    centre = np.argmin(np.hypot(*(layout.xy_um - np.array(SIZE) / 2).T))
    distance, _ = cKDTree(layout.xy_um).query(layout.xy_um[centre], k=8)
    np.testing.assert_allclose(distance[1:7], 100.0)
    assert distance[7] > 170
    assert ((layout.array_row + layout.array_col) % 2 == 0).all()


def test_barcodes_are_unique_and_look_like_visium_s():
    layout = hex_layout((6500.0, 6500.0), 1)
    assert len(set(layout.barcodes)) == len(layout)
    assert all(len(b) == 18 and set(b[:16]) <= set("ACGT") and b.endswith("-1") for b in layout.barcodes[:100])


def test_all_layouts_lie_inside_the_picture():
    for layout in (hex_layout(SIZE, 1), st_layout(SIZE), square_layout(SIZE, 16)):
        low, high = layout.xy_um.min(axis=0) - layout.size_um / 2, layout.xy_um.max(axis=0) + layout.size_um / 2
        assert (low >= 0).all()
        assert (high <= SIZE).all()


def test_legacy_spots_are_named_by_column_and_row():
    layout = st_layout(SIZE)
    k = np.flatnonzero(layout.barcodes == "3x2")[0]
    assert (layout.array_col[k], layout.array_row[k]) == (3, 2)
    assert layout.xy_um[k, 0] > layout.xy_um[k, 1]


def test_bins_of_all_sizes_hold_the_same_molecules():
    phantom = make_phantom(2, kind="visium_hd", size_um=320, mpp=1.0, n_genes=60)
    fine, coarse = phantom.bin_counts(2), phantom.bin_counts(16)
    layout = phantom.layout(2)
    parent = layout.array_row // 8 * 20 + layout.array_col // 8
    summed = np.zeros((400, 60), int)
    np.add.at(summed, parent, fine.toarray())
    np.testing.assert_array_equal(summed, coarse.toarray())


def test_molecules_of_bins_follow_the_expected_map():
    phantom = make_phantom(2, kind="visium_hd", size_um=320, mpp=1.0, n_genes=60)
    expected = phantom.expression_map(0, 0, 320, 320, bin_um=16)
    mean = (expected.factors @ expected.loadings).reshape(400, 60)
    found = phantom.bin_counts(16).toarray()
    z = (found.sum(axis=0) - mean.sum(axis=0)) / np.sqrt(mean.sum(axis=0))
    assert np.abs(z).max() < 5
    assert np.corrcoef(found.ravel(), mean.ravel())[0, 1] > 0.8
