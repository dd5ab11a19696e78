"""The network that head "finetune" trains: an encoder's or timm's by its name, or a card's, with published weights.

Random weights are never taken for published ones: they are used where they are asked for, and nowhere else.
"""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from histoscribe.encoders import Card, cards, import_timm, load_card
from histoscribe.encoders.architecture import architecture_problems, make_network
from histoscribe.encoders.weights import find_weights, read_weights
from histoscribe.errors import ConfigError, WeightsError

_WHERE = "head finetune"
_WAYS_OUT = (
    'give the file with `weights = "FILE.safetensors"` in [head_options.finetune], or the path of a card that names it '
    "as `backbone`; or start from random weights with `pretrained = false`"
)
# how torchvision, and so the published systems, call networks that timm calls otherwise
_ALSO_CALLED = {"efficientnet_v2_s": "efficientnetv2_s", "efficientnet_v2_m": "efficientnetv2_m"}


@dataclass(frozen=True, slots=True)
class Backbone:
    """Everything that describes a fitted head's network, so that a model no longer needs the card.

    Parameters
    ----------
    model, args
        timm's name, and further arguments.
    mean, std
        Of each colour channel in [0, 1].
    trained
        Whether it starts from trained weights. Batch normalisation then keeps its statistics, as folded or well-trained
        ones must.
    """

    model: str
    args: dict[str, Any]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    trained: bool

    def make(self, outputs: int, *, n_numbers: int | None = None) -> Any:
        """Make the network with random weights.

        Parameters
        ----------
        outputs
            Length of its last layer.
        n_numbers
            How many numbers its weights have, where they are known; a network of another size is refused.

        Raises
        ------
        ConfigError
            A name that timm does not list, or arguments that are refused or that the network does not take.
        WeightsError
            A network of another size than its weights.
        """
        return make_network(self.model, self.args, where=_WHERE, n_outputs=outputs, n_numbers=n_numbers)

    def to_bytes(self) -> NDArray[np.uint8]:
        """Return all of it as JSON in bytes."""
        return np.frombuffer(json.dumps(asdict(self)).encode(), np.uint8)

    @classmethod
    def from_bytes(cls, data: NDArray[Any]) -> Self:
        """Read what `to_bytes` gave; raises ConfigError where it describes no network, or one that no card may name."""
        try:
            values = json.loads(np.asarray(data, np.uint8).tobytes())
            made = cls(
                str(values["model"]),
                dict(values["args"]),
                tuple(map(float, values["mean"])),
                tuple(map(float, values["std"])),
                bool(values["trained"]),
            )
        except (KeyError, TypeError, ValueError, RecursionError) as error:
            raise ConfigError("the model does not describe its network", where=_WHERE, found=error) from error
        problems = architecture_problems(made.model, made.args)
        if len(made.mean) != 3 or len(made.std) != 3 or not all(np.isfinite((*made.mean, *made.std))):
            problems.append("`mean` and `std` must be three numbers each")
        if problems:
            raise ConfigError("; ".join(problems), where=_WHERE)
        return made


@dataclass(frozen=True, slots=True)
class Start:
    """What training starts from.

    Parameters
    ----------
    backbone
        The network.
    weights
        A safetensors file; None for random weights.
    words
        Which weights these are, for the record.
    """

    backbone: Backbone
    weights: Path | None
    words: str


