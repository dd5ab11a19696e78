"""timm and ONNX networks: what they give, and how a file or a card that does not fit is refused."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from histoscribe.encoders import Choice, build_encoder, load_card
from histoscribe.errors import ConfigError, WeightsError
from histoscribe.store.files import sha256_file

CLASSES = "[model_args]\nnum_classes = 5\n"
TENSORS = '[model_args]\ninput = "pixels"\npooled = "pooled"\ngrid = "grid"\n'


@pytest.fixture
def tiny_card(write_card, tiny_weights):
    return load_card(write_card(CLASSES, model="test_efficientnet", file=tiny_weights))


@pytest.fixture
def vit_card(write_card, vit_weights):
    path = write_card("[model_args]\nimg_size = 64\n", model="test_vit", file=vit_weights, dimension=64)
    return load_card(path)


@pytest.fixture
def onnx_card(write_card, onnx_weights):
    return load_card(write_card(TENSORS, backend="onnx", file=onnx_weights, dimension=6))


def plain_timm(card, weights, tiles, **arguments):
    """Features the way timm's own page says: eval, normalised tensor, no classifier."""
    import torch
    from safetensors.torch import load_file

    from histoscribe.encoders import import_timm

    network = import_timm().create_model(card.model, **arguments)
    network.load_state_dict(load_file(weights), strict=True)
    network.reset_classifier(0)
    x = (tiles / 255 - np.array(card.mean)) / np.array(card.std)
    with torch.inference_mode():
        x = torch.tensor(x, dtype=torch.float32).permute(0, 3, 1, 2)
        network.eval()
        return network(x).numpy(), network.forward_features(x).numpy()


def test_timm_features_are_the_networks_own(tiny_card, tiny_weights, tiles):
    pooled, maps = plain_timm(tiny_card, tiny_weights, tiles, num_classes=5)
    encoder = build_encoder(tiny_card, device="cpu", precision="float32")
    np.testing.assert_allclose(encoder.encode(tiles), pooled, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_grid(tiles), np.moveaxis(maps, 1, 3), atol=1e-5)


def test_a_transformers_tokens_are_pooled_as_the_card_says(vit_card, vit_weights, tiles):
    _, tokens = plain_timm(vit_card, vit_weights, tiles, num_classes=0, img_size=64)  # (n, 1 + 16, 64)
    expected = {"cls": tokens[:, 0], "avg": tokens[:, 1:].mean(axis=1)}
    expected["cls+avg"] = np.concatenate([expected["cls"], expected["avg"]], axis=1)
    for pooling, features in expected.items():
        card = replace(vit_card, pooling=pooling, dimension=features.shape[1])
        encoder = build_encoder(card, device="cpu", precision="float32")
        np.testing.assert_allclose(encoder.encode(tiles), features, atol=1e-5)


def test_a_transformers_grid_leaves_out_its_class_token(vit_card, vit_weights, tiles):
    _, tokens = plain_timm(vit_card, vit_weights, tiles, num_classes=0, img_size=64)
    grid = build_encoder(vit_card, device="cpu", precision="float32").encode_grid(tiles)
    np.testing.assert_allclose(grid, tokens[:, 1:].reshape(len(tiles), 4, 4, 64), atol=1e-5)


def test_bfloat16_points_where_float32_does(tiny_card, tiles):
    encoder = build_encoder(tiny_card, device="cpu", precision="float32")
    exact, coarse = encoder.encode(tiles), encoder.with_choice(Choice("bfloat16", True, 4)).encode(tiles)
    cosine = (exact * coarse).sum(1) / np.linalg.norm(exact, axis=1) / np.linalg.norm(coarse, axis=1)
    assert cosine.min() > 0.99
    assert np.abs(exact - coarse).max() > 0


def test_the_hash_of_the_weights_is_recorded(tiny_card, tiny_weights):
    assert build_encoder(tiny_card, device="cpu").card.sha256 == sha256_file(tiny_weights)


