"""The weights of a StarDist model, read from Keras' HDF5 file into the order in which the network uses them.

Only plain arrays that lie in this very file are read: a link or an external array could lead into any other.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import WeightsError, listing

Convolution = tuple[NDArray[np.float32], NDArray[np.float32]]

# the published model has 25 convolutions, the largest of 2.4 million numbers
_MOST_LAYERS, _MOST_NUMBERS = 500, 20_000_000


def read_layers(content: bytes, path: Path, config: dict[str, Any]) -> dict[str, Convolution]:
    """Read the convolutions of a network, by name.

    Raises
    ------
    WeightsError
        Where the file is damaged, leads elsewhere, or holds the weights of another network.
    """
    import h5py

    try:
        with h5py.File(io.BytesIO(content), "r") as file:
            names = [_text(name) for name in file.attrs["layer_names"]]
            groups = {name: _own(file, name) for name in names[:_MOST_LAYERS]}
            found = {
                name: _convolution(group) for name, group in groups.items() if len(group.attrs.get("weight_names", ()))
            }
    # what h5py raises of a damaged file, or of a part of another kind
    except (OSError, LookupError, ValueError, TypeError, AttributeError, RuntimeError) as error:
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
            found=listing(names, 40),
        )
    _check_shapes(layers, path, config)
    return layers


def _check_shapes(layers: dict[str, Convolution], path: Path, config: dict[str, Any]) -> None:
    outputs = {"prob": 1, "dist": config["n_rays"]}
    for name, (kernel, bias) in layers.items():
        if len(bias) != outputs.get(name, kernel.shape[3]) or len(bias) != kernel.shape[3]:
            raise WeightsError(
                f"the weights of {name} do not fit the network",
                where=path,
                expected=f"{outputs.get(name, kernel.shape[3])} outputs",
                found=f"kernel {kernel.shape}, bias {bias.shape}",
                fix="fetch the model again",
            )


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
    arrays = {path.rpartition("/")[2].partition(":")[0]: _own(group, path) for path in paths}
    return _numbers(arrays["kernel"], n_axes=4), _numbers(arrays["bias"], n_axes=1)


def _own(group: Any, path: str) -> Any:
    """Part of a file that lies in this very file: a link could lead into any other on the disk."""
    import h5py

    for name in path.strip("/").split("/"):
        if type(group.get(name, getlink=True)) is not h5py.HardLink:
            raise LookupError(f"{path} is not in this file")
        group = group[name]
    return group


def _numbers(array: Any, *, n_axes: int) -> NDArray[np.float32]:
    import h5py

    if not isinstance(array, h5py.Dataset) or array.external or array.is_virtual:
        raise ValueError("a weight is no array of this file")
    if array.ndim != n_axes or array.dtype.kind != "f" or array.size > _MOST_NUMBERS:
        raise ValueError(f"a weight is {array.dtype} {array.shape}, which no convolution is")
    return np.asarray(array, np.float32)


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)
