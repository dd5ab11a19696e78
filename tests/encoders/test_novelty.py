"""A slide like the training slides is near; another stain, focus, scale or tissue is far."""

import numpy as np
import pytest

from histoscribe.encoders.novelty import Look, Novelty, look_of, novelty_warnings, widening
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


@pytest.mark.parametrize(
    ("look", "named"),
    [
        (look_of(tiles(PINK - 70), mpp=0.5), "stain"),
        (look_of(tiles(blur=2.0), mpp=0.5), "sharpness"),
        (look_of(tiles(), mpp=2.0), "log2_mpp"),
    ],
)
def test_what_is_unlike_the_training_is_named(fitted, look, named):
    levels = {row["name"]: row["level"] for row in fitted.findings(look)}
    assert levels[named] == "warning"


def test_a_slide_like_the_training_raises_no_warning(fitted):
    findings = fitted.findings(look_of(tiles(seed=9), mpp=0.5))
    assert novelty_warnings(findings, fitted.distance(embedding(10))) == []


def test_many_unlike_spots_are_reported_in_a_sentence(fitted):
    findings = fitted.findings(look_of(tiles(seed=9), mpp=0.5))
    assert "look unlike any training spot" in novelty_warnings(findings, np.full(10, 2.0))[0]


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
    look = look_of(tiles(), mpp=0.5)
    assert Look.from_record(look.record()) == look
