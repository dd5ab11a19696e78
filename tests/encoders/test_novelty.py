"""A slide like the training slides is near; another stain, focus, scale or tissue is far."""

import json
from dataclasses import replace

import numpy as np
import pytest

from histoscribe.encoders.novelty import Look, Novelty, look_of, novelty_warnings, slide_widening, widening
from histoscribe.errors import ConfigError, InputError

PINK = np.array([200.0, 120.0, 180.0])


def tiles(colour=PINK, *, blur=0.0, seed=0):
    from scipy.ndimage import gaussian_filter

    grain = np.random.default_rng(seed).normal(0, 30, (6, 48, 48, 3))
    if blur:
        grain = gaussian_filter(grain, (0, blur, blur, 0))
        grain *= 30 / grain.std()
    return np.clip(colour + grain, 0, 255).astype(np.uint8)


def embedding(seed, shift=0.0, n=80):
    return (np.random.default_rng(seed).normal(size=(n, 12)) * np.linspace(3, 0.2, 12) + shift).astype(np.float32)


@pytest.fixture
def fitted():
    looks = {f"S{k}": look_of(tiles(seed=k), mpp=0.5) for k in range(3)}
    return Novelty().fit({f"S{k}": embedding(k) for k in range(3)}, looks)


def test_spots_of_one_kind_are_at_a_distance_below_one_nine_times_in_ten(fitted):
    assert (fitted.distance(embedding(10)) <= 1).mean() == pytest.approx(0.9, abs=0.08)


def test_spots_of_another_kind_are_far(fitted):
    assert fitted.distance(embedding(10, shift=25.0)).min() > 1.5


def test_the_order_of_the_spots_does_not_matter(fitted):
    order = np.random.default_rng(0).permutation(80)
    looks = fitted.looks_
    again = Novelty().fit({f"S{k}": embedding(k)[order] for k in range(3)}, looks)
    np.testing.assert_allclose(again.distance(embedding(10)), fitted.distance(embedding(10)), rtol=1e-5)


NEAR = np.full(40, 0.5)


def levels(fitted, look, distance=NEAR):
    return {row["name"]: row["level"] for row in fitted.findings(look, distance)}


def nuclei(number, *, seed=0, radius=4):
    """Tiles of eosin with so many dark discs of haematoxylin each."""
    rng = np.random.default_rng(seed)
    grid = np.indices((64, 64))
    made = np.full((6, 64, 64, 3), (225.0, 150.0, 190.0))
    for tile in made:
        for centre in rng.uniform(6, 58, (number, 2)):
            tile[np.hypot(*(grid - centre[:, None, None])) < radius] = (90, 60, 140)
    return np.clip(made + rng.normal(0, 4, made.shape), 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("look", "named"),
    [
        (look_of(tiles(PINK - 70), mpp=0.5), "stain"),
        (look_of(tiles(blur=2.0), mpp=0.5), "sharpness"),
        (look_of(tiles(), mpp=2.0), "log2_mpp"),
        (replace(look_of(tiles(), mpp=0.5), tissue=0.5), "tissue"),
    ],
)
def test_what_is_unlike_the_training_is_named(fitted, look, named):
    assert levels(fitted, look)[named] == "warning"


@pytest.mark.parametrize(
    ("other", "named"),
    [(nuclei(18, seed=9, radius=3), "log_nuclei"), (nuclei(6, seed=9, radius=8), "log_nuclear_area")],
)
def test_more_or_larger_nuclei_are_named(other, named):
    looks = {f"S{k}": look_of(nuclei(6, seed=k), mpp=0.5) for k in range(3)}
    made = Novelty().fit({f"S{k}": embedding(k) for k in range(3)}, looks)
    assert levels(made, look_of(nuclei(6, seed=8), mpp=0.5))[named] == "ok"
    assert levels(made, look_of(other, mpp=0.5))[named] == "warning"


