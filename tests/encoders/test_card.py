"""A card says all that is wrong with it at once, and a user's own is as good as a built-in one."""

import pytest

from histoscribe.encoders import BACKENDS, cards, load_card
from histoscribe.errors import ConfigError

NAMED = (
    *(f"efficientnet_b{k}" for k in range(8)),
    *(f"efficientnetv2_{size}" for size in "sml"),
    *("convnext_tiny", "swin_tiny", "regnety_032", "resnext50_32x4d", "resnet50", "morphology"),
    *("uni", "uni2_h", "h_optimus_0", "h_optimus_1", "virchow2", "gigapath"),
)


@pytest.mark.parametrize("name", NAMED)
def test_every_promised_encoder_has_a_card(name):
    card = load_card(name)
    assert card.name == name
    assert card.licence
    assert card.backend in BACKENDS.names()


def test_cards_lists_the_built_in_ones_by_name():
    assert [card.name for card in cards()] == sorted(NAMED)


def test_gated_pathology_encoders_say_so_and_at_which_resolution_they_were_trained():
    gated = [card for card in cards() if card.gated]
    assert {card.name for card in gated} == {"uni", "uni2_h", "h_optimus_0", "h_optimus_1", "virchow2", "gigapath"}
    assert {card.mpp for card in gated} == {0.5}


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(ConfigError, match="did you mean efficientnet_b0"):
        load_card("eficientnet_b0")


def test_a_card_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        load_card(tmp_path / "nowhere.toml")


def test_a_file_is_relative_to_its_card(write_card, tmp_path):
    assert (
        load_card(write_card(model="resnet50", file="deep/w.safetensors")).file == tmp_path / "deep" / "w.safetensors"
    )


def test_a_file_may_use_environment_variables_and_defaults(write_card, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_WEIGHTS", str(tmp_path / "there"))
    path = write_card(file="${MY_WEIGHTS}/${MY_FILE:-w.onnx}")
    assert load_card(path).file == tmp_path / "there" / "w.onnx"


def test_an_unset_variable_is_named(write_card):
    with pytest.raises(ConfigError, match="NOT_SET_ANYWHERE, which is not set"):
        load_card(write_card(file="${NOT_SET_ANYWHERE}/w.onnx"))


def test_like_takes_what_is_not_given_from_a_built_in_card(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('like = "uni"\nname = "my_uni"\nfile = "uni.safetensors"\n')
    card, original = load_card(path), load_card("uni")
    assert (card.name, card.hub, card.file) == ("my_uni", "", tmp_path / "uni.safetensors")
    assert (card.model_args, card.mean, card.licence) == (original.model_args, original.mean, original.licence)


def test_like_an_unknown_card_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('like = "unii"\n')
    with pytest.raises(ConfigError, match="did you mean uni"):
        load_card(path)


def test_all_problems_are_reported_at_once(write_card):
    path = write_card(licence=None, dimension=-1, mean="grey", colour="blue", mpp=0)
    with pytest.raises(ConfigError) as caught:
        load_card(path)
    for part in ("`licence` is missing", "unknown key `colour`", "`mean` must be list"):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"input_px": 0}, "`input_px` must be at least 1"),
        ({"input_px": '"big"'.strip('"')}, "`input_px` must be int"),
        ({"name": "../x"}, "`name` may hold"),
        ({"mean": [0.5, 0.5]}, "`mean` must be three numbers"),
        ({"std": [0.5, 0.5, 0.0]}, "`std` must be above zero"),
        ({"mpp": -0.5}, "`mpp` must be above zero"),
        ({"sha256": "abc"}, "64 hexadecimal digits"),
        ({"pooling": "max"}, "`pooling` must be one of"),
        ({"hub": "a/b", "file": "c.safetensors"}, "give only one of `hub`, `file`"),
        ({"url": "http://localhost/x"}, "`url` needs `sha256`"),
        ({"input_pixels": 3}, "did you mean input_px"),
        ({"dimension": True}, "`dimension` must be int"),
    ],
)
def test_a_bad_value_is_named(write_card, facts, problem):
    with pytest.raises(ConfigError) as caught:
        load_card(write_card(**facts))
    assert problem in str(caught.value)
    assert "mine.toml" in str(caught.value)


@pytest.mark.parametrize("text", [b"name = ", b"\xff\xfe\x00"])
def test_what_is_not_toml_is_refused(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_bytes(text)
    with pytest.raises(ConfigError, match="not TOML"):
        load_card(path)


def test_where_a_local_file_lies_is_no_part_of_what_the_card_says(write_card, tmp_path):
    card = load_card(write_card(file="deep/w.safetensors"))
    assert card.to_dict()["file"] == "w.safetensors"
    assert str(tmp_path) not in str(card.to_dict())
