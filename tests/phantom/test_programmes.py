import numpy as np
import pytest

from histoscribe.phantom import make_phantom
from histoscribe.phantom.programmes import FAMILIES, VISIBLE


def test_every_place_on_tissue_makes_the_same_number_of_molecules(tiny):
    fine = tiny.expression_map(200, 200, 240, 240, bin_um=2)
    total = (fine.factors @ fine.loadings.astype(np.float32)).sum(axis=-1)
    made = total[total > 0]
    np.testing.assert_allclose(made, made.max(), rtol=1e-4)


def test_a_coarse_map_is_the_sum_of_the_fine_one(tiny):
    name = tiny.programmes.var.index[5]
    fine = tiny.expression_map(160, 160, 320, 240, bin_um=2).gene(name)
    coarse = tiny.expression_map(160, 160, 320, 240, bin_um=8).gene(name)
    assert coarse.shape == (30, 40)
    np.testing.assert_allclose(coarse, fine.reshape(30, 4, 40, 4).sum(axis=(1, 3)), rtol=1e-4)


def test_a_map_of_a_window_is_part_of_a_larger_map(tiny):
    name = tiny.programmes.var.index[0]
    large = tiny.expression_map(160, 160, 320, 320, bin_um=8).gene(name)
    np.testing.assert_array_equal(tiny.expression_map(240, 200, 80, 160, bin_um=8).gene(name), large[5:25, 10:20])


def test_a_window_of_broken_bins_is_refused(tiny):
    from histoscribe.errors import ConfigError

    with pytest.raises(ConfigError, match="whole bins"):
        tiny.expression_map(3, 0, 80, 80, bin_um=8)


def test_families_have_their_shares_of_genes_and_the_visible_ones_are_declared():
    var = make_phantom(1, size_um=300, n_genes=500).programmes.var
    for family, share in FAMILIES.items():
        assert abs((var.family == family).mean() - share) < 0.01
    assert set(var.family[var.from_image]) == set(VISIBLE)


def test_a_marker_is_highest_in_its_own_programme(tiny):
    programmes = tiny.programmes
    for kind in VISIBLE:
        rows = [k for k, name in enumerate(programmes.factors) if name.startswith(kind + ":")]
        genes = np.flatnonzero(programmes.var.family == kind)
        best = programmes.loadings[np.ix_(rows, genes)].argmax(axis=0)
        names = np.array(programmes.factors)[rows][best]
        assert (names == programmes.var.programme.to_numpy()[genes]).mean() > 0.95


def test_patients_share_programmes_and_differ_in_levels():
    a, b = (make_phantom(1, size_um=300, patient=p).programmes for p in (0, 1))
    assert (a.var == b.var).all(axis=None)
    level_a, level_b = a.loadings.sum(axis=0), b.loadings.sum(axis=0)
    shift = np.log(level_a / level_b)
    assert 0.2 < shift.std() < 0.6
