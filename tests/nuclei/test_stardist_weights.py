"""A StarDist model is the official zip or one like it; anything else is refused by name."""

import contextlib
import io
import json
import random
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import h5py
import numpy as np
import pytest

from histoscribe.errors import WeightsError
from histoscribe.nuclei.stardist_layers import layer_names
from histoscribe.nuclei.stardist_weights import find_model, read_model
from histoscribe.store.files import sha256_file

TINY = Path(__file__).parent / "data" / "tiny_he.zip"


@pytest.fixture
def unpacked(tmp_path):
    with zipfile.ZipFile(TINY) as archive:
        archive.extractall(tmp_path)
    return tmp_path / "python_tiny_he"


def changed(folder, name, **values):
    path = folder / name
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


def test_the_zip_and_its_folder_hold_the_same_network(unpacked):
    packed, loose = read_model(TINY), read_model(unpacked)
    assert list(packed.layers) == list(loose.layers)
    assert all((a[0] == b[0]).all() for a, b in zip(packed.layers.values(), loose.layers.values(), strict=True))
    assert (packed.prob_threshold, packed.nms_threshold) == (0.5, 0.4)


def test_every_layer_that_the_network_uses_is_read():
    model = read_model(TINY)
    assert set(model.layers) == set(layer_names(model.config))


def test_the_names_of_the_first_convolutions_do_not_matter(unpacked):
    path = unpacked / "weights_best.h5"
    with h5py.File(path, "r+") as file:
        for old, new in (("conv2d", "conv2d_17"), ("conv2d_1", "conv2d_18")):
            file.move(old, new)
            file.move(f"{new}/{old}", f"{new}/{new}")
            file[new].attrs["weight_names"] = [f"{new}/kernel", f"{new}/bias"]
        names = [{"conv2d": "conv2d_17", "conv2d_1": "conv2d_18"}.get(name, name) for name in file.attrs["layer_names"]]
        file.attrs["layer_names"] = names
    assert (read_model(unpacked).layers["grid_0"][0] == read_model(TINY).layers["grid_0"][0]).all()


@pytest.mark.parametrize("name", ["config.json", "weights_best.h5", "thresholds.json"])
def test_a_missing_part_is_named(unpacked, name):
    (unpacked / name).unlink()
    with pytest.raises(WeightsError, match=name):
        read_model(unpacked)


@pytest.mark.parametrize(
    "other",
    [{"n_dim": 3}, {"backbone": "resnet"}, {"n_classes": 4}, {"unet_batch_norm": True}, {"n_channel_in": 1}],
    ids=lambda other: next(iter(other)),
)
def test_another_architecture_is_refused(unpacked, other):
    with pytest.raises(WeightsError, match="another architecture") as caught:
        read_model(changed(unpacked, "config.json", **other))
    assert next(iter(other)) in str(caught.value)


def test_weights_of_another_configuration_are_refused(unpacked):
    with pytest.raises(WeightsError, match="not those of this configuration"):
        read_model(changed(unpacked, "config.json", unet_n_depth=2))


@pytest.mark.parametrize("content", [b"", b"not a zip", TINY.read_bytes()[:5000]], ids=["empty", "text", "cut"])
def test_a_damaged_zip_is_refused(tmp_path, content):
    path = tmp_path / "model.zip"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="no readable zip"):
        read_model(path)


def test_damaged_weights_are_refused(unpacked):
    (unpacked / "weights_best.h5").write_bytes(b"nothing")
    with pytest.raises(WeightsError, match="cannot be read"):
        read_model(unpacked)


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_a_configuration_that_is_none_is_refused(unpacked, text):
    (unpacked / "config.json").write_text(text)
    with pytest.raises(WeightsError, match=r"config\.json"):
        read_model(unpacked)