def test_the_number_of_threads_is_given_back(tiny_card, tiles):
    import torch

    before = torch.get_num_threads()
    build_encoder(tiny_card, device="cpu", precision="float32").encode(tiles)
    assert torch.get_num_threads() == before


def test_onnx_features_are_the_files_own(onnx_card, onnx_weights, tiles):
    import onnxruntime

    x = np.moveaxis((tiles / 255 - np.array(onnx_card.mean)) / np.array(onnx_card.std), 3, 1).astype(np.float32)
    pooled, grid = onnxruntime.InferenceSession(onnx_weights).run(["pooled", "grid"], {"pixels": x})
    encoder = build_encoder(onnx_card)
    np.testing.assert_allclose(encoder.encode(tiles), pooled, atol=1e-5)
    np.testing.assert_allclose(encoder.encode_grid(tiles), np.moveaxis(grid, 1, 3), atol=1e-5)


def test_an_onnx_file_without_a_grid_says_so(write_card, onnx_weights, tiles):
    extra = '[model_args]\ninput = "pixels"\npooled = "pooled"\n'
    encoder = build_encoder(load_card(write_card(extra, backend="onnx", file=onnx_weights, dimension=6)))
    with pytest.raises(ConfigError, match="no grid"):
        encoder.encode_grid(tiles)


def test_morphology_has_no_grid(tiles):
    with pytest.raises(ConfigError, match="no grid"):
        build_encoder(load_card("morphology")).encode_grid(tiles)


def refused(error, match, path, **options):
    with pytest.raises(error, match=match):
        build_encoder(load_card(path), **{"device": "cpu", "precision": "float32"} | options)


def test_a_pickle_is_never_read(write_card, tmp_path):
    (tmp_path / "w.bin").write_bytes(pickle.dumps({"a": 1}, protocol=2))
    refused(WeightsError, "is a pickle", write_card(model="test_efficientnet", file="w.bin"))


def test_what_torch_saves_is_never_read(write_card, tmp_path):
    import torch

    torch.save({"a": torch.zeros(2)}, tmp_path / "w.pt")
    refused(WeightsError, "is a pickle", write_card(model="test_efficientnet", file="w.pt"))


@pytest.mark.parametrize("size", [0, 5, 4000])
def test_a_truncated_safetensors_file_is_refused(write_card, tmp_path, tiny_weights, size):
    (tmp_path / "w.safetensors").write_bytes(tiny_weights.read_bytes()[:size])
    refused(WeightsError, "damaged or not safetensors", write_card(model="test_efficientnet", file="w.safetensors"))


def test_weights_of_another_architecture_are_refused(write_card, tiny_weights):
    refused(WeightsError, "do not fit the network", write_card(CLASSES, model="test_resnet", file=tiny_weights))


def test_another_number_of_classes_than_the_files_is_refused(write_card, tiny_weights):
    refused(WeightsError, "num_classes there is", write_card(model="test_efficientnet", file=tiny_weights))


def test_a_missing_weight_is_not_left_random(write_card, tmp_path, tiny_weights):
    from safetensors.torch import load_file, save_file

    state = load_file(tiny_weights)
    del state["conv_stem.weight"]
    save_file(state, tmp_path / "w.safetensors")
    refused(WeightsError, r"conv_stem\.weight", write_card(CLASSES, model="test_efficientnet", file="w.safetensors"))


def test_an_unknown_model_is_answered_with_the_nearest(write_card, tiny_weights):
    refused(ConfigError, "did you mean test_efficientnet", write_card(model="test_eficientnet", file=tiny_weights))


def test_an_unknown_argument_is_refused(write_card, tiny_weights):
    extra = "[model_args]\nnum_classes = 5\nwings = 2\n"
    refused(ConfigError, "wings", write_card(extra, model="test_efficientnet", file=tiny_weights))


