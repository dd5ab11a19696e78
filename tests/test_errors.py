"""Errors read as sentences: where, what, expected, found, fix."""

from histoscribe.errors import InputError, listing, nearest


def test_a_message_has_its_parts_in_order():
    error = InputError("too small", where="a.png", expected="100 px", found="3 px", fix="give a larger image")
    assert str(error) == "a.png: too small\n  expected: 100 px\n  found: 3 px\n  to fix it: give a larger image"


def test_parts_that_are_not_given_are_left_out():
    assert str(InputError("too small")) == "too small"


def test_a_long_list_is_cut_with_a_count():
    assert listing(range(1003), limit=3) == "0, 1, 2 and 1,000 more"
    assert listing([]) == "none"


def test_a_misspelt_name_gets_its_neighbours_and_a_strange_one_gets_all():
    assert nearest("morfology", ["morphology", "uni"]) == "did you mean morphology?"
    assert nearest("qqq", ["b", "a"]) == "choose one of: a, b"
