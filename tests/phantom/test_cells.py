import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import cKDTree

from histoscribe.phantom import make_phantom

BIG = make_phantom(8, size_um=1500, mpp=0.5)  # crosses the placing blocks' borders at 1024 um
WHOLE = BIG.nuclei()


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2500), st.integers(0, 2500), st.integers(1, 900), st.integers(1, 900))
def test_a_window_holds_exactly_the_section_s_nuclei_in_it(x, y, width, height):
    width, height = min(width, 3000 - x), min(height, 3000 - y)
    inside = WHOLE[WHOLE.x_px.between(x, x + width, "left") & WHOLE.y_px.between(y, y + height, "left")]
    pd.testing.assert_frame_equal(BIG.nuclei(x, y, width, height), inside.reset_index(drop=True))


def test_thinning_is_the_same_whatever_the_block(monkeypatch):
    monkeypatch.setattr("histoscribe.phantom.cells.BLOCK_UM", 384.0)
    again = make_phantom(8, size_um=1500, mpp=0.5)
    pd.testing.assert_frame_equal(again.nuclei(), WHOLE)


def test_ids_are_unique():
    assert WHOLE["id"].is_unique
    assert WHOLE["id"].min() > 0


def test_nuclei_hardly_ever_overlap():
    crop = WHOLE[(WHOLE.x_px < 1400) & (WHOLE.y_px < 1400)]
    labels = BIG.nuclei_labels(0, 0, 1440, 1440)
    drawn = np.bincount(labels.ravel())[crop["id"]] * BIG.mpp**2
    clear = crop.x_px.to_numpy() > 20
    clear &= crop.y_px.to_numpy() > 20
    assert np.mean(drawn[clear] > 0.9 * crop.area_um2.to_numpy()[clear]) > 0.97


def test_every_nucleus_lies_on_tissue():
    assert (BIG.domain_at(WHOLE[["x_px", "y_px"]].to_numpy()) >= 0).all()


def test_nuclei_keep_apart():
    distance, _ = cKDTree(WHOLE[["x_px", "y_px"]]).query(WHOLE[["x_px", "y_px"]], k=2)
    assert distance[:, 1].min() * BIG.mpp > 2.0  # the thinnest nuclei are over 2 um wide


def test_lymphocytes_are_small_and_round_and_tumour_nuclei_large():
    by_type = WHOLE.groupby("cell_type")[["area_um2", "major_um", "minor_um"]].median()
    assert by_type.area_um2["solid_tumour"] > 2.5 * by_type.area_um2["lymphocyte"]
    assert by_type.major_um["lymphocyte"] < 1.2 * by_type.minor_um["lymphocyte"]
    assert by_type.major_um["smooth_muscle"] > 2.5 * by_type.minor_um["smooth_muscle"]
