"""The head that is shown is chosen by inner scores, a stack only where it is clearly better than what is simpler."""

import pytest

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


def by_section(**scores):
    """Summaries of heads from their inner scores, section by section."""
    return {
        name: {"inner_score": sum(each) / len(each), "inner_scores": dict(zip("abcd", each, strict=True))}
        for name, each in scores.items()
    }


@pytest.mark.parametrize(
    ("stack", "chosen"),
    [
        ((0.44, 0.42, 0.38, 0.40), "ridge"),  # as often worse as better: 0.01 ahead, standard error 0.018
        ((0.43, 0.43, 0.42, 0.43), "stack_mlp"),  # a little better everywhere
    ],
)
def test_a_stack_is_chosen_only_beyond_one_standard_error(stack, chosen):
    assert choose(by_section(ridge=(0.40, 0.40, 0.40, 0.40), stack_mlp=stack)) == chosen


def test_the_plain_mean_goes_before_what_is_learnt():
    heads = by_section(
        ridge=(0.30, 0.30, 0.30, 0.30), members_mean=(0.40, 0.40, 0.40, 0.40), stack_ridge=(0.44, 0.42, 0.38, 0.40)
    )
    assert choose(heads) == "members_mean"


def test_among_single_heads_the_best_is_chosen_however_close():
    assert choose(by_section(ridge=(0.40, 0.40, 0.40, 0.40), lowrank=(0.44, 0.42, 0.38, 0.40))) == "lowrank"


def test_a_section_that_could_not_be_scored_counts_for_no_head():
    heads = by_section(ridge=(0.40, 0.40, 0.40, 0.40), stack_ridge=(0.43, 0.43, 0.42, 0.43))
    heads["ridge"]["inner_scores"]["a"] = None
    assert choose(heads) == "stack_ridge"
