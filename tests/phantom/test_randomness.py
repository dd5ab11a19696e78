import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from histoscribe.phantom.randomness import make_key, place_uniforms, smooth_field, tile_counters


def test_numbers_of_a_place_do_not_depend_on_the_other_places_asked_for():
    counters = np.arange(1000, dtype=np.uint64)
    whole = place_uniforms(7, counters, 3)
    np.testing.assert_array_equal(place_uniforms(7, counters[400:410], 3), whole[:, 400:410])


def test_numbers_are_uniform_and_streams_are_uncorrelated():
    u = place_uniforms(make_key(1, "x"), np.arange(20000, dtype=np.uint64), 2)
    counts = np.histogram(u[0], bins=20, range=(0, 1))[0]
    assert ((counts - 1000) ** 2 / 1000).sum() < 45  # chi-square with 19 degrees of freedom, p = 0.0007
    assert abs(np.corrcoef(u)[0, 1]) < 0.03  # four standard errors


def test_other_seeds_and_names_give_other_keys():
    assert len({make_key(s, name) for s in range(50) for name in ("a", "b", "ab")}) == 150


@given(st.integers(-(2**23), 2**23 - 1), st.integers(-(2**23), 2**23 - 1), st.integers(0, 2**16 - 1))
def test_a_tile_left_of_or_above_the_section_has_a_counter_of_its_own(ix, iy, k):
    here, right, below = (
        int(tile_counters(np.array([a]), np.array([b]), np.array([k]))[0])
        for a, b in ((ix, iy), (ix + 1, iy), (ix, iy + 1))
    )
    assert len({here, right, below}) == 3


def test_a_field_on_a_grid_equals_the_field_at_the_points():
    field = smooth_field(100.0, 1, "field")
    x, y = np.linspace(0, 500, 40)[None, :], np.linspace(0, 300, 30)[:, None]
    gx, gy = np.broadcast_arrays(x, y)
    np.testing.assert_allclose(field(x, y), field(gx.ravel(), gy.ravel()).reshape(30, 40), atol=1e-12)


def test_a_field_has_zero_mean_and_unit_variance():
    field = smooth_field(20.0, 4, "field")
    values = field(np.linspace(0, 4000, 900)[None, :], np.linspace(0, 4000, 900)[:, None])
    assert abs(values.mean()) < 0.05
    assert abs(values.std() - 1) < 0.05
