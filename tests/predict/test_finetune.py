"""A whole network is trained on tiles, from given weights or none, and never fetches any."""

import numpy as np
import pytest

from histoscribe.encoders import import_timm
from histoscribe.errors import ConfigError, WeightsError
from histoscribe.predict.heads.finetune import FinetuneHead

RNG = np.random.default_rng(0)
SHADE = RNG.integers(40, 215, 48)
TILES = np.clip(SHADE[:, None, None, None] + RNG.normal(0, 6, (48, 32, 32, 3)), 0, 255).astype(np.uint8)
Y = np.column_stack([SHADE, 255 - SHADE]) / 255.0
GROUPS = np.repeat(["a", "b", "c"], 16)


def small(**options):
    return FinetuneHead(**({"backbone": "test_resnet", "tile_px": 32, "epochs": 2} | options))


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    from safetensors.torch import save_file

    path = tmp_path_factory.mktemp("weights") / "test_resnet.safetensors"
    save_file(import_timm().create_model("test_resnet", pretrained=False).state_dict(), path)
    return str(path)


def test_it_starts_from_the_mean_of_the_targets():
    found = small(epochs=1, learning_rate=1e-7, augment=0.0).fit(TILES, Y, GROUPS).predict(TILES)
    np.testing.assert_allclose(found.mean(axis=0), Y.mean(axis=0), atol=0.12)


def test_it_learns_what_the_tiles_show():
    head = small(epochs=25, learning_rate=3e-3, augment=0.0).fit(TILES, Y, GROUPS)
    assert np.corrcoef(head.predict(TILES)[:, 0], Y[:, 0])[0, 1] > 0.7


def test_targets_beyond_0_and_1_come_back_on_their_own_scale():
    found = small().fit(TILES, 10 * Y - 3, GROUPS).predict(TILES)
    assert -3 <= found.min() <= found.max() <= 7


def test_given_weights_are_started_from(weights):
    head = small(weights=weights, epochs=1, learning_rate=1e-9, augment=0.0).fit(TILES, Y, GROUPS)
    from safetensors.numpy import load_file

    given = load_file(weights)
    key = next(name for name in given if name.endswith("conv1.weight"))
    np.testing.assert_allclose(head.weights_[f"backbone.{key}"], given[key], atol=1e-5)


def test_weights_of_another_network_are_refused(weights):
    with pytest.raises(WeightsError, match="not in this file"):
        small(backbone="test_efficientnet", weights=weights).fit(TILES, Y, GROUPS)


def test_weights_that_are_not_there_are_named(tmp_path):
    with pytest.raises(WeightsError, match=r"nowhere\.safetensors"):
        small(weights=str(tmp_path / "nowhere.safetensors")).fit(TILES, Y, GROUPS)


def test_an_unknown_network_is_refused():
    with pytest.raises(ConfigError, match="no_such_net"):
        small(backbone="no_such_net").fit(TILES, Y, GROUPS)
