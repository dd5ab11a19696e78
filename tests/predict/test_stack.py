"""A stack is fitted on unseen rows, judged on unseen groups, and said to be not worth it where it is not."""

import numpy as np
import pytest

from histoscribe.errors import ConfigError, InputError
from histoscribe.predict.stack import RidgeStack, judge_stack, make_stack
from histoscribe.predict.stack_network import MLPStack

KINDS = (lambda: RidgeStack(strength=0.7), lambda: MLPStack(hidden=16, epochs=3))


def data(noise, seed=0, n=240, t=4):
    """Members that see the truth with some noise each, in six groups."""
    rng = np.random.default_rng(seed)
    Y = rng.normal(size=(n, t))
    members = np.stack([Y + sd * rng.normal(size=Y.shape) for sd in noise])
    return members, Y, np.repeat([f"P{k}" for k in range(6)], n // 6)


def test_a_good_member_beside_a_bad_one_makes_a_stack_worth_it():
    judged = judge_stack(RidgeStack(), *data((0.2, 2.0)))
    assert judged.worth_it
    assert judged.record()["note"] == "worth it"


def test_a_stack_of_useless_members_is_not_worth_it():
    members, Y, groups = data((1.0, 1.0))
    useless = np.random.default_rng(5).permuted(members, axis=1) * 1e-3
    # what deviates says nothing of the truth, so a learned weight is only noise
    assert judge_stack(RidgeStack(strength=0.01), useless, Y, groups).record()["note"] == "not worth it"


def test_a_strong_penalty_gives_the_plain_mean():
    members, Y, groups = data((0.2, 2.0))
    P = RidgeStack(strength=1e9).fit(members, Y, groups).predict(members)
    np.testing.assert_allclose(P, members.mean(axis=0), atol=1e-5)


def test_a_held_group_has_no_say_in_its_own_predictions():
    members, Y, groups = data((0.2, 2.0))
    held, other = groups == "P0", Y.copy()
    other[held] += 100
    mine, theirs = judge_stack(RidgeStack(), members, Y, groups), judge_stack(RidgeStack(), members, other, groups)
    np.testing.assert_array_equal(mine.P[held], theirs.P[held])


@pytest.mark.parametrize("kind", KINDS)
def test_params_and_state_make_the_same_stack_again(kind):
    members, Y, groups = data((0.2, 2.0))
    stack = kind().fit(members, Y, groups)
    again = type(stack)(**stack.params()).with_state(stack.state())
    assert again.predict(members).tobytes() == stack.predict(members).tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_that_was_not_fitted_says_so(kind):
    with pytest.raises(ConfigError, match="not fitted"):
        kind().predict(data((0.2, 2.0))[0])


def test_a_network_learns_what_no_weighing_can():
    members, _, groups = data((0.2, 0.2), n=600)
    Y = members[0] * np.sign(members[1][:, :1])  # a product of what two members say
    members, Y, groups = members[:, :600], Y[:600], np.repeat([f"P{k}" for k in range(6)], 100)
    network = judge_stack(MLPStack(hidden=64, epochs=30), members, Y, groups)
    ridge = judge_stack(RidgeStack(), members, Y, groups)
    assert np.mean(list(network.errors.values())) < 0.7 * np.mean(list(ridge.errors.values()))


def test_a_stack_of_no_known_kind_is_refused():
    with pytest.raises(ConfigError, match="mlp"):
        make_stack("mpl", seed=0)


def test_one_member_cannot_be_stacked():
    members, Y, groups = data((0.2,))
    with pytest.raises(InputError, match="match"):
        judge_stack(RidgeStack(), members, Y, groups)
