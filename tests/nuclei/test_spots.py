"""Nuclei under spots."""

import numpy as np
import pandas as pd
import pytest

from histoscribe.nuclei.features import MEASURES, NEAREST
from histoscribe.nuclei.spots import ELEVEN, SPOT_COLUMNS, nuclei_block, spot_features


def nuclei(xy_px, **values):
    table = pd.DataFrame(np.asarray(xy_px, float).reshape(-1, 2), columns=["x_px", "y_px"])
    for name in (*MEASURES, NEAREST):
        table[name] = values.get(name, 1.0)
    return table


SPOTS = np.array([[100.0, 100.0], [400.0, 100.0]])


def features(table, **changes):
    return spot_features(table, SPOTS, **{"diameter_um": 50, "mpp": 0.5} | changes)


def test_the_eleven_numbers_are_worked_out_by_hand():
    found = features(nuclei([[100, 100], [120, 100]], area_um2=[30.0, 50.0]))
    assert len(ELEVEN) == 11
    assert found.loc[0, "count"] == 2
    assert (found.loc[0, "area_um2_mean"], found.loc[0, "area_um2_sd"]) == (40, 10)  # population sd
    assert found.loc[1, list(ELEVEN)].tolist() == [0] * 11


def test_a_nucleus_counts_where_its_centre_lies_under_the_spot():
    table = nuclei([[149.9, 100], [150.1, 100]])  # the radius is 50 pixels
    assert features(table)["count"].tolist() == [1, 0]


def test_a_square_bin_reaches_into_its_corners():
    table = nuclei([[145, 145]])
    assert features(table)["count"][0] == 0
    assert features(table, shape="square")["count"][0] == 1


def test_density_is_per_square_millimetre_of_the_spot():
    found = features(nuclei([[100, 100]]))
    assert found["density_per_mm2"][0] == pytest.approx(1 / (np.pi * 0.025**2))


def test_a_section_without_nuclei_has_zeros():
    found = features(nuclei(np.zeros((0, 2))))
    assert found.shape == (2, len(SPOT_COLUMNS))
    assert not found.to_numpy().any()


def test_the_block_for_domains_is_finite_and_has_a_row_per_spot():
    table = nuclei([[100, 100]], **{NEAREST: np.nan})
    block = nuclei_block(features(table))
    assert block.shape == (2, len(SPOT_COLUMNS))
    assert np.isfinite(block).all()


def test_the_order_of_nuclei_does_not_matter():
    rng = np.random.default_rng(0)
    table = nuclei(rng.uniform(60, 140, (30, 2)), area_um2=rng.uniform(20, 80, 30))
    turned = table.sample(frac=1, random_state=1)
    assert np.allclose(features(table), features(turned), rtol=1e-12)
