"""A stack is fitted on unseen rows, judged on unseen groups, and said to be not worth it where it is not."""

import numpy as np
import pytest

from histoscribe.errors import ConfigError, InputError
from histoscribe.predict.nested import twice_unseen
from histoscribe.predict.splits import inner_folds
from histoscribe.predict.stack import MLPStack, RidgeStack, judge_stack, make_stack

KINDS = (lambda: RidgeStack(strength=0.7), lambda: MLPStack(hidden=16, epochs=3))


def data(noise, seed=0, n=240, t=4):
    """Members that see the truth with some noise each, in six groups."""
    rng = np.random.default_rng(seed)
    Y = rng.normal(size=(n, t))
    members = np.stack([Y + sd * rng.normal(size=Y.shape) for sd in noise])
    return members, Y, np.repeat([f"P{k}" for k in range(6)], n // 6)


def judge(stack, members, Y, groups):
    """Judge on members to which nothing was fitted: they are the same for every fold."""
    folds = inner_folds(groups, max_folds=6)
    return judge_stack(
        stack, [np.repeat(one[None], len(folds), axis=0) for one in members], Y, folds=folds, groups=groups
    )


def test_a_good_member_beside_a_bad_one_makes_a_stack_worth_it():
    judged = judge(RidgeStack(), *data((0.2, 2.0)))
    assert judged.worth_it
    assert judged.record()["note"] == "worth it"


def test_a_stack_of_useless_members_is_not_worth_it():
    members, Y, groups = data((1.0, 1.0))
    useless = np.random.default_rng(5).permuted(members, axis=1) * 1e-3
    # what deviates says nothing of the truth, so a learned weight is only noise
    assert judge(RidgeStack(strength=0.01), useless, Y, groups).record()["note"] == "not worth it"


def test_a_strong_penalty_gives_the_plain_mean():
    members, Y, groups = data((0.2, 2.0))
    P = RidgeStack(strength=1e9).fit(members, Y, groups).predict(members)
    np.testing.assert_allclose(P, members.mean(axis=0), atol=1e-5)


def test_a_held_group_has_no_say_in_its_own_predictions():
    members, Y, groups = data((0.2, 2.0))
    held, other = groups == "P0", Y.copy()
    other[held] += 100
    mine, theirs = judge(RidgeStack(), members, Y, groups), judge(RidgeStack(), members, other, groups)
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
    network = judge(MLPStack(hidden=64, epochs=30), members, Y, groups)
    ridge = judge(RidgeStack(), members, Y, groups)
    assert np.mean(list(network.errors.values())) < 0.7 * np.mean(list(ridge.errors.values()))


def test_a_stack_of_no_known_kind_is_refused():
    with pytest.raises(ConfigError, match="mlp"):
        make_stack("mpl", seed=0)


def test_one_member_cannot_be_stacked():
    members, Y, groups = data((0.2,))
    with pytest.raises(InputError, match="match"):
        judge(RidgeStack(), members, Y, groups)


def mean_members(groups, Y):
    """Two members that learn only the mean of what they see: once and twice unseen, and the folds."""
    folds, once = inner_folds(groups), np.empty(Y.shape)

    def refit(fit, held, part):
        return np.tile(Y[fit].mean(axis=0), (len(held), 1))

    for fit, held in folds:
        once[held] = refit(fit, held, "")
    return [once] * 2, [twice_unseen(refit, once, folds)] * 2, folds


class LeastSquares(RidgeStack):
    """A line per target through what the first member says: the least that overfits."""

    def fit(self, members, Y, groups):
        self.weights_ = np.stack([np.polyfit(members[0][:, t], Y[:, t], 1) for t in range(Y.shape[1])], 1)
        return self

    def predict(self, members):
        return self.weights_[0] * members[0] + self.weights_[1]


def test_a_stack_that_turns_the_mean_of_the_others_round_is_found_out():
    """The mean of all others, less itself, gives away the patient that was left out, whom no picture tells of."""
    rng = np.random.default_rng(0)
    groups = np.repeat([f"P{k}" for k in range(5)], 20)
    Y = np.repeat(rng.normal(size=(5, 4)), 20, axis=0)
    once, twice, folds = mean_members(groups, Y)
    seen = [np.repeat(one[None], len(folds), axis=0) for one in once]
    leaky = judge_stack(LeastSquares(), seen, Y, folds=folds, groups=groups)
    np.testing.assert_allclose(leaky.P, Y, atol=1e-3)  # the very values that were held out
    honest = judge_stack(LeastSquares(), twice, Y, folds=folds, groups=groups)
    np.testing.assert_allclose(honest.P, once[0], atol=1e-3)  # no more than the mean of the others


def test_what_a_stack_is_fitted_on_saw_nothing_of_where_it_is_scored():
    rng = np.random.default_rng(0)
    groups, Y = np.repeat([f"P{k}" for k in range(4)], 10), rng.normal(size=(40, 3))
    _, twice, folds = mean_members(groups, Y)
    for k, (fit, held) in enumerate(folds):
        other = Y.copy()
        other[held] += 100
        _, changed, _ = mean_members(groups, other)
        for m in range(2):
            np.testing.assert_array_equal(changed[m][k, fit], twice[m][k, fit])
            assert np.abs(changed[m][k - 1, fit] - twice[m][k - 1, fit]).max() > 1
