"""The published StarDist model as its authors give it out: a zip of Keras weights, configuration and thresholds.

Keras is not needed: the weights are plain HDF5 arrays, read here into the order in which the network uses them. No
Lambda layer, no pickle, no code is ever read from the file.
"""

import io
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import WeightsError
from histoscribe.store.cache import cache_folder
from histoscribe.store.files import sha256_file

# the model "2D_versatile_he" of Schmidt et al. 2018 and Weigert et al. 2020, trained on MoNuSeg and TNBC at 20x
URL = "https://github.com/stardist/stardist-models/releases/download/v0.1/python_2D_versatile_he.zip"
SHA256 = "f1696ef0631bd7e1c0e5c0d3017e2b4c6a95e284c6aab9c22fc2f08317817b28"

_FILES = ("config.json", "weights_best.h5", "thresholds.json")
# what this network is built for; a model that says otherwise is refused, not guessed at
_EXPECTED = {
    "n_dim": 2,
    "backbone": "unet",
    "n_classes": None,
    "unet_batch_norm": False,
    "unet_activation": "relu",
    "unet_last_activation": "relu",
    "unet_expansion": 2,
    "unet_pool": [2, 2],
    "unet_prefix": "",
}

Convolution = tuple[NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True, eq=False)
class StarDistWeights:
    """One StarDist model.

    Parameters
    ----------
    config
        Its configuration, as its authors wrote it.
    layers
        Layer name to kernel (height, width, in, out) and bias (out,); the convolutions before the U-Net are called
        "grid_0", "grid_1", ...
    prob_threshold, nms_threshold
        The thresholds that its authors optimised.
    sha256
        Of the zip, or of the weights' file where a folder was given.
    """

    config: dict[str, Any]
    layers: dict[str, Convolution]
    prob_threshold: float
    nms_threshold: float
    sha256: str
    source: str = field(default="")


def find_model(path: Path | None = None, *, url: str = URL, sha256: str = SHA256) -> Path:
    """Return the path of the model: the given one, or the official zip, fetched once into the cache.

    Raises
    ------
    WeightsError
        Where there is no such path, or the zip cannot be fetched or is another file than its sha256 says.
    """
    if path is not None:
        if not path.exists():
            raise WeightsError(
                "there is no such model",
                where=path,
                expected="the StarDist zip, or the folder with " + ", ".join(_FILES),
                mend="correct the path",
            )
        return path
    import pooch

    target = cache_folder() / "weights" / f"{sha256[:16]}-{url.rpartition('/')[2]}"
    try:
        pooch.retrieve(url, f"sha256:{sha256}", path=target.parent, fname=target.name, progressbar=False)
    except (OSError, ValueError) as error:  # no connection, no such page, or another hash
        raise WeightsError(
            "the StarDist weights cannot be fetched",
            where="segmenter stardist",
            expected=f"{url} with sha256 {sha256}",
            found=error,
            mend="get the zip where there is a network and give its path with --model; or choose the segmenter "
            "`classical`, which needs no weights",
        ) from error
    return target


def read_model(path: Path) -> StarDistWeights:
    """Read a model from the official zip or from the folder that it unpacks to.

    Raises
    ------
    WeightsError
        Where a file is missing or damaged, or the model has another architecture.
    """
    files, digest = _contents(path)
    config = _json(files["config.json"], path, "config.json")
    thresholds = _json(files["thresholds.json"], path, "thresholds.json")
    _check_architecture(config, path)
    layers = _layers(files["weights_best.h5"], path, config)
    return StarDistWeights(
        config, layers, float(thresholds["prob"]), float(thresholds["nms"]), digest, source=path.name
    )


