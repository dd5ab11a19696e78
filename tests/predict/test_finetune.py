"""A whole network is trained on tiles, from a card's weights or from none."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from histoscribe.encoders import import_timm
from histoscribe.errors import ConfigError, WeightsError
from histoscribe.predict.heads import finetune
from histoscribe.predict.heads.finetune import FinetuneHead

RNG = np.random.default_rng(0)
SHADE = RNG.integers(40, 215, 48)
TILES = np.clip(SHADE[:, None, None, None] + RNG.normal(0, 6, (48, 32, 32, 3)), 0, 255).astype(np.uint8)
Y = np.column_stack([SHADE, 255 - SHADE]) / 255.0
GROUPS = np.repeat(["a", "b", "c"], 16)


def small(**options):
    return FinetuneHead(**({"backbone": "test_resnet", "tile_px": 32, "epochs": 2} | options))


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
    head = small(backbone=card(), epochs=1, learning_rate=1e-9, augment=0.0).fit(TILES, Y, GROUPS)
    given = load_file(weights)
    key = next(name for name in given if name.endswith("conv1.weight"))
    np.testing.assert_allclose(head.weights_[f"backbone.{key}"], given[key], atol=1e-5)


def test_pixels_reach_a_cards_network_as_the_card_says(card):
    head = small(backbone=card(), epochs=1).fit(TILES, Y, GROUPS)
    assert head.network_.mean == (0.5, 0.4, 0.3)
    assert head.network_.std == (0.5, 0.25, 0.2)


def test_a_fitted_head_needs_its_card_no_more(card):
    path = card()
    head = small(backbone=path, epochs=1).fit(TILES, Y, GROUPS)
    before = head.predict(TILES)
    Path(path).unlink()
    again = FinetuneHead(**head.params()).with_state(head.state())
    assert again.predict(TILES).tobytes() == before.tobytes()


def test_weights_of_another_network_are_refused(card):
    with pytest.raises(WeightsError, match="not in this file"):
        small(backbone=card(model="test_efficientnet")).fit(TILES, Y, GROUPS)


def test_weights_that_the_card_does_not_name_are_refused(card):
    with pytest.raises(WeightsError, match="not the weights that the card names"):
        small(backbone=card(sha256="0" * 64)).fit(TILES, Y, GROUPS)


def test_a_card_of_another_backend_is_refused(card):
    with pytest.raises(ConfigError, match="only networks of timm"):
        small(backbone=card(backend="onnx")).fit(TILES, Y, GROUPS)


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"augment": 1.5}, {"tile_px": 4}])
def test_a_head_that_cannot_be_is_refused(wrong):
    with pytest.raises(ConfigError, match="finetune"):
        small(**wrong)


def test_cutmix_leaves_the_labels_alone(monkeypatch):
    monkeypatch.setattr(finetune, "_SHARE_MIXED", 1.0)
    torch.manual_seed(0)
    tiles, y = torch.rand(4, 3, 32, 32), torch.rand(4, 2)
    seen, label = small()._change()({"tiles": tiles}, y, np.random.default_rng(0))
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
