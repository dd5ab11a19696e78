"""Weights from elsewhere: each file gives an error that names it, or a right reading; never memory, never a hang."""

import json
import random
import struct

import numpy as np
import pytest

from histoscribe.encoders import build_encoder, cards, load_card
from histoscribe.encoders.architecture import make_network
from histoscribe.encoders.weights import count_weights, read_weights
from histoscribe.errors import ConfigError, HistoscribeError, WeightsError

CLASSES = "[model_args]\nnum_classes = 5\n"
TENSORS = '[model_args]\ninput = "pixels"\npooled = "pooled"\ngrid = "grid"\n'


def built(path):
    return build_encoder(load_card(path), device="cpu", precision="float32")


def safetensors(header, data=b"\0" * 64):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def mutated(good, seed):
    rng, content = random.Random(seed), bytearray(good)
    n_header = 8 + struct.unpack("<Q", good[:8])[0]
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(min(n_header, len(content))) if rng.random() < 0.8 else rng.randrange(len(content))
        kind = rng.choice(["set", "digit", "insert", "delete", "cut"])
        if kind == "set":
            content[at] = rng.randrange(256)
        elif kind == "digit":
            content[at] = rng.choice(b'0123456789[]{},":BFIU')
        elif kind == "insert":
            content[at:at] = bytes([rng.choice(b'0123456789[]{},":aF')])
        elif kind == "delete":
            del content[at]
        elif rng.random() < 0.3:
            del content[max(9, at) :]
    return bytes(content)


def test_300_mutated_headers_give_an_error_or_a_right_reading(tmp_path):
    from safetensors.numpy import save

    arrays = {"a": np.arange(12, dtype=np.float32).reshape(3, 4), "b": np.arange(6), "c": np.ones((2, 2), np.float16)}
    good, path = save(arrays), tmp_path / "w.safetensors"
    sizes = []
    for seed in range(300):
        path.write_bytes(mutated(good, seed))
        try:
            n_numbers, state = count_weights(path), read_weights(path)
        except WeightsError:
            continue
        assert n_numbers == sum(values.numel() for values in state.values())
        sizes.append(sum(values.nbytes for values in state.values()))
    assert max(sizes, default=0) <= len(good)


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 64]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 64]}},
        {"a": {"dtype": "F32", "shape": [16], "data_offsets": [64, 128]}},
        {"a": {"dtype": "F32", "shape": [-16], "data_offsets": [0, 64]}},
        {"a": {"dtype": "O", "shape": [16], "data_offsets": [0, 64]}},
        b'{"a":' + b"[" * 100_000,
        {},
    ],
    ids=["absurd", "short", "beyond", "negative", "objects", "nested", "empty"],
)
def test_a_header_that_lies_is_refused(write_card, tmp_path, header):
    (tmp_path / "w.safetensors").write_bytes(safetensors(header))
    with pytest.raises(WeightsError, match=r"w\.safetensors"):
        built(write_card(CLASSES, model="test_efficientnet", file="w.safetensors"))


def test_a_file_without_weights_does_not_make_timm_fetch_its_own(write_card, tmp_path, monkeypatch):
    (tmp_path / "w.safetensors").write_bytes(safetensors({}, b""))
    monkeypatch.setattr("socket.socket", lambda *arguments, **options: pytest.fail("the network was used"))
    with pytest.raises(WeightsError, match="holds no weights"):
        built(write_card(model="resnet50", file="w.safetensors", dimension=2048))
    with pytest.raises(WeightsError, match="do not fit"):
        make_network("resnet50", {}, where="here", weights=dict)


def test_a_network_far_larger_than_its_weights_is_refused_before_it_takes_memory(write_card, vit_weights):
    extra = "[model_args]\nimg_size = 4096\npatch_size = 2\nembed_dim = 8192\ndepth = 128\nnum_heads = 128\n"
    with pytest.raises(WeightsError, match="another size altogether"):  # 23 TB
        built(write_card(extra, model="vit_base_patch16_224", file=vit_weights))


