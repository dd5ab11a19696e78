"""Nobody is trained on who they are tested on, unless the fold says so."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscribe.errors import ConfigError, InputError
from histoscribe.predict.splits import (
    Fold,
    block_folds,
    block_labels,
    check_no_patient_on_both_sides,
    inner_folds,
    outer_folds,
    spatial_blocks,
)

THREE = [("a1", "A"), ("a2", "A"), ("b1", "B"), ("c1", "C")]
ONE = [("c2", "C"), ("c3", "C"), ("c4", "C")]


def grid(columns=20, rows=15):
    y, x = np.mgrid[:rows, :columns]
    return np.column_stack([x.ravel(), y.ravel()]) * 100.0


def test_patients_are_held_out_by_default():
    folds = outer_folds(THREE)
    assert [(fold.name, fold.test) for fold in folds] == [("A", ("a1", "a2")), ("B", ("b1",)), ("C", ("c1",))]
    assert folds[0].train == ("b1", "c1")
    assert {(fold.rule, fold.leaky) for fold in folds} == {("patient", False)}


def test_one_patient_is_refused_and_the_message_says_what_to_do():
    with pytest.raises(InputError, match="one patient") as caught:
        outer_folds(ONE)
    assert "by='section'" in caught.value.fix
    assert "LEAKY" in caught.value.fix


def test_sections_of_one_patient_are_leaky_on_request():
    folds = outer_folds(ONE, by="section")
    assert [fold.test for fold in folds] == [("c2",), ("c3",), ("c4",)]
    assert all(fold.leaky and fold.rule == "section" for fold in folds)


def test_sections_are_not_leaky_where_each_is_its_own_patient():
    assert not any(fold.leaky for fold in outer_folds([("s1", "A"), ("s2", "B")], by="section"))


def test_unknown_patients_are_never_taken_for_different_ones():
    unknown = [("s1", None), ("s2", None)]
    with pytest.raises(InputError, match="not known"):
        outer_folds(unknown)
    assert all(fold.leaky for fold in outer_folds(unknown, by="section"))


@pytest.mark.parametrize("sections", [[], [("a", "A")]])
@pytest.mark.parametrize("by", ["auto", "section"])
def test_fewer_than_two_groups_are_refused(sections, by):
    with pytest.raises(InputError) as caught:
        outer_folds(sections, by=by)
    assert caught.value.fix


def test_names_that_stand_twice_are_refused():
    with pytest.raises(InputError, match="more than once"):
        outer_folds([("a", "A"), ("a", "B")])


def test_an_unknown_rule_is_refused():
    with pytest.raises(ConfigError, match="no such rule"):
        outer_folds(THREE, by="slide")


@given(st.lists(st.sampled_from("ABCD"), min_size=2, max_size=9).filter(lambda p: len(set(p)) > 1))
def test_every_section_is_tested_once_and_no_patient_is_on_both_sides(patients):
    sections = [(f"s{k}", patient) for k, patient in enumerate(patients)]
    folds = outer_folds(sections)
    assert sorted(name for fold in folds for name in fold.test) == sorted(name for name, _ in sections)
    check_no_patient_on_both_sides(folds, dict(sections))
    assert all(len(fold.train) + len(fold.test) == len(sections) for fold in folds)


def test_a_patient_on_both_sides_is_refused():
    with pytest.raises(InputError, match="both sides") as caught:
        check_no_patient_on_both_sides([Fold("x", ("a1",), ("a2",), "patient", leaky=False)], dict(THREE))
    assert "A" in caught.value.found


def test_a_section_on_both_sides_is_refused_even_where_leaky():
    with pytest.raises(InputError, match="sections are on both sides"):
        check_no_patient_on_both_sides([Fold("x", ("a1", "b1"), ("a1",), "section", leaky=True)], dict(THREE))


def test_unknown_patients_on_both_sides_are_refused_unless_leaky():
    fold = Fold("x", ("s1",), ("s2",), "section", leaky=False)
    with pytest.raises(InputError, match="both sides"):
        check_no_patient_on_both_sides([fold], {"s1": None, "s2": None})
    check_no_patient_on_both_sides(outer_folds([("s1", None), ("s2", None)], by="section"), {"s1": None, "s2": None})


def test_blocks_are_of_equal_size_and_compact():
    xy = grid()
    labels = block_labels(xy, n_blocks=5)
    assert np.bincount(labels).tolist() == [60] * 5
    spread = np.mean([xy[labels == k].std(axis=0).mean() for k in range(5)])
    assert spread < 0.6 * xy.std(axis=0).mean()


def test_blocks_do_not_depend_on_the_order_of_the_spots():
    xy = grid()
    order = np.random.default_rng(0).permutation(len(xy))
    np.testing.assert_array_equal(
        block_labels(xy[order], n_blocks=7, seed=3), block_labels(xy, n_blocks=7, seed=3)[order]
    )


def test_another_seed_gives_other_blocks():
    assert (block_labels(grid(), n_blocks=4, seed=0) != block_labels(grid(), n_blocks=4, seed=1)).any()


@given(st.integers(2, 6), st.floats(0, 450), st.integers(0, 5))
def test_no_training_spot_lies_within_the_guard_of_a_test_spot(n_blocks, guard_um, seed):
    xy = grid()
    tested = []
    for train, test in spatial_blocks(xy, n_blocks=n_blocks, guard_um=guard_um, seed=seed):
        distance = np.linalg.norm(xy[train][:, None] - xy[test][None], axis=-1)
        assert distance.min() > guard_um
        tested.append(test)
    assert sorted(np.concatenate(tested)) == list(range(len(xy)))


def test_a_guard_that_leaves_nothing_is_refused():
    with pytest.raises(ConfigError, match="leaves no spots"):
        spatial_blocks(grid(), n_blocks=2, guard_um=5000.0)


def test_folds_of_blocks_are_always_leaky():
    folds = block_folds("c2", grid(), n_blocks=3, guard_um=200.0)
    assert [fold.name for fold in folds] == ["c2#1", "c2#2", "c2#3"]
    assert all(fold.leaky and fold.rule == "blocks" and fold.blocks is not None for fold in folds)
    check_no_patient_on_both_sides(folds, {"c2": "C"})


def test_spots_on_both_sides_of_a_block_are_refused():
    both = (np.arange(5), np.arange(4, 8))
    with pytest.raises(InputError, match="spots are on both sides"):
        check_no_patient_on_both_sides([Fold("x#1", ("x",), ("x",), "blocks", leaky=True, blocks=both)], {"x": "X"})


@given(st.lists(st.integers(0, 8), min_size=2, max_size=60).filter(lambda g: len(set(g)) > 1))
def test_inner_folds_never_split_a_group_and_validate_every_row_once(groups):
    groups = np.array(groups)
    folds = inner_folds(groups)
    assert len(folds) == min(5, len(set(groups)))
    for fit, validate in folds:
        assert not set(groups[fit]) & set(groups[validate])
        assert len(fit)
    assert sorted(np.concatenate([validate for _, validate in folds])) == list(range(len(groups)))


def test_inner_folds_of_one_group_are_refused():
    with pytest.raises(InputError, match="only one group"):
        inner_folds(np.zeros(5))
