"""The network that head "finetune" trains: of timm by its name, or a card's with its weights and pixel statistics."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.encoders import import_timm, load_card
from histoscribe.encoders.weights import find_weights, refuse_pickle
from histoscribe.errors import ConfigError, WeightsError


@dataclass(frozen=True, slots=True)
class Backbone:
    """All that a fitted head has to know of its network, so that a model needs no card any more.

    Parameters
    ----------
    model, args
        timm's name, and further arguments.
    mean, std
        Of each colour channel in [0, 1].
    trained
        Whether it starts from weights of a card. Batch normalisation then keeps its statistics, as folded or
        well-trained ones must.
    """

    model: str
    args: dict[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    trained: bool

    def make(self, outputs: int) -> Any:
        """Make it with so many outputs and random weights.

        Raises
        ------
        ConfigError
            A name that timm does not know, or arguments that the network does not take.
        """
        try:
            return import_timm().create_model(self.model, pretrained=False, num_classes=outputs, **self.args)
        except (RuntimeError, TypeError, AttributeError) as error:  # what a name or arguments raise that do not fit
            raise _unknown(self.model, error) from error

    def told(self) -> NDArray[np.uint8]:
        """Return all of it as JSON in bytes."""
        return np.frombuffer(json.dumps(asdict(self)).encode(), np.uint8)

    @classmethod
    def from_told(cls, told: NDArray[Any]) -> Self:
        """Return what `told` tells of."""
        values = json.loads(np.asarray(told, np.uint8).tobytes())
        return cls(values["model"], values["args"], tuple(values["mean"]), tuple(values["std"]), values["trained"])


def find_backbone(name_or_card: str) -> tuple[Backbone, Path | None]:
    """Find a network, and the weights to start from.

    Parameters
    ----------
    name_or_card
        Path of a card, ending in .toml; anything else is a network of timm, started from random weights.

    Raises
    ------
    ConfigError
        A name that timm does not know, or a card of another backend.
    WeightsError
        Weights that cannot be had, or are not those that the card names.
    """
    if not name_or_card.endswith(".toml"):
        usual = import_timm().get_pretrained_cfg(name_or_card)
        if usual is None:
            raise _unknown(name_or_card, "no such network")
        return Backbone(name_or_card, {}, tuple(usual.mean), tuple(usual.std), trained=False), None
    card = load_card(name_or_card)
    if card.backend != "timm":
        raise ConfigError(
            "only networks of timm can be trained further",
            where=name_or_card,
            expected='backend = "timm"',
            found=card.backend,
        )
    args = {key: value for key, value in card.model_args.items() if key != "num_classes"}
    return Backbone(card.model, args, card.mean, card.std, trained=True), find_weights(card)[0]


def start_from(path: Path, network: Any) -> None:
    """Load all weights but the last layer's into a network.

    Raises
    ------
    WeightsError
        Where the file is no safetensors file, or is of another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    refuse_pickle(path)
    try:
        found = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WeightsError("this file cannot be read", where=path, expected="safetensors", found=error) from error
    own = network.state_dict()
    last = {f"{network.default_cfg['classifier']}.{part}" for part in ("weight", "bias")}
    fits = {
        key: value for key, value in found.items() if key not in last and key in own and own[key].shape == value.shape
    }
    missing = {key for key in own if key not in fits and key not in last and not key.endswith("num_batches_tracked")}
    if missing:
        raise WeightsError(
            f"{len(missing):,} weights of the network are not in this file",
            where=path,
            found=", ".join(sorted(missing)[:3]),
            mend="give the weights of this very model",
        )
    network.load_state_dict(fits, strict=False)


def _unknown(name: str, found: object) -> ConfigError:
    return ConfigError(
        f"timm cannot make {name!r}",
        where="head finetune",
        found=found,
        mend="give a name that timm.list_models() knows, or the path of a card, ending in .toml",
    )
