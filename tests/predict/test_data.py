"""Sections become rows joined by name, and are kept together by the coarsest level with at least two groups."""

from dataclasses import replace

import numpy as np
import pytest

from histoscribe.errors import InputError
from histoscribe.predict.data import grouping_of, inputs_of, row_digests, two_sides
from histoscribe.predict.splits import block_folds


def test_sections_are_stacked_with_their_names_and_depths(make):
    X = inputs_of([make.section("A", "P", n=3), make.section("B", "P", n=2)])
    assert X.section.tolist() == ["A", "A", "A", "B", "B"]
    assert {name: block.shape for name, block in X.blocks.items()} == {"image@112": (5, 5), "position": (5, 2)}
    assert X.depth.shape == (5,)


def test_the_depth_stays_behind_where_it_is_not_wanted(make):
    assert inputs_of([make.section("A", "P")], depth=False).depth is None


def test_sections_with_other_blocks_are_refused_by_name(make):
    first, second = make.section("A", "P"), make.section("B", "P")
    other = replace(second, blocks={"image@224": second.blocks["image@112"]})
    with pytest.raises(InputError, match=r"section 'B'(.|\n)*image@112 \(5\)(.|\n)*image@224 \(5\)"):
        inputs_of([first, other])


@pytest.mark.parametrize(
    ("sections", "kind", "groups"),
    [
        (lambda make: list(make.cohort(2, 2).values()), "patient", {"P0", "P1"}),
        (lambda make: list(make.cohort(1, 2).values()), "section", {"P0S0", "P0S1"}),
        (lambda make: [make.section("A", None), make.section("B", "P")], "section", {"A", "B"}),
        (lambda make: [make.section("A", "P")], "block", {"A#1", "A#2", "A#3", "A#4"}),
    ],
)
def test_patients_then_sections_then_blocks_stay_together(make, sections, kind, groups):
    given = sections(make)
    found, labels = grouping_of(given).of(np.arange(sum(map(len, given))))
    assert (found, set(labels)) == (kind, groups)


def test_within_one_patient_the_grouping_is_finer(make):
    sections = list(make.cohort(2, 2, n=10).values())
    kind, labels = grouping_of(sections).of(np.arange(20))
    assert (kind, set(labels)) == ("section", {"P0S0", "P0S1"})


def test_rows_take_every_part_along(make):
    section = make.section("A", "P", n=10, abundance=True)
    some = section.rows(np.array([7, 2]))
    np.testing.assert_array_equal(some.xy_um, section.xy_um[[7, 2]])
    np.testing.assert_array_equal(some.measured.counts.toarray(), section.measured.counts.toarray()[[7, 2]])
    np.testing.assert_array_equal(some.measured.abundance, section.measured.abundance[[7, 2]])
    assert len(some) == 2


def test_blocks_divide_the_one_section(make):
    section = make.section("A", "P")
    train, test = two_sides({"A": section}, block_folds("A", section.xy_um, n_blocks=3)[0])
    assert len(train[0]) + len(test[0]) == len(section)
    assert test[0].name == "A#1"


def test_a_row_is_identified_by_its_values_alone(make):
    a, b = inputs_of([make.section("A", "P", n=4)]), inputs_of([make.section("B", "Q", n=4)])
    assert row_digests(a) == row_digests(inputs_of([replace(make.section("A", "P", n=4), name="Z")]))
    assert not set(row_digests(a)) & set(row_digests(b))
