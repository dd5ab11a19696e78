import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from histoscribe.phantom import make_phantom

PHANTOM = make_phantom(3, size_um=700, n_genes=120)
LABELS = PHANTOM.nuclei_labels(0, 0, 1400, 1400)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1300), st.integers(0, 1300), st.integers(1, 500), st.integers(1, 500))
def test_labels_of_a_window_are_those_of_the_whole(x, y, width, height):
    width, height = min(width, 1400 - x), min(height, 1400 - y)
    np.testing.assert_array_equal(PHANTOM.nuclei_labels(x, y, width, height), LABELS[y : y + height, x : x + width])


def test_a_nucleus_s_centre_lies_in_its_own_label():
    nuclei = PHANTOM.nuclei()
    at_centre = LABELS[nuclei.y_px.astype(int), nuclei.x_px.astype(int)]
    assert (at_centre == nuclei["id"]).mean() > 0.995  # a neighbour drawn later may lie over a thin one


def test_labelled_areas_are_the_tables_areas():
    nuclei = PHANTOM.nuclei(100, 100, 1200, 1200)
    drawn = np.bincount(LABELS.ravel())[nuclei["id"]] * PHANTOM.mpp**2
    ratio = drawn / nuclei.area_um2
    assert abs(ratio.median() - 1) < 0.01
    assert ratio.quantile(0.05) > 0.9


def test_nuclei_are_darker_than_what_surrounds_them():
    red = PHANTOM.image.read(0, 0, 1400, 1400)[..., 0].astype(float)
    tissue = red < 215
    assert red[LABELS > 0].mean() < red[(LABELS == 0) & tissue].mean() - 50