def test_weights_far_larger_than_their_network_are_refused_unread(write_card, tmp_path, monkeypatch):
    n_bytes = 2**31
    path = tmp_path / "w.safetensors"
    path.write_bytes(safetensors({"a": {"dtype": "F16", "shape": [n_bytes // 2], "data_offsets": [0, n_bytes]}}, b""))
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size + n_bytes)  # a hole, which takes no disk
    monkeypatch.setattr("safetensors.torch.load_file", lambda *_: pytest.fail("the weights were read"))
    monkeypatch.setattr("histoscribe.encoders.weights.sha256_file", lambda _: "0" * 64)
    with pytest.raises(WeightsError, match="another size altogether"):
        built(write_card(CLASSES, model="test_efficientnet", file="w.safetensors"))


@pytest.mark.parametrize(
    "arguments", [{"wings": 1}, {"act_layer": "Module"}, {"depth": 10**9}, {"checkpoint_path": "x"}]
)
def test_the_one_place_that_asks_timm_checks_again(arguments):
    with pytest.raises(ConfigError, match="here"):
        make_network("vit_base_patch16_224", arguments, where="here")


@pytest.mark.parametrize("model", ["", "hf-hub:a/b", "no_such_net", "resnet50.no_such_tag", "local-dir:/tmp"])
def test_only_what_timm_lists_is_made(model):
    with pytest.raises(ConfigError, match="here"):
        make_network(model, {}, where="here")


@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("resnet50", {"depth": 3}),
        ("vit_base_patch16_224", {"num_heads": 7}),
        ("vit_base_patch16_224", {"depths": [1, 2]}),
        ("convnext_tiny", {"dims": [8]}),
    ],
)
def test_arguments_that_a_network_does_not_take_are_one_error(model, arguments):
    with pytest.raises(ConfigError, match="timm does not take these"):
        make_network(model, arguments, where="here")


def onnx_file(path, nodes, tensors=(), shape=("n", 3, "h", "w"), opsets=()):
    from onnx import TensorProto, helper

    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, list(shape))],
        [helper.make_tensor_value_info("pooled", TensorProto.FLOAT, None)],
        list(tensors),
    )
    opsets = [helper.make_opsetid("", 17), *opsets]
    path.write_bytes(helper.make_model(graph, opset_imports=opsets, ir_version=10).SerializeToString())
    return path