def _contents(path: Path) -> tuple[dict[str, bytes], str]:
    if path.is_dir():
        missing = [name for name in _FILES if not (path / name).is_file()]
        if not missing:
            return {name: (path / name).read_bytes() for name in _FILES}, sha256_file(path / "weights_best.h5")
        found = [file.name for file in sorted(path.iterdir())]
    else:
        try:
            with zipfile.ZipFile(path) as archive:
                inside = {Path(name).name: name for name in archive.namelist() if not name.endswith("/")}
                missing, found = [name for name in _FILES if name not in inside], sorted(inside)
                if not missing:
                    return {name: archive.read(inside[name]) for name in _FILES}, sha256_file(path)
        except (zipfile.BadZipFile, OSError) as error:
            raise WeightsError(
                "this is no readable zip",
                where=path,
                expected=f"the StarDist zip (sha256 {SHA256} for the official one)",
                found=error,
                mend="fetch the file again",
            ) from error
    raise WeightsError(
        f"the model lacks {', '.join(missing)}", where=path, expected=", ".join(_FILES), found=", ".join(found)
    )


def _json(text: bytes, path: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise WeightsError(f"{name} cannot be read ({error})", where=path, expected="JSON") from error
    needed = {"config.json": {"n_rays", "grid", "n_channel_in"}, "thresholds.json": {"prob", "nms"}}[name]
    if not isinstance(found, dict) or not needed <= set(found):
        raise WeightsError(f"{name} is not a StarDist file", where=path, expected=", ".join(sorted(needed)))
    return found


def _check_architecture(config: dict[str, Any], path: Path) -> None:
    other = {name: config[name] for name, value in _EXPECTED.items() if config.get(name, value) != value}
    if config["n_channel_in"] != 3:
        other["n_channel_in"] = config["n_channel_in"]
    if other:
        raise WeightsError(
            "this model has another architecture than the H&E model",
            where=path,
            expected="a 2D StarDist U-Net of RGB pictures, without classes or batch normalisation",
            found=", ".join(f"{name} = {value}" for name, value in sorted(other.items())),
            mend="give the model 2D_versatile_he, or one trained with its configuration",
        )


def _layers(content: bytes, path: Path, config: dict[str, Any]) -> dict[str, Convolution]:
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            names = [_text(name) for name in file.attrs["layer_names"]]
            found = {name: _convolution(file[name]) for name in names if len(file[name].attrs.get("weight_names", ()))}
    except (OSError, KeyError, ValueError) as error:
        raise WeightsError(
            "the weights cannot be read", where=path, expected="Keras weights in HDF5", found=error
        ) from error
    n = _convolutions_before(config)
    # Keras numbers unnamed layers by what else was built in that session: only their order counts
    unnamed = [name for name in names if name.startswith("conv2d") and name in found]
    layers = {f"grid_{i}": found.pop(name) for i, name in enumerate(unnamed)} | found
    expected = layer_names(config)
    if len(unnamed) != n or set(layers) != set(expected):
        raise WeightsError(
            "the weights are not those of this configuration",
            where=path,
            expected=", ".join(expected),
            found=", ".join(names),
        )
    return layers


def layer_names(config: dict[str, Any]) -> list[str]:
    """Names of the convolutions of the network, in the order in which a picture meets them."""
    depth, per_depth = config["unet_n_depth"], config["unet_n_conv_per_depth"]
    names = [f"grid_{i}" for i in range(_convolutions_before(config))]
    names += [f"down_level_{level}_no_{i}" for level in range(depth) for i in range(per_depth)]
    middle = [*range(per_depth - 1), per_depth]  # the number of the last one counts from the dropout after it
    names += [f"middle_{i}" for i in middle]
    names += [f"up_level_{level}_no_{i}" for level in reversed(range(depth)) for i in middle]
    return [*names, *(["features"] if config["net_conv_after_unet"] else []), "prob", "dist"]


def _convolutions_before(config: dict[str, Any]) -> int:
    halvings = int(np.log2(max(config["grid"])))
    return int(halvings * config["unet_n_conv_per_depth"])


def _convolution(group: Any) -> Convolution:
    paths = [_text(name) for name in group.attrs["weight_names"]]  # "dist/kernel:0" and "dist/bias:0"
    arrays = {path.rpartition("/")[2].partition(":")[0]: group[path] for path in paths}
    return np.asarray(arrays["kernel"], np.float32), np.asarray(arrays["bias"], np.float32)


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
