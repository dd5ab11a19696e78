"""The command: what it says where its packages or the port are missing."""

import socket
import sys

import pytest

from histoscribe.cli.viewing import view
from histoscribe.errors import ConfigError


def test_without_its_packages_the_command_names_the_extra(result, monkeypatch):
    monkeypatch.delitem(sys.modules, "histoscribe.view.server", raising=False)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    monkeypatch.setitem(sys.modules, "starlette", None)
    with pytest.raises(ConfigError, match="not installed") as refused:
        view(result)
    assert "histoscribe[view]" in str(refused.value)


def test_a_taken_port_is_told(result):
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(ConfigError, match="cannot listen there"):
        view(result, port=taken.getsockname()[1], open_page=False)
