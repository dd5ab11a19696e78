"""A whole network is trained on tiles, from published or given weights; from random ones only where asked for."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from histoscribe.encoders import import_timm
from histoscribe.errors import ConfigError, WeightsError
from histoscribe.predict.fitting import make_head
from histoscribe.predict.heads import backbone as module
from histoscribe.predict.heads.backbone import find_backbone
from histoscribe.predict.heads.finetune import FinetuneHead
from histoscribe.predict.heads.trained import course_of
from histoscribe.predict.train import Course

RNG = np.random.default_rng(0)
SHADE = RNG.integers(40, 215, 48)
TILES = np.clip(SHADE[:, None, None, None] + RNG.normal(0, 6, (48, 32, 32, 3)), 0, 255).astype(np.uint8)
Y = np.column_stack([SHADE, 255 - SHADE]) / 255.0
GROUPS = np.repeat(["a", "b", "c"], 16)


def small(**options):
    usual = {"backbone": "test_resnet", "pretrained": False, "tile_px": 32, "epochs": 2, "device": "cpu"}
    return FinetuneHead(**(usual | options))


def started(**options):
    return small(pretrained=True, epochs=1, **options)


def assert_starts_from(weights, head):
    """That a head that hardly learnt still has the weights of a file."""
    given = load_file(weights)
    key = next(name for name in given if name.endswith("conv1.weight"))
    np.testing.assert_allclose(head.weights_[f"backbone.{key}"], given[key], atol=1e-5)


CARD = """
name = "small"
backend = "{backend}"
model = "{model}"
file = "small.safetensors"
sha256 = "{sha256}"
input_px = 32
dimension = 8
mean = [0.5, 0.4, 0.3]
std = [0.5, 0.25, 0.2]
licence = "none"
source = "a test"
"""


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("weights") / "small.safetensors"
    save_file(import_timm().create_model("test_resnet", pretrained=False).state_dict(), path)
    return path


@pytest.fixture
def card(weights, tmp_path):
    """Write a card of the weights: `card(model=..., sha256=...)` to its path."""

    def written(model="test_resnet", sha256="", backend="timm"):
        shutil.copy(weights, tmp_path)
        (tmp_path / "small.toml").write_text(CARD.format(model=model, sha256=sha256, backend=backend))
        return str(tmp_path / "small.toml")

    return written


def test_it_starts_from_the_mean_of_the_targets():
    found = small(epochs=1, learning_rate=1e-7, augment=0.0).fit(TILES, Y, GROUPS).predict(TILES)
    np.testing.assert_allclose(found, np.tile(Y.mean(axis=0), (48, 1)), atol=0.05)  # of two of the three groups


def test_it_learns_what_the_tiles_show():
    head = small(epochs=25, learning_rate=3e-3, augment=0.0).fit(TILES, Y, GROUPS)
    assert np.corrcoef(head.predict(TILES)[:, 0], Y[:, 0])[0, 1] > 0.7


def test_targets_beyond_0_and_1_come_back_on_their_own_scale():
    found = small().fit(TILES, 10 * Y - 3, GROUPS).predict(TILES)
    assert -3 <= found.min() <= found.max() <= 7


def test_a_cards_weights_are_started_from(card, weights):
    head = started(backbone=card(), learning_rate=1e-9, augment=0.0).fit(TILES, Y, GROUPS)
    assert_starts_from(weights, head)


def test_pixels_reach_a_cards_network_as_the_card_says(card):
    head = started(backbone=card()).fit(TILES, Y, GROUPS)
    assert head.network_.mean == (0.5, 0.4, 0.3)
    assert head.network_.std == (0.5, 0.25, 0.2)


def test_a_fitted_head_needs_its_card_no_more(card):
    path = card()
    head = started(backbone=path).fit(TILES, Y, GROUPS)
    before = head.predict(TILES)
    Path(path).unlink()
    again = FinetuneHead(**head.params()).with_state(head.state())
    assert again.predict(TILES).tobytes() == before.tobytes()


def test_weights_of_another_network_are_refused(card):
    with pytest.raises(WeightsError, match="not in this file"):
        started(backbone=card(model="test_efficientnet")).fit(TILES, Y, GROUPS)


def test_weights_that_the_card_does_not_name_are_refused(card):
    with pytest.raises(WeightsError, match="not the weights that the card names"):
        started(backbone=card(sha256="0" * 64)).fit(TILES, Y, GROUPS)


def test_a_card_of_a_network_that_timm_does_not_have_is_refused(card):
    with pytest.raises(ConfigError, match="no_such_net"):
        started(backbone=card(model="no_such_net")).fit(TILES, Y, GROUPS)


def test_a_card_of_another_backend_is_refused(card):
    with pytest.raises(ConfigError, match="only networks of timm"):
        small(backbone=card(backend="onnx")).fit(TILES, Y, GROUPS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"augment": 1.5},
        {"tile_px": 4},
        {"weights": "x.safetensors", "pretrained": False},
        {"augmentations": {"clahee": 0.5}},
        {"augmentations": {"clahe": 2}},
        {"augmentations": {"motion_blur": 0.9}},  # with the other blurs more than 1
    ],
)
def test_a_head_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match="finetune"):
        small(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch": 0},
        {"patience": 0},
        {"learning_rate": 0},
        {"weight_decay": -1},
        {"learning_rate": 1e-4, "least_learning_rate": 1e-3},
    ],
)
def test_a_training_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match="finetune: a network cannot be trained so"):
        small(**wrong)


def test_tiles_that_a_network_cannot_take_are_refused():
    with pytest.raises(ConfigError, match="one size only") as refused:
        small(backbone="swin_tiny", tile_px=112).fit(TILES, Y, GROUPS)
    assert "tile_px = 224" in refused.value.fix


def test_cutmix_leaves_the_labels_alone():
    torch.manual_seed(0)
    tiles, y = torch.rand(4, 3, 32, 32), torch.rand(4, 2)
    seen, label = small(augmentations={"cutmix": 1})._change()({"tiles": tiles}, y, np.random.default_rng(0))
    assert torch.equal(label, y)
    assert (seen["tiles"] != tiles).any()


def test_the_inner_fold_is_never_augmented(monkeypatch):
    sizes = []
    head = small(epochs=1)
    change = head._change()
    monkeypatch.setattr(head, "_change", lambda: lambda given, y, rng: (sizes.append(len(y)), change(given, y, rng))[1])
    head.fit(TILES, Y, GROUPS)
    assert sum(sizes) == 32  # two of the three groups, once


def test_an_unknown_network_is_refused():
    with pytest.raises(ConfigError, match="no_such_net"):
        small(backbone="no_such_net").fit(TILES, Y, GROUPS)


@pytest.fixture(scope="module")
def fitted():
    return small(epochs=1).fit(TILES, Y, GROUPS)


def changed_state(head, **differs):
    """State of a fitted head, as a received model may hold it."""
    values = json.loads(head.state()["backbone"].tobytes()) | differs
    return head.state() | {"backbone": np.frombuffer(json.dumps(values).encode(), np.uint8)}


@pytest.mark.parametrize(
    ("differs", "problem"),
    [
        ({"model": "hf-hub:someone/anything"}, "must be a name that timm lists"),
        ({"model": "local-dir:/tmp/x"}, "must be a name that timm lists"),
        ({"args": {"checkpoint_path": "/tmp/x.pth"}}, "may not hold 'checkpoint_path'"),
        ({"args": {"pretrained_cfg_overlay": {"file": "/tmp/x.pth"}}}, "may not hold"),
        ({"args": {"act_layer": "Module"}}, "no layer 'Module'"),
        ({"args": "x"}, "does not describe its network"),
        ({"mean": "grey"}, "does not describe its network"),
        ({"mean": [0.5]}, "three numbers"),
    ],
)
def test_a_received_model_names_a_network_and_never_a_place(fitted, differs, problem):
    with pytest.raises(ConfigError, match=problem):
        FinetuneHead(**fitted.params()).with_state(changed_state(fitted, **differs))


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b"\xff", b"[" * 100_000])
def test_a_received_model_without_a_network_is_refused(fitted, text):
    with pytest.raises(ConfigError, match="does not describe its network"):
        FinetuneHead(**fitted.params()).with_state(fitted.state() | {"backbone": np.frombuffer(text, np.uint8)})


@pytest.mark.parametrize(
    ("model", "args"),
    [
        ("test_efficientnet", {}),
        ("vit_base_patch16_224", {"embed_dim": 8192, "depth": 128, "num_heads": 128, "img_size": 4096}),
    ],
)
def test_a_received_network_that_is_not_that_of_its_weights_is_refused(fitted, model, args):
    head = FinetuneHead(**fitted.params()).with_state(changed_state(fitted, model=model, args=args))
    with pytest.raises(WeightsError, match="do not fit the network"):
        head.predict(TILES)


@pytest.mark.parametrize("name", ["hf-hub:a/b", "local-dir:/tmp", "a/b", "test_resnet.no_such_tag"])
def test_a_backbone_is_a_name_of_timm(name):
    with pytest.raises(ConfigError, match="head finetune"):
        small(backbone=name).fit(TILES, Y, GROUPS)


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No weights in any cache, and a hub that cannot be reached."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("histoscribe.encoders.weights._in_hub_cache", lambda card: None)
    monkeypatch.setattr("histoscribe.encoders.weights._unknown_host", lambda page: True)


@pytest.mark.parametrize("name", ["convnext_tiny", "swin_tiny", "efficientnet_v2_m", "test_resnet", "resnet18.a1_in1k"])
def test_a_name_without_its_weights_is_refused_and_says_how_to_give_them(offline, name):
    with pytest.raises(WeightsError, match="hub cannot be reached") as refused:
        started(backbone=name).fit(TILES, Y, GROUPS)
    assert "pretrained = false" in refused.value.fix
    assert "weights" in refused.value.fix


def test_a_network_of_which_only_pickles_are_published_is_refused(offline):
    with pytest.raises(WeightsError, match="pickles are never read"):
        find_backbone("coatnet_0_224")


@pytest.mark.parametrize(
    ("name", "model", "hub"),
    [
        ("convnext_tiny", "convnext_tiny", "timm/convnext_tiny.in12k_ft_in1k"),  # an encoder, as its card has it
        ("swin_tiny", "swin_tiny_patch4_window7_224", "timm/swin_tiny_patch4_window7_224.ms_in1k"),
        ("efficientnet_v2_m", "tf_efficientnetv2_m", "timm/tf_efficientnetv2_m.in21k_ft_in1k"),
        ("resnet18.a1_in1k", "resnet18.a1_in1k", "timm/resnet18.a1_in1k"),  # timm's own
    ],
)
def test_a_name_means_a_network_and_the_place_of_its_weights(monkeypatch, weights, name, model, hub):
    asked = []
    monkeypatch.setattr(module, "find_weights", lambda card: (asked.append(card), (weights, "0" * 64))[1])
    start = find_backbone(name)
    assert (start.backbone.model, start.backbone.trained) == (model, True)
    assert [card.hub for card in asked] == [hub]
    assert hub in start.words


def test_weights_come_through_the_hubs_cache(monkeypatch, weights):
    """The path that fetches is the encoders' own; here the hub has given the file already."""
    monkeypatch.setattr("histoscribe.encoders.weights._in_hub_cache", lambda card: weights)
    head = started(learning_rate=1e-9, augment=0.0).fit(TILES, Y, GROUPS)
    assert_starts_from(weights, head)
    assert "timm/test_resnet.r160_in1k" in head.record()["started from"]


