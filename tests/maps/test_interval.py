import numpy as np

from histoscribe.maps.interval import held_out_interval


def test_an_interval_holds_the_share_it_promises():
    rng = np.random.default_rng(0)
    uncertainty = rng.uniform(0.5, 2, 400)
    low, high = held_out_interval(rng.normal(size=(400, 8)) * uncertainty[:, None], uncertainty)
    new_uncertainty = rng.uniform(0.5, 2, 4000)
    new = rng.normal(size=(4000, 8)) * new_uncertainty[:, None]
    inside = (new >= new_uncertainty[:, None] * low) & (new <= new_uncertainty[:, None] * high)
    assert abs(inside.mean() - 0.9) < 0.02


def test_too_few_held_out_spots_give_no_interval():
    assert np.isnan(held_out_interval(np.zeros((5, 2)), np.ones(5))).all()
