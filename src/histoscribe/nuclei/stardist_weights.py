"""The published StarDist model as its authors distribute it: a zip of Keras weights, configuration and thresholds.

Keras is not needed: the weights are plain HDF5 arrays, read here into the order in which the network uses them. No
Lambda layer, no pickle, no code is ever read from the file.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from histoscribe.errors import WeightsError
from histoscribe.nuclei.model_zip import names_in, read_file, read_parts, require
from histoscribe.nuclei.stardist_layers import Convolution, read_layers
from histoscribe.store.cache import cache_folder
from histoscribe.store.fetch import fetch
from histoscribe.store.files import sha256_file

# the model "2D_versatile_he" of Schmidt et al. 2018 and Weigert et al. 2020, trained on MoNuSeg and TNBC at 20x
URL = "https://github.com/stardist/stardist-models/releases/download/v0.1/python_2D_versatile_he.zip"
SHA256 = "f1696ef0631bd7e1c0e5c0d3017e2b4c6a95e284c6aab9c22fc2f08317817b28"

# the parts of a model, and how large each may be: the published weights have 5.5 MB
_FILES = {"config.json": 10**6, "weights_best.h5": 5 * 10**8, "thresholds.json": 10**5}
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

# numbers that the configuration must give, from and to: a network of a thousand levels is no model but an attack
_BOUNDS = {
    "n_rays": (3, 256),
    "unet_n_depth": (1, 8),
    "unet_n_conv_per_depth": (1, 8),
    "net_conv_after_unet": (0, 4096),
}
_GRIDS = (1, 2, 4, 8, 16)


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
                fix="correct the path",
            )
        return path
    return fetch(
        url,
        sha256=sha256,
        target=cache_folder() / "weights" / f"{sha256[:16]}-{url.rpartition('/')[2]}",
        where="segmenter stardist",
        fix="get the zip where there is a network and give its path with --model; or choose the segmenter "
        "`classical`, which needs no weights",
    )


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
    for name in ("prob", "nms"):
        if not (_is_real(thresholds[name]) and 0 < thresholds[name] < 1):
            raise WeightsError(
                "a threshold of the model is none",
                where=path,
                expected=f"{name} between 0 and 1",
                found=thresholds[name],
            )
    layers = read_layers(files["weights_best.h5"], path, config)
    return StarDistWeights(
        config, layers, float(thresholds["prob"]), float(thresholds["nms"]), digest, source=path.name
    )


def _contents(path: Path) -> tuple[dict[str, bytes], str]:
    if path.is_dir():
        there = [name for name in _FILES if (path / name).is_file()]
        found, beside = {name: read_file(path / name, _FILES[name]) for name in there}, path / "weights_best.h5"
        names = sorted(file.name for file in path.iterdir())
    else:
        expected = f"the StarDist zip (sha256 {SHA256} for the official one)"
        found, beside = read_parts(path, _FILES, where=path, expected=expected), path
        names = sorted(found) or names_in(path)
    require([name for name in _FILES if name not in found], names, where=path)
    return found, sha256_file(beside)


def _json(text: bytes, path: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise WeightsError(f"{name} cannot be read ({error})", where=path, expected="JSON") from error
    needed = {"config.json": {"n_rays", "grid", "n_channel_in"}, "thresholds.json": {"prob", "nms"}}[name]
    if not isinstance(found, dict) or not needed <= set(found):
        raise WeightsError(f"{name} is not a StarDist file", where=path, expected=", ".join(sorted(needed)))
    return found


def _check_architecture(config: dict[str, Any], path: Path) -> None:
    other: dict[str, Any] = {
        name: config[name] for name, value in _EXPECTED.items() if config.get(name, value) != value
    }
    if config["n_channel_in"] != 3:
        other["n_channel_in"] = config["n_channel_in"]
    for name, (least, most) in _BOUNDS.items():
        value = config.get(name)
        if not isinstance(value, int) or not least <= value <= most:
            other[name] = value
    grid = config["grid"]
    if not (isinstance(grid, list) and len(grid) == 2 and all(isinstance(g, int) and g in _GRIDS for g in grid)):
        other["grid"] = grid
    if other:
        raise WeightsError(
            "this model has another architecture than the H&E model",
            where=path,
            expected="a 2D StarDist U-Net of RGB pictures, without classes or batch normalisation",
            found=", ".join(f"{name} = {str(value)[:80]}" for name, value in sorted(other.items())),
            fix="give the model 2D_versatile_he, or one trained with its configuration",
        )


def _is_real(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
