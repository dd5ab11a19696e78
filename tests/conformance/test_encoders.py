"""The checks that every registered encoder backend must pass."""

import numpy as np
import pytest

from histoscribe.encoders import BACKENDS, Encoder, availability, build_encoder, load_card
from histoscribe.errors import ConfigError, InputError

SIDE = 64


def morphology_card(folder):
    return load_card("morphology")


def timm_card(folder):
    import torch
    from safetensors.torch import save_file

    from histoscribe.encoders import import_timm

    torch.manual_seed(0)
    network = import_timm().create_model("test_resnet", num_classes=0)
    save_file(network.state_dict(), folder / "weights.safetensors")
    return written(folder, "timm", "weights.safetensors", network.num_features, 'model = "test_resnet"\n')


def onnx_card(folder):
    from onnx import TensorProto, helper, numpy_helper, save

    kernel = np.random.default_rng(0).standard_normal((6, 3, 4, 4)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["maps"], strides=[4, 4]),
        helper.make_node("ReduceMean", ["maps"], ["mean"], axes=[2, 3], keepdims=0),
    ]
    shapes = {"x": ["n", 3, "h", "w"], "mean": ["n", 6], "maps": ["n", 6, "gh", "gw"]}
    x, mean, maps = (helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items())
    graph = helper.make_graph(nodes, "small", [x], [mean, maps], [numpy_helper.from_array(kernel, "kernel")])
    save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10), folder / "weights.onnx")
    tensors = '[model_args]\ninput = "x"\npooled = "mean"\ngrid = "maps"\n'
    return written(folder, "onnx", "weights.onnx", 6, tensors)


def written(folder, backend, file, dimension, extra):
    facts = f'name = "small"\nbackend = "{backend}"\nlicence = "MIT"\nsource = "a test"\n'
    path = folder / "card.toml"
    path.write_text(f'{facts}file = "{file}"\ninput_px = {SIDE}\ndimension = {dimension}\n{extra}')
    return load_card(path)


CARDS = {"morphology": morphology_card, "timm": timm_card, "onnx": onnx_card}


@pytest.fixture(scope="module", params=BACKENDS.names())
def encoder(request, tmp_path_factory) -> Encoder:
    if request.param not in CARDS:
        pytest.skip(f"another package's backend {request.param}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HISTOSCRIBE_CACHE", str(tmp_path_factory.mktemp("cache")))
        return build_encoder(CARDS[request.param](tmp_path_factory.mktemp("card")), device="cpu", precision="float32")


@pytest.fixture
def tiles(encoder):
    side = encoder.card.input_px
    coarse = np.random.default_rng(0).integers(0, 256, (19, side // 4, side // 4, 3), dtype=np.uint8)
    return coarse.repeat(4, axis=1).repeat(4, axis=2)


def test_features_are_float32_one_finite_row_per_tile(encoder, tiles):
    features = encoder.encode(tiles)
    assert features.dtype == np.float32
    assert features.shape == (len(tiles), encoder.card.dimension)
    assert np.isfinite(features).all()


def test_the_same_tiles_give_the_same_bytes(encoder, tiles):
    assert encoder.encode(tiles).tobytes() == encoder.encode(tiles).tobytes()


def test_a_tiles_features_do_not_depend_on_its_company(encoder, tiles):
    features = encoder.encode(tiles)
    alone = np.concatenate([encoder.encode(tile[None]) for tile in tiles])
    np.testing.assert_allclose(features, alone, rtol=1e-5, atol=1e-5)


def test_batch_size_does_not_matter(encoder, tiles):
    from dataclasses import replace

    other = encoder.with_choice(replace(encoder.choice, batch_size=3))
    assert other.choice.batch_size == 3
    np.testing.assert_allclose(encoder.encode(tiles), other.encode(tiles), rtol=1e-5, atol=1e-5)


def test_the_number_of_workers_does_not_change_a_bit(encoder, tiles, monkeypatch):
    one = encoder.encode(tiles)
    for room in ("morphology", "timm_network", "onnx_network"):
        monkeypatch.setattr(f"histoscribe.encoders.{room}.cpu_count", lambda: 3)
    assert encoder.encode(tiles).tobytes() == one.tobytes()


def test_order_of_tiles_is_kept(encoder, tiles):
    np.testing.assert_allclose(encoder.encode(tiles[::-1]), encoder.encode(tiles)[::-1], rtol=1e-5, atol=1e-5)


def test_different_tiles_differ(encoder, tiles):
    features = encoder.encode(tiles)
    assert len(np.unique(features, axis=0)) == len(tiles)


def test_no_tiles_give_no_rows(encoder, tiles):
    assert encoder.encode(tiles[:0]).shape == (0, encoder.card.dimension)


@pytest.mark.parametrize("grey", [0, 255])
def test_blank_tiles_are_encoded(encoder, grey):
    side = encoder.card.input_px
    assert np.isfinite(encoder.encode(np.full((2, side, side, 3), grey, np.uint8))).all()


@pytest.mark.parametrize("bad", ["float", "small", "grey", "one", "list"])
def test_other_tiles_are_refused(encoder, tiles, bad):
    wrong = {
        "float": tiles.astype(np.float32),
        "small": tiles[:, :-1],
        "grey": tiles[..., 0],
        "one": tiles[0],
        "list": tiles.tolist(),
    }[bad]
    with pytest.raises(InputError, match="do not fit the encoder"):
        encoder.encode(wrong)


def test_the_tiles_are_left_as_they_were(encoder, tiles):
    before = tiles.copy()
    encoder.encode(tiles)
    np.testing.assert_array_equal(tiles, before)


def test_a_grid_has_rows_columns_and_features_or_is_refused(encoder, tiles):
    if encoder.card.backend == "morphology":
        with pytest.raises(ConfigError, match="grid"):
            encoder.encode_grid(tiles)
        return
    grid = encoder.encode_grid(tiles)
    assert grid.dtype == np.float32
    assert grid.ndim == 4
    assert len(grid) == len(tiles)
    assert encoder.encode_grid(tiles[:0]).shape == (0, *grid.shape[1:])


def test_a_grid_is_laid_out_like_the_tile(encoder, tiles):
    """What changes in the lower left corner of a tile changes the grid there most."""
    side = encoder.card.input_px
    changed = tiles[:1].copy()
    changed[0, -side // 4 :, : side // 4] = 255 - changed[0, -side // 4 :, : side // 4]
    if encoder.card.backend == "morphology":
        pytest.skip("measures whole tiles")
    before, after = encoder.encode_grid(tiles[:1]), encoder.encode_grid(changed)
    change = np.abs(before - after).sum(axis=(0, 3))
    row, column = np.unravel_index(change.argmax(), change.shape)
    assert row >= change.shape[0] / 2 - 0.5
    assert column <= change.shape[1] / 2 - 0.5


def test_its_card_says_that_it_is_available(encoder):
    assert availability(encoder.card).available