def test_where_there_are_hardly_any_nuclei_nothing_is_said_of_them():
    look = look_of(nuclei(0), mpp=0.5)
    made = Novelty().fit({"S": embedding(0)}, {"S": look})
    assert {"log_nuclei", "log_nuclear_area", "log2_molecules"}.isdisjoint(levels(made, look))


def test_a_shallow_slide_is_named_and_widens_nothing(fitted):
    deep = {name: replace(look, log2_molecules=13.0 + k / 10) for k, (name, look) in enumerate(fitted.looks_.items())}
    made = Novelty().fit({f"S{k}": embedding(k) for k in range(3)}, deep)
    findings = made.findings(replace(look_of(tiles(seed=9), mpp=0.5), log2_molecules=np.log2(650)), NEAR)
    assert novelty_warnings(findings) == [
        "its typical spot has 650 molecules, that of the training slides 8,192 to 9,410"
    ]
    np.testing.assert_array_equal(slide_widening(NEAR, findings), 1.0)


def test_a_slide_like_the_training_raises_no_warning(fitted):
    findings = fitted.findings(look_of(tiles(seed=9), mpp=0.5), fitted.distance(embedding(10)))
    assert novelty_warnings(findings) == []


def test_a_slide_of_which_most_spots_are_unlike_is_not_ok(fitted):
    distance = np.where(np.arange(100) < 64, 2.0, 0.5)
    findings = fitted.findings(look_of(tiles(seed=9), mpp=0.5), distance)
    assert [row["name"] for row in findings if row["level"] == "warning"] == ["unlike"]
    assert novelty_warnings(findings)[0].startswith("64 % of its spots look unlike any training spot")


def test_ok_is_as_far_as_one_training_slide_lies_from_the_others():
    looks = {f"S{k}": replace(look_of(tiles(seed=k), mpp=0.5), sharpness=0.5) for k in range(3)}
    odd = replace(looks["S2"], sharpness=0.9)
    alike, mixed = (
        Novelty().fit({f"S{k}": embedding(k) for k in range(3)}, looks | given) for given in ({}, {"S2": odd})
    )
    assert levels(alike, odd)["sharpness"] == "warning"
    assert levels(mixed, odd)["sharpness"] == "ok"


def test_intervals_widen_with_the_distance_up_to_three_times():
    np.testing.assert_array_equal(widening(np.array([0.2, 1.0, 1.7, 50.0])), [1.0, 1.0, 1.7, 3.0])


def test_state_and_record_make_the_same_again(fitted):
    again = Novelty.from_state(fitted.state(), fitted.record())
    np.testing.assert_array_equal(again.distance(embedding(4)), fitted.distance(embedding(4)))
    assert again.looks_ == fitted.looks_


def test_one_training_slide_is_compared_with_itself():
    fitted = Novelty().fit({"S": embedding(0)}, {"S": look_of(tiles(), mpp=0.5)})
    assert np.median(fitted.distance(embedding(1))) < 1.5


def test_another_encoders_embedding_is_refused(fitted):
    with pytest.raises(ConfigError, match="cannot be compared"):
        fitted.distance(np.zeros((3, 5), np.float32))


def test_glass_has_no_look():
    with pytest.raises(InputError, match="hardly any stained tissue"):
        look_of(np.full((2, 8, 8, 3), 250, np.uint8), mpp=0.5)


def test_a_look_survives_json():
    look = replace(look_of(tiles(), mpp=0.5), log2_molecules=12.0, log_nuclei=None)
    assert Look.from_record(json.loads(json.dumps(look.record(), allow_nan=False))) == look


def test_a_look_that_was_measured_before_there_were_nuclei_in_it_is_read():
    record = {"stain": [0.1, 0.2, 0.3], "stain_spread": [0.1, 0.1, 0.1], "sharpness": 0.5, "mpp": 0.7}
    assert Look.from_record(record).log_nuclei is None