def test_a_file_of_weights_is_started_from(weights):
    head = started(weights=str(weights), learning_rate=1e-9, augment=0.0).fit(TILES, Y, GROUPS)
    assert_starts_from(weights, head)
    assert "sha256" in head.record()["started from"]


def test_a_pickle_of_weights_is_refused(tmp_path):
    torch.save({"a": torch.zeros(2)}, tmp_path / "net.pth")
    with pytest.raises(WeightsError, match="pickle"):
        started(weights=str(tmp_path / "net.pth")).fit(TILES, Y, GROUPS)


def test_a_missing_file_of_weights_is_named():
    with pytest.raises(WeightsError, match="not there"):
        started(weights="nowhere.safetensors").fit(TILES, Y, GROUPS)


def test_random_weights_are_said_to_be_random_and_the_device_is_named(fitted):
    assert fitted.record() == {"device": "cpu", "started from": "random weights, because pretrained = false was given"}


def test_the_published_settings_are_one_option_and_what_is_given_beside_them_wins():
    params = make_head("finetune", {"preset": "published", "epochs": 3}).params()
    assert (params["backbone"], params["tile_px"], params["batch"]) == ("efficientnet_v2_m", 224, 64)
    assert (params["learning_rate"], params["least_learning_rate"], params["weight_decay"]) == (1e-5, 1e-7, 1e-3)
    assert params["epochs"] == 3
    assert make_head("multiscale_pixels", {"preset": "published"}).params()["least_learning_rate"] == 1e-6


@pytest.mark.parametrize("head", ["finetune", "ridge"])
def test_an_unknown_preset_is_refused(head):
    with pytest.raises(ConfigError, match="no preset 'publishd'"):
        make_head(head, {"preset": "publishd"})


@pytest.mark.parametrize("name", ["finetune", "multiscale", "multiscale_pixels"])
def test_every_option_of_training_is_heeded(name):
    given = {"epochs": 7, "learning_rate": 1e-2, "least_learning_rate": 1e-5, "weight_decay": 0.3}
    course = course_of(make_head(name, given | {"batch": 9, "patience": 4}, seed=5), device="cpu")
    assert course == Course(7, 1e-2, 0.3, batch=9, patience=4, seed=5, least_learning_rate=1e-5)
