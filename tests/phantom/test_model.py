import numpy as np
import pytest

from histoscribe.errors import ConfigError
from histoscribe.phantom import cohort, make_phantom


@pytest.mark.parametrize(
    "options", [{"kind": "xenium"}, {"n_domains": 1}, {"n_domains": 9}, {"size_um": 100}, {"mpp": 10}, {"n_genes": 5}]
)
def test_what_cannot_be_drawn_is_refused(options):
    with pytest.raises(ConfigError):
        make_phantom(1, **options)


def test_a_cohort_has_named_sections_of_several_patients():
    sections = list(cohort(2, sections=2, like=make_phantom(1, size_um=300, n_genes=60)))
    assert [s.name for s in sections] == ["P0S0", "P0S1", "P1S0", "P1S1"]
    assert [s.patient_name for s in sections] == ["P0", "P0", "P1", "P1"]


def test_sections_of_one_patient_share_levels_but_not_maps():
    first, second = cohort(1, sections=2, like=make_phantom(1, size_um=500, n_genes=60))
    np.testing.assert_array_equal(first.programmes.loadings, second.programmes.loadings)
    points = np.random.default_rng(0).uniform(0, 1000, (500, 2))
    assert (first.domain_at(points) != second.domain_at(points)).mean() > 0.2


def test_the_default_section_has_a_thousand_spots_give_or_take():
    phantom = make_phantom()
    layout = phantom.layout()
    assert 700 <= phantom.on_tissue(layout).sum() <= 1500


def test_every_domain_has_spots(section, spots):
    assert set(spots.obs.domain_index) == set(range(section.n_domains))
    assert list(spots.obs.domain.cat.categories) == list(section.domain_names)


@pytest.mark.parametrize("kind", ["visium", "st", "visium_hd"])
def test_spots_of_every_assay_carry_counts_coordinates_and_truth(kind):
    phantom = make_phantom(2, kind=kind, size_um=900, mpp=2.0, n_genes=60)
    spots = phantom.spots()
    assert spots.X.dtype == np.int32
    assert spots.obsm["spatial"].dtype == np.float64
    assert (spots.obsm["spatial"] < np.array(phantom.shape[::-1])).all()
    np.testing.assert_array_equal(phantom.domain_at(spots.obsm["spatial"]), spots.obs.domain_index)
    on_tissue = spots.obs.tissue.to_numpy() > 0
    np.testing.assert_allclose(spots.obsm["cell_types"][on_tissue].sum(axis=1), 1, atol=1e-4)
