"""A card says all that is wrong with it at once, and a user's own is as good as a built-in one."""

import os
from dataclasses import replace

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


@pytest.mark.parametrize(
    "text", ["[model_args]\ncheckpoint_path = '/tmp/x.pth'\n", "[model_args.pretrained_cfg]\nfile = 'x'\n"]
)
def test_what_is_no_shape_is_refused_with_what_is(write_card, text):
    with pytest.raises(ConfigError, match=r"only what changes the network's shape: (did you mean|choose one of)"):
        load_card(write_card(text, model="resnet50"))


@pytest.mark.parametrize(
    "name",
    [
        *("pretrained_cfg_overlay", "pretrained", "cache_dir", "features_only", "feature_cls", "scriptable"),
        *(
            "exportable",
            "no_jit",
            "pruned",
            "pretrained_strict",
            "model_cfg",
            "block_fn",
            "device",
            "dtype",
            "in_chans",
        ),
        *("weight_init", "drop_rate", "__class__", "model_name", "state_dict"),
    ],
)
@pytest.mark.parametrize("value", ["true", "'x'", "1"])
def test_no_other_argument_of_timm_is_passed_on(write_card, name, value):
    with pytest.raises(ConfigError, match="`model_args` may not hold"):
        load_card(write_card(f"[model_args]\n{name} = {value}\n", model="resnet50"))


@pytest.mark.parametrize(
    ("argument", "problem"),
    [
        ("depth = 1000000000", "`model_args.depth` must be a whole number from 1 to 128"),
        ("depth = 2.0", "`model_args.depth` must be a whole number"),
        ("depth = true", "`model_args.depth` must be a whole number"),
        ("depth = {a = 1}", "`model_args.depth` must be a whole number"),
        ("depths = [3, 3, 99999]", "`model_args.depths` must be a whole number"),
        ("depths = [1, 1, 1, 1, 1, 1, 1, 1, 1]", "a list of up to 8"),
        ("img_size = [100000, 100000]", "`model_args.img_size` must be a whole number from 16 to 4,096"),
        ("init_values = 'x'", "`model_args.init_values` must be a number"),
        ("init_values = nan", "`model_args.init_values` must be a number"),
        ("qkv_bias = 1", "`model_args.qkv_bias` must be true or false"),
        ("global_pool = 'x'", "`model_args.global_pool` must be one of"),
        ("act_layer = 'Linear'", "there is no layer 'Linear'"),
        ("act_layer = 'create_model'", "there is no layer 'create_model'"),
        ("norm_layer = 'SiLU'", "there is no layer 'SiLU'"),
        ("mlp_layer = '__builtins__'", "there is no layer"),
    ],
)
def test_an_argument_of_the_wrong_kind_or_size_is_refused(write_card, argument, problem):
    with pytest.raises(ConfigError) as caught:
        load_card(write_card(f"[model_args]\n{argument}\n", model="vit_base_patch16_224"))
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "model",
    [
        *("hf-hub:someone/anything", "hf_hub:someone/anything", "local-dir:/tmp/x", "timm/resnet50", "https://a.b/c"),
        *("../resnet50", "/tmp/x", "C:\\\\x", "resnet50.a.b", "resnet50 ", "${HOME}"),
    ],
)
def test_a_model_is_a_name_and_never_a_place(write_card, model):
    with pytest.raises(ConfigError, match="`model` must be a name that timm lists"):
        load_card(write_card(model=model))


@pytest.mark.parametrize(
    ("facts", "problem"),
    [
        ({"input_px": 1_000_000}, "`input_px` must be at least 1 and at most 4,096"),
        ({"dimension": 10**12}, "`dimension` must be at least 1 and at most 65,536"),
        ({"mpp": 1e9}, "`mpp` must be above zero"),
        ({"hub": "../../etc"}, "`hub` must be a repository"),
        ({"hub": "a/b/c"}, "`hub` must be a repository"),
        ({"hub": "https://a.b/c"}, "`hub` must be a repository"),
        ({"hub": "a/b", "revision": "../../x"}, "`revision` must be"),
        ({"hub": "a/b", "revision": "/etc"}, "`revision` must be"),
        ({"licence": "x" * 5000}, "`licence` is too long"),
        ({"file": "a\\u0000b"}, "`file` holds control characters"),
        ({"source": "\\u001b[2J"}, "`source` holds control characters"),
    ],
)
def test_a_value_that_could_do_harm_is_refused(write_card, facts, problem):
    with pytest.raises(ConfigError) as caught:
        load_card(write_card(model="resnet50", **facts))
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "ftp://a.b/c", "http://example.org/w", "//a.b/c", "https://", "https://me:pw@a.b/c"),
        *(
            "http://127.0.0.1.example.org/w",
            "http://localhost@example.org/w",
            "https://a b/c",
            "sftp://a.b/c",
            "doi:1/2",
        ),
        *("https://a.b:port/c", "${HOME}", "w.safetensors"),
    ],
)
def test_an_address_is_https_or_nothing(write_card, url):
    with pytest.raises(ConfigError, match="`url`"):
        load_card(write_card(model="resnet50", url=url, sha256="0" * 64))


def test_a_card_made_in_python_is_held_to_the_same(write_card):
    card = load_card("resnet50")
    for differs in ({"model": "hf-hub:a/b"}, {"model_args": {"checkpoint_path": "x"}}, {"url": "file:///x", "hub": ""}):
        with pytest.raises(ConfigError, match="encoder 'resnet50'"):
            replace(card, **differs)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 50_000,
        "a = " + "9" * 5000,
        "like = 0x" + "f" * 6000,
        "like = ['uni']",
        '"\x7f" = 1',
        "a = 1\n" * 60_000,
    ],
    ids=["nested", "digits", "hexadecimal", "list", "control", "long"],
)
def test_toml_made_to_fail_is_one_short_error(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_card(path)
    assert len(str(caught.value)) < 2000


def test_thousands_of_strange_keys_are_reported_in_a_few_words(write_card):
    extra = "".join(f"a{k} = 1\n" for k in range(10_000))
    for text in (extra, "[model_args]\n" + extra):
        with pytest.raises(ConfigError) as caught:
            load_card(write_card(text, model="resnet50"))
        assert len(str(caught.value)) < 2000


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.toml")
    with pytest.raises(ConfigError, match="a pipe or a device"):
        load_card(tmp_path / "pipe.toml")


def test_a_card_of_any_size_is_refused_unread(tmp_path):
    path = tmp_path / "huge.toml"
    path.touch()
    os.truncate(path, 10**10)
    with pytest.raises(ConfigError, match="too long"):
        load_card(path)
