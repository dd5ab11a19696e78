"""The head that is shown is chosen by inner scores, and a stack only where it beat the plain mean."""

from histoscribe.predict.summary import choose

HEADS = {
    "mean": {"inner_score": 0.9},
    "ridge": {"inner_score": 0.30},
    "members_mean": {"inner_score": 0.32},
    "stack_ridge": {"inner_score": 0.35},
}


def test_the_best_inner_score_is_chosen_but_never_a_baseline():
    assert choose(HEADS) == "stack_ridge"


def test_a_stack_that_is_not_worth_it_is_not_chosen():
    assert choose(HEADS, not_worth_it={"stack_ridge"}) == "members_mean"


def test_baselines_alone_leave_only_themselves():
    assert choose({"mean": {"inner_score": None}, "depth": {"inner_score": 0.1}}) == "depth"