def find_backbone(name_or_card: str, *, weights: str = "", pretrained: bool = True) -> Start:
    """Find a network, and the weights to start from.

    Parameters
    ----------
    name_or_card
        Name of an encoder or of a network of timm, or the path of a card, ending in .toml.
    weights
        A safetensors file to start from, in place of the published weights.
    pretrained
        False: random weights.

    Raises
    ------
    ConfigError
        A name that neither an encoder nor timm has, a card of another backend, or weights beside `pretrained = false`.
    WeightsError
        Weights that cannot be obtained, or are not those that the card names.
    """
    card = _card_of(_ALSO_CALLED.get(name_or_card, name_or_card))
    if card.backend != "timm":
        raise ConfigError(
            "only networks of timm can be trained further",
            where=name_or_card,
            expected='backend = "timm"',
            found=card.backend,
        )
    args = {key: value for key, value in card.model_args.items() if key != "num_classes"}
    backbone = Backbone(card.model, args, card.mean, card.std, trained=pretrained)
    if not pretrained:
        return Start(backbone, None, "random weights, because pretrained = false was given")
    if weights:
        card = replace(card, hub="", url="", file=Path(weights), sha256="")
    path, sha256 = _found(card)
    source = f"{card.hub}, revision {card.revision}, " if card.hub else ""
    return Start(backbone, path, f"weights {source}sha256 {sha256}")


def _card_of(name: str) -> Card:
    """Card of an encoder, by its name or path, or one made of what timm says of its network of this name."""
    if name.endswith(".toml") or name in {card.name for card in cards()}:
        return load_card(name)
    problems = architecture_problems(name, {})
    if problems:
        raise ConfigError("; ".join(problems), where=_WHERE)
    usual = _usual(name)
    return Card(
        name=name,
        backend="timm",
        model=name,
        hub=usual.hf_hub_id or "",
        licence=usual.license or "unknown",
        source=f"https://huggingface.co/{usual.hf_hub_id}" if usual.hf_hub_id else "timm",
        input_px=usual.input_size[-1],
        dimension=1,  # of a vector that is never made: the last layer is replaced
        mean=tuple(usual.mean),
        std=tuple(usual.std),
    )


def _found(card: Card) -> tuple[Path, str]:
    """File with the weights of a card, and its sha256; raises WeightsError that says how to give them."""
    if not (card.file or card.hub or card.url):
        raise WeightsError(
            "no weights of this network are published as safetensors, and pickles are never read",
            where=f"{_WHERE}, backbone {card.name}",
            fix=_WAYS_OUT,
        )
    try:
        return find_weights(card)
    except WeightsError as error:
        if card.file is not None:
            raise
        raise WeightsError(
            error.problem,
            where=f"{_WHERE}, backbone {card.name}",
            expected=error.expected,
            found=error.found,
            fix=_WAYS_OUT,
        ) from error


def require_side(backbone: Backbone, tile_px: int) -> None:
    """Refuse tiles of a side that the network cannot take; raises ConfigError."""
    usual = _usual(backbone.model)
    side = backbone.args.get("img_size", usual.input_size[-1])
    if usual.fixed_input_size and not backbone.args.get("dynamic_img_size") and tile_px != side:
        raise ConfigError(
            f"{backbone.model} takes tiles of one size only",
            where=f"{_WHERE}, tile_px",
            expected=side,
            found=tile_px,
            fix=f"give tile_px = {side}, or another backbone, such as convnext_tiny",
        )


def start_from(path: Path, network: Any) -> None:
    """Load all weights but the last layer's into a network.

    Raises
    ------
    WeightsError
        Where the file is no safetensors file, or is of another network.
    """
    found = read_weights(path)
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
            fix="give the weights of this very model",
        )
    network.load_state_dict(fits, strict=False)


def _usual(name: str) -> Any:
    """Return what timm says of its network of this name; raises ConfigError where it has none such."""
    try:
        usual = import_timm().get_pretrained_cfg(name)
    except RuntimeError as error:  # what timm says of a tag that it does not know
        raise _unknown(name, error) from error
    if usual is None:
        raise _unknown(name, "no such network")
    return usual


def _unknown(name: str, found: object) -> ConfigError:
    return ConfigError(
        f"timm cannot make {name!r}",
        where=_WHERE,
        found=found,
        fix="give the name of an encoder, one that timm.list_models() knows, or the path of a card, ending in .toml",
    )
