"""Training ends with the weights of its best epoch, by one course of rates, the same on any threads."""

import numpy as np
import pytest
import torch
from torch import nn

from histoscribe.errors import ConfigError, InputError, WeightsError
from histoscribe.predict.train import Course, load_weights, train, weights_of

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 5)).astype(np.float32)
Y = np.column_stack([X[:, 0] + X[:, 1], X[:, 2]]).astype(np.float32)
GROUPS = np.repeat(["a", "b", "c"], 20)


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.map = nn.Linear(5, 2)

    def forward(self, x):
        return self.map(x)


def sample(rows):
    return {"x": torch.from_numpy(X[rows])}


def test_the_weights_are_those_of_the_best_epoch():
    noise = np.random.default_rng(4).normal(size=Y.shape).astype(np.float32)  # nothing to learn: it only gets worse
    trained = train(Linear, sample, noise, course=Course(40, 0.05, patience=40, seed=1), groups=GROUPS)
    assert trained.epoch < 40
    assert trained.errors[trained.epoch - 1] == min(trained.errors) < trained.errors[-1]
    network = Linear()
    network.load_state_dict({key: torch.from_numpy(value) for key, value in trained.weights.items()})
    with torch.no_grad():
        found = network(torch.from_numpy(X)).numpy()
    by_group = [float(((found - noise)[group == GROUPS] ** 2).mean()) for group in "abc"]
    assert any(error == pytest.approx(min(trained.errors), rel=1e-4) for error in by_group)


def test_the_weights_kept_are_a_copy_and_not_what_training_goes_on_with():
    made = []

    def make():
        made.append(Linear())
        return made[-1]

    noise = np.random.default_rng(4).normal(size=Y.shape).astype(np.float32)
    trained = train(make, sample, noise, course=Course(40, 0.05, patience=40, seed=1), groups=GROUPS)
    assert trained.epoch < len(trained.errors)
    assert not np.array_equal(trained.weights["map.weight"], weights_of(made[0])["map.weight"])


def test_rates_follow_half_a_cosine_over_the_epochs_whatever_the_number_of_steps():
    for batch in (4, 32):
        rates = train(Linear, sample, Y, course=Course(8, 1e-2, batch=batch, seed=0), groups=GROUPS).rates
        expected = [1e-4 + (1e-2 - 1e-4) * (1 + np.cos(np.pi * epoch / 8)) / 2 for epoch in range(8)]
        np.testing.assert_allclose(rates, expected, rtol=1e-6)


def test_the_course_of_rates_ends_where_it_is_told_to():
    rates = train(Linear, sample, Y, course=Course(8, 1e-2, least_learning_rate=5e-3), groups=GROUPS).rates
    assert rates[0] == 1e-2
    assert 5e-3 < rates[-1] < 5.3e-3


def test_training_again_gives_the_same_bytes():
    course = Course(6, 1e-2, batch=8, seed=3)
    first, again = (train(Linear, sample, Y, course=course, groups=GROUPS) for _ in range(2))
    assert {key: value.tobytes() for key, value in first.weights.items()} == {
        key: value.tobytes() for key, value in again.weights.items()
    }
    assert first.errors == again.errors


def test_another_seed_gives_other_weights():
    first, other = (train(Linear, sample, Y, course=Course(3, 1e-2, seed=s), groups=GROUPS) for s in (0, 1))
    assert not np.array_equal(first.weights["map.weight"], other.weights["map.weight"])


def test_training_stops_when_nothing_is_gained():
    course = Course(200, 0.5, patience=3, seed=0)
    assert len(train(Linear, sample, Y, course=course, groups=GROUPS).errors) < 200


def test_a_single_group_is_trained_on_whole():
    trained = train(Linear, sample, Y, course=Course(9, 1e-2), groups=np.repeat("a", 60))
    assert trained.errors == ()
    assert trained.epoch == 3


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"learning_rate": 0.0}, {"loss": "l3"}])
def test_a_course_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match="cannot be trained"):
        Course(**({"epochs": 3, "learning_rate": 1e-3} | wrong))


def test_one_spot_is_too_few():
    with pytest.raises(InputError, match="one spot"):
        train(Linear, sample, Y[:1], course=Course(2, 1e-3), groups=None)


@pytest.mark.parametrize(
    "change",
    [
        lambda weights: weights.pop("bias"),
        lambda weights: weights.update(more=np.zeros(1, np.float32)),
        lambda weights: weights.update(bias=np.zeros(7, np.float32)),
    ],
)
def test_weights_of_another_network_are_refused_before_it_is_made(change):
    made = []

    def make():
        made.append(torch.get_default_device().type)
        return torch.nn.Linear(3, 2)

    weights = {"weight": np.zeros((2, 3), np.float32), "bias": np.zeros(2, np.float32)}
    load_weights(make, weights)
    assert made == ["meta", "cpu"]
    change(weights)
    with pytest.raises(WeightsError, match="do not fit the network"):
        load_weights(make, weights)
    assert made == ["meta", "cpu", "meta"]
