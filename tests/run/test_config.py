"""Configuration: what is given wins, what cannot be is refused with its name."""

import pytest

from histoscribe.errors import ConfigError
from histoscribe.run.section.settings import RunConfig, read_config
from histoscribe.run.settings import fits


def test_a_file_sets_what_it_names_and_leaves_the_rest(tmp_path):
    (tmp_path / "run.toml").write_text('encoder = "morphology"\ntile_um = 80\n[weights]\nimage = 2\n')
    config = read_config(tmp_path / "run.toml")
    assert (config.encoder, config.tile_um, config.weights, config.seed) == ("morphology", 80.0, {"image": 2}, 0)


def test_an_option_that_is_given_wins_over_the_file():
    assert RunConfig(seed=3).updated(seed=None, n_domains=4) == RunConfig(seed=3, n_domains=4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("encodr = 'x'", "did you mean encoder"),
        ("seed = 'one'", "not of the right kind"),
        ("seed = 1.5", "not of the right kind"),
        ("align = 1", "not of the right kind"),
        ("n_domains = true", "not of the right kind"),
        ("n_domains = 0", "at least 1"),
        ("tile_um = -5", "above 0"),
        ("stain = 'green'", "one of none, macenko, reinhard"),
        ("stain = 'macenko'", "given together"),
        ("seed = -1", "not be negative"),
        ("weights = 3", "not of the right kind"),
        ("weights = {image = 'a'}", "not of the right kind"),
        ("seed = ", "is not TOML"),
    ],
)
def test_a_bad_setting_is_refused_by_name(tmp_path, text, words):
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(ConfigError, match=words):
        read_config(tmp_path / "run.toml")


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"none\.toml: the file of settings cannot be read"):
        read_config(tmp_path / "none.toml")


def test_a_file_in_another_encoding_is_named(tmp_path):
    (tmp_path / "run.toml").write_bytes('encoder = "ü"'.encode("latin-1"))
    with pytest.raises(ConfigError, match="UTF-8"):
        read_config(tmp_path / "run.toml")


@pytest.mark.parametrize(("value", "there"), [(None, True), (3, True), (True, False), ("3", False), (3.5, False)])
def test_a_number_that_may_be_absent_is_a_whole_number_or_none(value, there):
    assert fits(value, int | None) is there
