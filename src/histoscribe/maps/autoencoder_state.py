"""What the autoencoder's training keeps in a folder, so that an interrupted one goes on: a pair of files per part.

    pretrained.safetensors, .json     the network that knows the picture, and how well
    member_0.safetensors, .json       a trained network with its field and loadings, when it stopped and why

Weights are safetensors: plain arrays and nothing that could run code. A part is there once its JSON is.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, ResultError
from histoscribe.store.files import read_json, write_bytes, write_json, writing_to

if TYPE_CHECKING:
    from histoscribe.maps.autoencoder_network import Autoencoder

State = dict[str, NDArray[Any]]


class Kept:
    """Parts of a training in a folder; None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def save(self, name: str, model: torch.nn.Module, told: Mapping[str, Any]) -> None:
        """Keep a part; raises ResultError where the disk is full."""
        if self.folder is None:
            return
        from safetensors.numpy import save

        arrays = {key: values.detach().cpu().numpy().copy() for key, values in sorted(model.state_dict().items())}
        with writing_to(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_bytes(self.folder / f"{name}.safetensors", save(arrays))
            write_json(self.folder / f"{name}.json", dict(told))

    def load(self, name: str, model: torch.nn.Module) -> dict[str, Any] | None:
        """Bring a part's weights into a model and return what was told of it; None where it was not kept."""
        if self.folder is None or not (self.folder / f"{name}.json").is_file():
            return None
        told: dict[str, Any] = read_json(self.folder / f"{name}.json")
        state = read_state(self.folder / f"{name}.safetensors")
        model.load_state_dict({key: torch.from_numpy(values) for key, values in state.items()})
        return told


def read_state(path: Path) -> State:
    """Read the weights of one part, `member_0.safetensors`.

    Raises
    ------
    ResultError
        Where the file is absent or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        return {name: np.array(values) for name, values in load(path.read_bytes()).items()}
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise ResultError(
            f"unreadable ({error})",
            where=path,
            expected="weights written by histoscribe",
            mend="delete the result and make the map again",
        ) from error


def network_of(state: Mapping[str, NDArray[Any]]) -> "Autoencoder":
    """Rebuild a member's network, in evaluation mode, from its `read_state`.

    It reads windows of any picture of as many microns per pixel as the member's JSON tells, `um_per_px`.

    Raises
    ------
    ConfigError
        Where the state holds no network.
    """
    from histoscribe.maps.autoencoder_network import Autoencoder

    start = "network."
    own = {name.removeprefix(start): torch.from_numpy(np.array(v)) for name, v in state.items() if name[:8] == start}
    if not own:
        raise ConfigError("the state holds no network", where="state", expected="a member's weights")
    network = Autoencoder(len(own["gene_head.bias"]) // 4, mean=own["mean"], scale=own["scale"])
    network.load_state_dict(own)
    network.eval()
    return network
