"""Checkpoints of the autoencoder's training, from which an interrupted one resumes: a pair of files per part.

    pretrained.safetensors, .json     the network trained on the picture, and its loss
    member_0.safetensors, .json       a trained network with its field and loadings, when it stopped and why

Weights are safetensors: plain arrays and nothing that could run code. A part is complete once its JSON exists.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, ResultError
from histoscribe.store.files import read_json, write_bytes, write_json, writing_to
from histoscribe.store.tensors import read_tensors

if TYPE_CHECKING:
    from histoscribe.maps.autoencoder_network import Autoencoder

State = dict[str, NDArray[Any]]


class Checkpoints:
    """Parts of a training in a folder; None keeps nothing."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def save(self, name: str, model: torch.nn.Module, record: Mapping[str, Any]) -> None:
        """Keep a part; raises ResultError where the disk is full."""
        if self.folder is None:
            return
        from safetensors.numpy import save

        arrays = {key: values.detach().cpu().numpy().copy() for key, values in sorted(model.state_dict().items())}
        with writing_to(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            write_bytes(self.folder / f"{name}.safetensors", save(arrays))
            write_json(self.folder / f"{name}.json", dict(record))

    def load(self, name: str, model: torch.nn.Module) -> dict[str, Any] | None:
        """Bring a part's weights into a model and return its record; None where it was not kept."""
        if self.folder is None or not (self.folder / f"{name}.json").is_file():
            return None
        record: dict[str, Any] = read_json(self.folder / f"{name}.json")
        state = read_state(self.folder / f"{name}.safetensors")
        try:
            model.load_state_dict({key: torch.from_numpy(values) for key, values in state.items()})
        except (RuntimeError, TypeError) as error:  # other names or shapes, or numbers that torch does not have
            raise ResultError(
                "the weights do not fit the network",
                where=self.folder / f"{name}.safetensors",
                found=str(error)[:200],
                fix="delete the result and make the map again",
            ) from error
        return record


def read_state(path: Path) -> State:
    """Read the weights of one part, `member_0.safetensors`.

    Raises
    ------
    ResultError
        Where the file is absent or damaged.
    """
    return read_tensors(path, fix="delete the result and make the map again")


def network_of(state: Mapping[str, NDArray[Any]]) -> "Autoencoder":
    """Rebuild a member's network, in evaluation mode, from its `read_state`.

    It reads windows of any picture with the microns per pixel that the member's JSON gives as `um_per_px`.

    Raises
    ------
    ConfigError
        Where the state holds no network.
    """
    from histoscribe.maps.autoencoder_network import Autoencoder

    start = "network."
    parts = {name: np.array(values) for name, values in state.items() if name[:8] == start}
    own = {name.removeprefix(start): torch.from_numpy(v) for name, v in parts.items() if v.dtype.kind in "biuf"}
    if not own:
        raise ConfigError("the state holds no network", where="state", expected="a member's weights")
    try:
        network = Autoencoder(len(own["gene_head.bias"]) // 4, mean=own["mean"], scale=own["scale"])
        network.load_state_dict(own)
    except (LookupError, RuntimeError, TypeError, ValueError) as error:  # parts missing, or of another shape
        raise ConfigError(
            "the state holds another network", where="state", expected="a member's weights", found=str(error)[:200]
        ) from error
    network.eval()
    return network
