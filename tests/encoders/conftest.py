"""Small networks, made by the tests themselves, and pictures to encode."""

from pathlib import Path

import numpy as np
import pytest

from histoscribe.slide.image import ArraySource, SlideImage

SIDE = 64


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """What is measured or fetched in a test stays in that test; nothing reaches a hub."""
    import huggingface_hub.constants as constants

    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("HISTOSCRIBE_CACHE", str(folder))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    return folder


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory) -> Path:
    """Random weights of a small convolutional network with a classifier of five classes, as safetensors."""
    import torch
    from safetensors.torch import save_file

    from histoscribe.encoders import import_timm

    torch.manual_seed(0)
    network = import_timm().create_model("test_efficientnet", num_classes=5)
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_file({key: value for key, value in network.state_dict().items() if "num_batches" not in key}, path)
    return path


@pytest.fixture(scope="session")
def vit_weights(tmp_path_factory) -> Path:
    """Random weights of a small transformer without a classifier, as safetensors."""
    import torch
    from safetensors.torch import save_file

    from histoscribe.encoders import import_timm

    torch.manual_seed(0)
    network = import_timm().create_model("test_vit", num_classes=0, img_size=SIDE)
    path = tmp_path_factory.mktemp("weights") / "vit.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def onnx_weights(tmp_path_factory) -> Path:
    """One convolution (4 x 4, stride 4, 6 channels) and its mean, as ONNX."""
    from onnx import TensorProto, helper, numpy_helper, save

    kernel = np.random.default_rng(0).standard_normal((6, 3, 4, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["pixels", "kernel"], ["grid"], strides=[4, 4]),
        helper.make_node("GlobalAveragePool", ["grid"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["pooled"]),
    ]
    tensors = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("pixels", ["n", 3, "h", "w"]), ("pooled", ["n", 6]), ("grid", ["n", 6, "gh", "gw"]))
    ]
    graph = helper.make_graph(nodes, "tiny", tensors[:1], tensors[1:], [numpy_helper.from_array(kernel, "kernel")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    path = tmp_path_factory.mktemp("weights") / "tiny.onnx"
    save(model, path)
    return path


@pytest.fixture
def write_card(tmp_path):
    """Write a card's TOML beside the weights that it names, and return its path."""

    def write(extra: str = "", **facts) -> Path:
        base = {
            "name": "mine",
            "backend": "timm",
            "licence": "MIT",
            "source": "a test",
            "input_px": SIDE,
            "dimension": 256,
        }
        lines = []
        for key, value in (base | facts).items():
            if value is not None:
                text = f'"{value}"' if isinstance(value, str | Path) else str(value).lower()
                lines.append(f"{key} = {text}")
        path = tmp_path / "mine.toml"
        path.write_text("\n".join(lines) + "\n" + extra)
        return path

    return write


@pytest.fixture
def tiles():
    return np.random.default_rng(1).integers(0, 256, (11, SIDE, SIDE, 3), dtype=np.uint8)


@pytest.fixture
def slide() -> SlideImage:
    """Smooth coloured noise, 600 x 500 pixels of one micron."""
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(2).standard_normal((500, 600, 3)), (2, 2, 0))
    return SlideImage(ArraySource([np.clip(140 + 400 * noise, 0, 255).astype(np.uint8)]), mpp=1.0)
