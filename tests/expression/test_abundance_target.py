"""Cell types as a target."""

import json
from dataclasses import replace

import numpy as np
import pytest

from histoscribe.errors import ConfigError, InputError
from histoscribe.expression.abundance_target import AbundanceTarget
from histoscribe.expression.measured import Measured
from histoscribe.expression.ranks import within_spot_ranks
from histoscribe.expression.targets import make_target, target_from_record


def test_ranks_are_the_default(sections):
    target = AbundanceTarget().fit(sections)
    np.testing.assert_array_equal(target.transform(sections[0]), within_spot_ranks(sections[0].abundance))


def test_abundances_themselves_on_request(sections):
    target = AbundanceTarget(ranks=False).fit(sections)
    np.testing.assert_allclose(target.transform(sections[0]), sections[0].abundance, rtol=1e-6)


def test_columns_are_joined_by_name(sections):
    target = AbundanceTarget().fit(sections)
    turned = replace(sections[0], abundance=sections[0].abundance[:, ::-1], cell_types=sections[0].cell_types[::-1])
    np.testing.assert_array_equal(target.transform(turned), target.transform(sections[0]))


def test_sections_with_other_types_are_refused(sections):
    other = replace(sections[1], cell_types=("a", "b", "d"))
    with pytest.raises(InputError, match="different cell types") as caught:
        AbundanceTarget().fit([sections[0], other])
    assert "c, d" in caught.value.found


def test_a_held_out_section_that_lacks_a_type_is_refused(sections):
    target = AbundanceTarget().fit(sections)
    fewer = replace(sections[0], abundance=sections[0].abundance[:, :2], cell_types=("a", "b"))
    with pytest.raises(InputError, match="1 of 3 cell types"):
        target.transform(fewer)


def test_spots_without_abundances_are_counted(sections):
    values = sections[0].abundance.copy()
    values[:5] = np.nan
    with pytest.raises(InputError, match="5 of 196 spots"):
        AbundanceTarget().fit([replace(sections[0], abundance=values)])


def test_a_section_without_a_table_is_refused():
    with pytest.raises(InputError, match="no table of cell types"):
        AbundanceTarget().fit([Measured("S")])


def test_ranks_stay_ranks_when_inverted(sections):
    target = AbundanceTarget().fit(sections)
    ranks = target.transform(sections[0])
    np.testing.assert_array_equal(target.inverse(ranks), ranks)


def test_the_record_is_json_and_gives_the_target_back(sections):
    target = make_target("abundance", ranks=False).fit(sections)
    again = target_from_record(json.loads(json.dumps(target.record())))
    np.testing.assert_array_equal(again.transform(sections[1]), target.transform(sections[1]))


def test_an_unknown_target_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="no target called 'gene'") as caught:
        make_target("gene")
    assert "genes" in caught.value.fix


def test_a_record_of_something_else_is_refused():
    with pytest.raises(InputError, match="no target"):
        target_from_record({"kind": "head"})
