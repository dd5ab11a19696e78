"""Heads are weighed on groups that they had not seen, and averaged where weighing them is not worth it."""

import numpy as np
import pytest

from histoscribe.errors import ConfigError, InputError
from histoscribe.predict import HEADS, Inputs
from histoscribe.predict.heads.stacked import StackHead

RNG = np.random.default_rng(0)
X = {"image@112": RNG.normal(size=(150, 8)).astype(np.float32)}
GROUPS = np.repeat([f"P{k}" for k in range(5)], 30)
LINEAR = X["image@112"][:, :3] @ RNG.normal(size=(3, 2)) + 0.1 * RNG.normal(size=(150, 2))
MEMBERS = ["ridge", "knn"]


def members(Y):
    return np.stack([HEADS.get(name)(seed=0).fit(X, Y, GROUPS).predict(X) for name in MEMBERS])


def test_a_member_that_is_better_on_unseen_groups_gets_the_weight():
    head = StackHead(MEMBERS).fit(X, LINEAR, GROUPS)
    ridge, knn = members(LINEAR)
    found = head.predict(X)
    assert np.abs(found - ridge).mean() < 0.5 * np.abs(found - knn).mean()


def test_members_are_averaged_where_nothing_is_to_be_learned():
    noise = np.random.default_rng(1).normal(size=(150, 2))
    head = StackHead(MEMBERS).fit(X, noise, GROUPS)
    np.testing.assert_allclose(head.predict(X), members(noise).mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("stack", ["ridge", "mlp"])
def test_a_model_is_read_back_with_its_stack(stack):
    head = StackHead(MEMBERS, stack=stack).fit(X, LINEAR, GROUPS)
    again = StackHead(**head.params()).with_state(head.state())
    assert (again.stack_ is None) == (head.stack_ is None)
    assert again.predict(X).tobytes() == head.predict(X).tobytes()


def test_a_single_group_gives_the_plain_mean():
    head = StackHead(MEMBERS).fit(X, LINEAR, np.full(150, "P"))
    alone = [HEADS.get(name)(seed=0).fit(X, LINEAR, np.full(150, "P")).predict(X) for name in MEMBERS]
    np.testing.assert_allclose(head.predict(X), np.mean(alone, axis=0), atol=1e-5)


@pytest.mark.parametrize("heads", [["ridge"], ["ridge", "ridge"], ["ridge", "stack"]])
def test_heads_that_cannot_be_stacked_are_refused(heads):
    with pytest.raises(ConfigError, match="cannot be stacked"):
        StackHead(heads)


def test_heads_on_features_and_on_pixels_are_stacked_and_read_back():
    few = np.r_[:20, 30:50]  # of two groups
    features = X["image@112"][few]
    noise = np.random.default_rng(2).normal(0, 4, (len(few), 32, 32, 3))
    tiles = np.clip(128 + 40 * features[:, None, None, :3] + noise, 0, 255).astype(np.uint8)
    both = Inputs({"image@112": features}, tiles)
    options = {"multiscale_pixels": {"tile_px": 30, "width": 4, "epochs": 1}}
    head = StackHead(["ridge", "multiscale_pixels"], options)
    assert head.needs_tiles
    assert not StackHead(MEMBERS).needs_tiles
    P = head.fit(both, LINEAR[few], GROUPS[few]).predict(both)
    again = StackHead(**head.params()).with_state(head.state())
    assert again.predict(both).tobytes() == P.tobytes()
    with pytest.raises(InputError, match="no tiles"):
        again.predict(X)


def test_options_of_heads_that_are_not_stacked_are_refused():
    with pytest.raises(ConfigError, match=r"not stacked(.|\n)*mlp"):
        StackHead(MEMBERS, {"mlp": {"epochs": 1}})
