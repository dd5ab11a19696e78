import numpy as np
import pytest

from histoscribe.errors import ConfigError, InputError
from histoscribe.maps import bins
from histoscribe.phantom import make_phantom
from histoscribe.phantom.write import write_10x_h5


@pytest.fixture(scope="module")
def fine(tmp_path_factory):
    """2 um bins of a tiny phantom on disk: path, counts (n, g), layout."""
    phantom = make_phantom(2, kind="visium_hd", size_um=320.0, n_genes=40)
    layout, counts = phantom.layout(2), phantom.bin_counts(2)
    path = tmp_path_factory.mktemp("hd") / "filtered_feature_bc_matrix.h5"
    write_10x_h5(path, counts, layout.barcodes, phantom.programmes.var.index.to_numpy(str))
    return path, counts, layout, phantom


def test_bins_summed_slice_by_slice_are_the_larger_bins(fine, monkeypatch):
    monkeypatch.setattr(bins, "_VALUES_AT_ONCE", 1000)
    path, _, layout, phantom = fine
    owner, place = bins.owners_by_square(layout.array_row, layout.array_col, factor=4)
    total, genes = bins.sum_bins(path, owner, len(place))
    assert genes == list(phantom.programmes.var.index)
    assert (total != phantom.bin_counts(8)).nnz == 0  # both in reading order


def test_pseudo_spots_hold_the_bins_under_their_discs(fine):
    path, counts, layout, _ = fine
    places, array = bins.hex_places(layout.xy_um)
    owner = bins.owners_by_disc(layout.xy_um, places)
    total, _ = bins.sum_bins(path, dict(zip(layout.barcodes.tolist(), owner.tolist(), strict=True)), len(places))
    under = np.hypot(*(layout.xy_um - places[4]).T) <= 27.5
    assert total[4].toarray() == pytest.approx(np.asarray(counts[under].sum(axis=0)))
    assert array[:, 1].tolist() == (2 * ((array[:, 1] - array[:, 0] % 2) // 2) + array[:, 0] % 2).tolist()


def test_the_lattice_is_truly_hexagonal():
    from scipy.spatial import cKDTree

    xy = np.stack(np.meshgrid(np.arange(0, 1000, 50.0), np.arange(0, 1000, 50.0)), -1).reshape(-1, 2)
    places, _ = bins.hex_places(xy)
    distance, _ = cKDTree(places).query(places[len(places) // 2], k=7)
    assert distance[1:] == pytest.approx(np.full(6, 100.0))


def test_bins_under_no_disc_are_left_out(fine):
    path, _, layout, _ = fine
    total, _ = bins.sum_bins(path, np.full(len(layout), -1), 3)
    assert total.nnz == 0


def test_a_damaged_matrix_is_refused(fine, tmp_path):
    cut = tmp_path / "cut.h5"
    cut.write_bytes(fine[0].read_bytes()[:5000])
    with pytest.raises(InputError, match="damaged"):
        bins.sum_bins(cut, np.zeros(10, np.int64), 1)


def test_a_factor_below_one_is_refused():
    with pytest.raises(ConfigError, match="made larger"):
        bins.owners_by_square(np.arange(3), np.arange(3), factor=0)