def external(place, *, inside=False):
    """A tensor, or an attribute of a node in a branch, whose numbers lie in another file."""
    from onnx import TensorProto

    tensor = TensorProto(name="k", data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": place, "offset": "0", "length": "4"}.items():
        tensor.external_data.add(key=key, value=value)
    return tensor


def pooling(extra=()):
    from onnx import helper

    return [
        helper.make_node("GlobalAveragePool", ["pixels"], ["mean"]),
        *extra,
        helper.make_node("Flatten", ["mean"], ["pooled"]),
    ]


@pytest.fixture
def onnx_encoder(write_card, tmp_path):
    def load(nodes, *arguments, **options):
        onnx_file(tmp_path / "w.onnx", nodes, *arguments, **options)
        extra = '[model_args]\ninput = "pixels"\npooled = "pooled"\n'
        return built(write_card(extra, backend="onnx", file="w.onnx", dimension=3))

    return load


@pytest.mark.parametrize("place", ["beside.bin", "../secret.bin", "/etc/passwd", "*/_ORT_MEM_ADDR_/*"])
def test_weights_in_another_file_are_refused_wherever_it_lies(onnx_encoder, place, monkeypatch):
    monkeypatch.setattr("onnxruntime.InferenceSession", lambda *_, **__: pytest.fail("the file was opened"))
    with pytest.raises(WeightsError, match="keeps its weights in another file"):
        onnx_encoder(pooling(), [external(place)])


def test_weights_in_another_file_are_found_in_a_nodes_attribute_and_in_a_branch(onnx_encoder):
    from onnx import helper

    constant = helper.make_node("Constant", [], ["c"], value=external("../secret.bin"))
    branch = helper.make_graph([constant], "b", [], [helper.make_tensor_value_info("c", 1, None)])
    for node in (constant, helper.make_node("If", ["pixels"], ["d"], then_branch=branch, else_branch=branch)):
        with pytest.raises(WeightsError, match="keeps its weights in another file"):
            onnx_encoder(pooling([node]))


def test_operators_of_another_library_are_refused(onnx_encoder):
    from onnx import helper

    node = helper.make_node("Anything", ["mean"], ["x"], domain="evil.ops")
    with pytest.raises(WeightsError, match="operators that ONNX Runtime lacks"):
        onnx_encoder(pooling([node]), opsets=[helper.make_opsetid("evil.ops", 1)])


@pytest.mark.parametrize("dims", [[10**6, 10**6], [2**40, 2**40], [-4]])
def test_a_tensor_of_an_absurd_shape_is_refused(onnx_encoder, dims):
    from onnx import TensorProto, helper

    tensor = TensorProto(name="k", data_type=TensorProto.FLOAT, dims=dims, raw_data=b"\0" * 16)
    node = helper.make_node("ReduceSum", ["k"], ["unused"], keepdims=0)
    with pytest.raises(WeightsError, match=r"w\.onnx"):
        onnx_encoder(pooling([node]), [tensor])


@pytest.mark.parametrize("shape", [("n", 3, 10**6, 10**6), ("n", 1, "h", "w"), ("n", 3), ("n", 3, 32, 32)])
def test_a_network_that_takes_other_tiles_is_refused_when_it_is_loaded(onnx_encoder, shape):
    from onnx import helper

    with pytest.raises(WeightsError, match="other tiles than the card says"):
        onnx_encoder([helper.make_node("Flatten", ["pixels"], ["pooled"])], shape=shape)


def test_a_network_that_fails_on_its_tiles_is_one_error(onnx_encoder):
    from onnx import helper, numpy_helper

    shape = numpy_helper.from_array(np.array([7, 11], np.int64), "s")
    with pytest.raises(WeightsError, match="cannot be run on these tiles"):
        onnx_encoder([helper.make_node("Reshape", ["pixels", "s"], ["pooled"])], [shape])


def test_a_network_that_gives_other_rows_than_tiles_is_refused(onnx_encoder):
    from onnx import helper, numpy_helper

    shape = numpy_helper.from_array(np.array([-1, 3], np.int64), "s")
    with pytest.raises(WeightsError, match="one row per tile"):
        onnx_encoder([helper.make_node("Reshape", ["pixels", "s"], ["pooled"])], [shape])


def test_mutated_onnx_files_give_an_error_or_run(write_card, tmp_path, onnx_weights, tiles):
    good = onnx_weights.read_bytes()
    path = write_card(TENSORS, backend="onnx", file="w.onnx", dimension=6)
    messages = []
    for seed in range(150):
        rng, content = random.Random(seed), bytearray(good)
        for _ in range(rng.randint(1, 3)):
            content[rng.randrange(len(content))] = rng.randrange(256)
        (tmp_path / "w.onnx").write_bytes(content)
        try:
            built(path).encode(tiles[:1])
        except HistoscribeError as error:
            messages.append(str(error))
    assert all("mine" in text or "w.onnx" in text for text in messages)


def test_a_file_of_a_million_parts_is_refused_in_seconds(write_card, tmp_path):
    (tmp_path / "w.onnx").write_bytes(b"\x08\x01" * 2_000_000)
    with pytest.raises(WeightsError, match="more parts than any network has"):
        built(write_card(TENSORS, backend="onnx", file="w.onnx", dimension=6))


@pytest.mark.parametrize("card", [card for card in cards() if card.backend == "timm"], ids=lambda card: card.name)
def test_every_built_in_network_is_one_that_timm_lists_and_takes(card):
    arguments = {key: value for key, value in card.model_args.items() if key != "num_classes"}
    # numbers so many that the network is refused for their sake, once timm has drawn it
    with pytest.raises(WeightsError, match="another size altogether"):
        make_network(card.model, arguments, where=card.name, n_numbers=10**12)
