import numpy as np
import pytest

from histoscribe.phantom.geometry import make_geometry

SIDE = 3000.0


def survey(seed, n_domains=6):
    geometry = make_geometry((SIDE, SIDE), n_domains, seed)
    axis = (np.arange(200) + 0.5) * SIDE / 200
    return geometry, geometry.domain(axis[None, :], axis[:, None])


@pytest.mark.parametrize("n_domains", range(2, 9))
def test_every_domain_has_room(n_domains):
    _, domain = survey(2, n_domains)
    shares = np.bincount(domain[domain >= 0].astype(int), minlength=n_domains) / (domain >= 0).sum()
    assert shares.min() > 0.03


@pytest.mark.parametrize("seed", range(8))
def test_the_tissue_fills_the_middle_and_leaves_glass_around_it(seed):
    _, domain = survey(seed)
    assert 0.5 < (domain >= 0).mean() < 0.85
    border = np.concatenate([domain[0], domain[-1], domain[:, 0], domain[:, -1]])
    assert (border < 0).mean() > 0.9


@pytest.mark.parametrize("seed", range(4))
def test_the_tissue_has_a_hole(seed):
    geometry, _ = survey(seed)
    x, y, _ = geometry.outline.hole
    assert geometry.distance(np.array([x]), np.array([y]))[0] < 0


def test_the_nest_lies_in_several_places():
    from scipy.ndimage import label

    _, domain = survey(1)
    assert label(domain == 5)[1] >= 2


def test_the_same_key_gives_the_same_map_and_another_one_another():
    (_, a), (_, b), (_, c) = survey(1), survey(1), survey(2)
    np.testing.assert_array_equal(a, b)
    assert (a != c).mean() > 0.3