def test_an_unknown_layer_is_refused(write_card, tiny_weights):
    extra = '[model_args]\nact_layer = "Sulu"\n'
    refused(ConfigError, "no layer 'Sulu'", write_card(extra, model="test_efficientnet", file=tiny_weights))


def test_token_pooling_of_a_network_without_tokens_is_refused(write_card, tiny_weights):
    path = write_card(CLASSES, model="test_efficientnet", file=tiny_weights, pooling="cls")
    refused(ConfigError, "needs a transformer", path)


def test_a_wrong_dimension_is_refused(write_card, tiny_weights):
    path = write_card(CLASSES, model="test_efficientnet", file=tiny_weights, dimension=7)
    refused(WeightsError, "not what its card says", path)


def test_weights_that_are_not_finite_are_refused(write_card, tmp_path, tiny_weights):
    from safetensors.torch import load_file, save_file

    state = load_file(tiny_weights)
    state["conv_stem.weight"][0, 0, 0, 0] = float("nan")
    save_file(state, tmp_path / "w.safetensors")
    refused(WeightsError, "not finite", write_card(CLASSES, model="test_efficientnet", file="w.safetensors"))


def test_what_is_not_onnx_is_refused(write_card, tmp_path):
    (tmp_path / "w.onnx").write_bytes(b"not a network at all")
    refused(WeightsError, "not ONNX", write_card(TENSORS, backend="onnx", file="w.onnx", dimension=6))


def test_a_truncated_onnx_file_is_refused(write_card, tmp_path, onnx_weights):
    (tmp_path / "w.onnx").write_bytes(onnx_weights.read_bytes()[:-100])
    refused(WeightsError, "not ONNX", write_card(TENSORS, backend="onnx", file="w.onnx", dimension=6))


def test_a_tensor_that_is_not_in_the_file_is_named(write_card, onnx_weights):
    extra = TENSORS.replace('"pooled"\n', '"pool"\n', 1)
    refused(WeightsError, "no tensor 'pool'", write_card(extra, backend="onnx", file=onnx_weights, dimension=6))


def test_unknown_and_missing_tensor_roles_are_named(write_card, onnx_weights):
    extra = '[model_args]\ninputs = "pixels"\n'
    path = write_card(extra, backend="onnx", file=onnx_weights, dimension=6)
    refused(ConfigError, "did you mean input", path)


def test_onnx_and_morphology_refuse_a_device_that_they_cannot_use(write_card, onnx_weights):
    refused(ConfigError, "no device 'cuda'", write_card(TENSORS, backend="onnx", file=onnx_weights), device="cuda")
    with pytest.raises(ConfigError, match="processor"):
        build_encoder(load_card("morphology"), device="cuda")


def test_unknown_options_are_refused_together(tiny_card):
    with pytest.raises(ConfigError, match=r"`precision` must be one of .*; `device` must be one of"):
        build_encoder(tiny_card, device="tpu", precision="float8")


def test_an_unknown_backend_is_named(write_card):
    refused(ConfigError, "no encoder backend called 'keras'", write_card(backend="keras"))


def test_a_device_that_is_not_here_is_refused(tiny_card):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a graphics card here")
    with pytest.raises(ConfigError, match="no device 'cuda'"):
        build_encoder(tiny_card, device="cuda")


def test_real_weights_see_what_they_should(weights_dir):
    """MobileNetV2's features of a checkerboard and of its inverse are nearer to each other than to plain grey."""
    card = load_card(Path(__file__).parents[2] / "benchmarks" / "cards" / "mobilenetv2_100.toml")
    board = np.kron(np.indices((14, 14)).sum(0) % 2, np.ones((16, 16)))[..., None] * np.full(3, 255.0)
    tiles = np.stack([board, 255 - board, np.full_like(board, 128)]).astype(np.uint8)
    a, b, grey = build_encoder(card, device="cpu", precision="float32").encode(tiles)
    assert np.linalg.norm(a - b) < 0.5 * np.linalg.norm(a - grey)
