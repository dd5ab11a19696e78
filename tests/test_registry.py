"""The registry: names cost nothing, entries are imported when asked for, other packages register by entry point."""

from importlib.metadata import EntryPoint

import pytest

from histoscribe import registry
from histoscribe.errors import ConfigError
from histoscribe.registry import Registry


def test_an_entry_is_imported_when_it_is_asked_for():
    codecs = Registry("codec", group="x", builtin={"json": "json:dumps", "absent": "no_such_module:x"})
    assert codecs.names() == ["absent", "json"]
    assert codecs.get("json")([1]) == "[1]"


def test_an_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match=r"no codec called 'jsn'(.|\n)*did you mean json"):
        Registry("codec", group="x", builtin={"json": "json:dumps"}).get("jsn")


def test_another_package_can_add_but_not_replace(monkeypatch):
    points = [EntryPoint("mine", "json:loads", "x"), EntryPoint("json", "evil:loads", "x")]
    monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in points if p.group == group])
    codecs = Registry("codec", group="x", builtin={"json": "json:dumps"})
    assert codecs.get("mine")("[1]") == [1]
    assert codecs.get("json")([1]) == "[1]"