def test_a_path_that_is_not_there_is_named(tmp_path):
    with pytest.raises(WeightsError, match="no such model"):
        find_model(tmp_path / "nowhere.zip")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def served(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(TINY.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/{TINY.name}"
    server.shutdown()
    server.server_close()


def test_a_model_is_fetched_once_and_checked_by_its_hash(served):
    first = find_model(url=served, sha256=sha256_file(TINY))
    assert sha256_file(first) == sha256_file(TINY)
    made = first.stat().st_mtime_ns
    assert find_model(url=served, sha256=sha256_file(TINY)).stat().st_mtime_ns == made


def test_another_file_than_the_expected_is_refused_and_not_kept(served):
    with pytest.raises(WeightsError, match="0000") as caught:
        find_model(url=served, sha256="0" * 64)
    assert "classical" in str(caught.value)
    with pytest.raises(WeightsError):
        find_model(url=served, sha256="0" * 64)


def test_a_zip_without_the_model_says_what_it_holds(tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("readme.txt", "hello")
    path = tmp_path / "other.zip"
    path.write_bytes(buffer.getvalue())
    with pytest.raises(WeightsError, match="readme"):
        read_model(path)


@pytest.mark.parametrize(
    "other",
    [
        *({"unet_n_depth": 10**9}, {"unet_n_depth": "3"}, {"unet_n_depth": None}, {"unet_n_conv_per_depth": -1}),
        *({"grid": [3, 3]}, {"grid": [2**40, 2]}, {"grid": 2}, {"grid": [2]}, {"n_rays": 10**9}, {"n_rays": [32]}),
        {"net_conv_after_unet": "x"},
    ],
    ids=str,
)
def test_a_configuration_that_is_no_network_is_refused(unpacked, other):
    with pytest.raises(WeightsError, match="another architecture") as caught:
        read_model(changed(unpacked, "config.json", **other))
    assert next(iter(other)) in str(caught.value)


@pytest.mark.parametrize("value", ["x", None, [1], 7, float("nan")])
def test_a_threshold_that_is_none_is_refused(unpacked, value):
    with pytest.raises(WeightsError, match="threshold"):
        read_model(changed(unpacked, "thresholds.json", prob=value))


def replaced(folder, place):
    """Take the array at `place` of the layer "prob" away, for another one to come there."""
    file = h5py.File(folder / "weights_best.h5", "r+")
    layer = file["prob"]
    name = next(name for name in layer.attrs["weight_names"] if place in str(name))
    name = name.decode() if isinstance(name, bytes) else name
    old = layer[name][...]
    del layer[name]
    return file, layer, name, old


def test_links_to_other_files_are_not_followed(unpacked):
    with h5py.File(unpacked / "secret.h5", "w") as secret:
        secret["x"] = [1.0]
    file, layer, name, _ = replaced(unpacked, "bias")
    with file:
        layer[name] = h5py.ExternalLink(str(unpacked / "secret.h5"), "x")
    with pytest.raises(WeightsError, match="not in this file"):
        read_model(unpacked)


def test_arrays_that_lie_in_other_files_are_not_read(unpacked):
    (unpacked / "secret.bin").write_bytes(b"\0" * 4)
    file, layer, name, _ = replaced(unpacked, "bias")
    with file:
        layer.create_dataset(name, shape=(1,), dtype="f4", external=[(str(unpacked / "secret.bin"), 0, 4)])
    with pytest.raises(WeightsError, match="no array of this file"):
        read_model(unpacked)


@pytest.mark.parametrize("shape", [(10**5, 10**5, 10, 10), (1,), (1, 1, 1, 7)])
def test_a_kernel_of_another_shape_is_refused_unread(unpacked, shape):
    file, layer, name, _ = replaced(unpacked, "kernel")
    with file:
        layer.create_dataset(name, shape=shape, dtype="f4", chunks=tuple(min(side, 10) for side in shape))
    with pytest.raises(WeightsError):
        read_model(unpacked)


def test_kernels_that_do_not_follow_each_other_make_no_network(unpacked):
    from histoscribe.nuclei.stardist_network import StarDistNetwork

    file, layer, name, old = replaced(unpacked, "kernel")
    with file:
        layer[name] = old[:, :, :-1]
    with pytest.raises(WeightsError, match="do not make a network"):
        StarDistNetwork(read_model(unpacked)).predict(np.zeros((64, 64, 3), np.float32))


def test_a_zip_that_unpacks_to_more_than_any_model_is_refused(tmp_path):
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("m/config.json", b" " * 50_000_000)
    with pytest.raises(WeightsError, match=r"config\.json in it is too large"):
        read_model(path)


def test_mutated_zips_give_an_error_or_a_model(tmp_path):
    good, path = TINY.read_bytes(), tmp_path / "m.zip"
    for seed in range(60):
        rng, content = random.Random(seed), bytearray(good)
        for _ in range(rng.randint(1, 3)):
            content[rng.choice([rng.randrange(len(content)), -1 - rng.randrange(400)])] = rng.randrange(256)
        path.write_bytes(content)
        with contextlib.suppress(WeightsError):
            read_model(path)


def test_mutated_weights_give_an_error_or_a_model(unpacked):
    path = unpacked / "weights_best.h5"
    good = path.read_bytes()
    for seed in range(60):
        rng, content = random.Random(seed), bytearray(good)
        for _ in range(rng.randint(1, 6)):
            content[rng.randrange(min(len(content), 20_000))] = rng.randrange(256)
        path.write_bytes(content)
        with contextlib.suppress(WeightsError):
            read_model(unpacked)
