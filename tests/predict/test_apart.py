"""How far sections lie apart: nothing where they are alike, everything where they share nothing, and not by depth."""

import numpy as np
import pytest

from histoscribe.errors import InputError
from histoscribe.predict.apart import sections_apart

RNG = np.random.default_rng(0)
SIZES = (150, 300, 90)
ALIKE = [RNG.normal(size=(n, 6)) for n in SIZES]
NAMES = ["A", "B", "C"]


def test_sections_that_are_alike_mix_whatever_their_size():
    found = sections_apart(ALIKE, NAMES, None)
    assert found.share < 0.02
    assert list(found.mixing) == NAMES
    assert all(abs(value - 1) < 0.1 for value in found.mixing.values())


def test_the_share_is_that_of_a_one_way_analysis_of_variance():
    moved = [part + shift for part, shift in zip(ALIKE, (0.0, 0.7, -0.4), strict=True)]
    Z = np.concatenate(moved)
    Z = (Z - Z.mean(axis=0)) / Z.std(axis=0)
    within = sum(((part - part.mean(axis=0)) ** 2).sum() for part in np.split(Z, np.cumsum(SIZES)[:-1]))
    assert sections_apart(moved, NAMES, None).share == pytest.approx(1 - within / (Z**2).sum())


def test_a_section_that_lies_apart_does_not_mix():
    found = sections_apart([*ALIKE[:2], ALIKE[2] + 20.0], NAMES, None)
    assert found.mixing["C"] == 0.0
    assert found.mixing["A"] > 0.7  # with B; none of C's are near
    assert found.share > 0.8


def test_what_depth_explains_is_no_difference():
    depth = np.concatenate([RNG.normal(mean, 0.3, n) for mean, n in zip((5.0, 7.0, 6.0), SIZES, strict=True)])
    parts = np.split(np.concatenate(ALIKE) * 0.2 + depth[:, None], np.cumsum(SIZES)[:-1])
    assert sections_apart(parts, NAMES, None).share > 0.5
    beyond = sections_apart(parts, NAMES, depth)
    assert beyond.share < 0.02
    assert min(beyond.mixing.values()) > 0.9


def test_many_spots_are_thinned_evenly(monkeypatch):
    monkeypatch.setattr("histoscribe.predict.apart._MOST_SPOTS", 200)
    found = sections_apart(ALIKE, NAMES, None)
    assert all(abs(value - 1) < 0.25 for value in found.mixing.values())


def test_one_section_is_refused():
    with pytest.raises(InputError, match="several sections"):
        sections_apart(ALIKE[:1], NAMES[:1], None)
