"""TOML is read where it is a small file and refused at once where it is anything else."""

import os

import pytest

from histoscribe.errors import ConfigError
from histoscribe.store.toml import MOST_BYTES, read_toml


def test_a_small_file_is_read(tmp_path):
    (tmp_path / "a.toml").write_text('name = "ä"\n', encoding="utf-8")
    assert read_toml(tmp_path / "a.toml", what="the card") == {"name": "ä"}


def test_the_longest_file_is_read_and_a_longer_one_refused(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("a = 1\n".ljust(MOST_BYTES))
    assert read_toml(path, what="the card") == {"a": 1}
    path.write_text("a = 1\n".ljust(MOST_BYTES + 1))
    with pytest.raises(ConfigError, match="the card cannot be read: it is too long"):
        read_toml(path, what="the card")


@pytest.mark.parametrize("path", ["/dev/zero", "/dev/stdin", ".", "nowhere.toml", "a\0b", "x" * 5000])
def test_what_is_no_file_is_refused(path):
    from pathlib import Path

    with pytest.raises(ConfigError, match="the card cannot be read"):
        read_toml(Path(path), what="the card")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.toml")
    with pytest.raises(ConfigError, match="the card cannot be read: it is a folder, a pipe or a device"):
        read_toml(tmp_path / "a.toml", what="the card")


def test_a_key_of_thousands_of_parts_is_refused_at_once(tmp_path):
    (tmp_path / "a.toml").write_text("x" + ".x" * 50_000 + " = 1")
    with pytest.raises(ConfigError, match="nested deeper"):
        read_toml(tmp_path / "a.toml", what="the card")
