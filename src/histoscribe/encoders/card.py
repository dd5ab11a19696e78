"""Encoder cards: what a network is, where its weights come from, what it expects and under which licence.

A card is a small TOML file. Those beside this file are built in; a user's own card is as good as one of them, and may
start from one with `like = "uni"` and give only what differs, such as a local file. `card_rules` limits what a card may
say, so that one from elsewhere can do no harm; every card is checked against it, however it was made.
"""

import os
import re
from dataclasses import MISSING, asdict, dataclass, field, fields, replace
from functools import cache
from pathlib import Path
from typing import Any

from histoscribe.encoders.architecture import shown
from histoscribe.encoders.card_rules import TYPES, card_problems
from histoscribe.errors import ConfigError, nearest
from histoscribe.store.toml import read_toml

_FOLDER = Path(__file__).parent / "cards"
_VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class Card:
    """What is known of one encoder.

    Parameters
    ----------
    name, backend
        What it is called, and which code runs it: "morphology", "timm", "onnx" or one that a package registered.
    licence, source
        Under which terms its weights may be used, and where it is described.
    input_px, dimension
        Side of the square tile that it takes, in pixels, and length of the vector that it gives.
    model
        The backend's name of the architecture: timm's "efficientnet_b0".
    hub, revision
        Repository and revision on the Hugging Face hub that hold `model.safetensors`.
    url, file
        Instead of `hub`: a plain URL (with its sha256), or a local file.
    sha256
        Of the weights' file; "" where it is not known beforehand.
    mean, std
        Of each colour channel in [0, 1]; a tile is (x / 255 - mean) / std.
    mpp
        Microns per pixel that it was trained at; None for photographs.
    size
        Parameters or megabytes, for people.
    gated
        Whether its weights are given out only after agreeing to terms.
    pooling
        "network": the network's own pooled output; "avg", "cls", "cls+avg": of a transformer's tokens.
    model_args
        Further arguments of the backend; of timm's, only what changes the network's shape.
    unnamed
        Whether the name of the weights' file is left out of `to_dict`; not to be given in a card.

    Raises
    ------
    ConfigError
        Impossible values; the message names all of them.
    """

    name: str
    backend: str
    licence: str
    source: str
    input_px: int
    dimension: int
    model: str = ""
    hub: str = ""
    revision: str = "main"
    url: str = ""
    file: Path | None = None
    sha256: str = ""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    mpp: float | None = None
    size: str = ""
    gated: bool = False
    pooling: str = "network"
    model_args: dict[str, Any] = field(default_factory=dict)
    unnamed: bool = False

    def __post_init__(self) -> None:
        """Refuse values that no card may have, whoever made it."""
        problems = card_problems({name: getattr(self, name) for name in TYPES})
        if problems:
            raise ConfigError("; ".join(problems), where=f"encoder {shown(self.name)}")

    def to_dict(self) -> dict[str, Any]:
        """Return all fields of the card as JSON; of a local file only its name, because its place changes no result."""
        record = asdict(self) | {"mean": list(self.mean), "std": list(self.std)}
        record["file"] = self.file.name if self.file and not self.unnamed else None
        del record["unnamed"]
        return record


def load_card(name_or_path: str | Path, *, anonymous: bool = False) -> Card:
    """Load a card by its built-in name, or from a user's `.toml` file.

    `file` in a card may use environment variables, `${NAME}` or `${NAME:-default}`, and is relative to the card.

    Parameters
    ----------
    anonymous
        Whether the weights are recorded by their hash alone, without their file's name.

    Raises
    ------
    ConfigError
        There is no such card, or the card has problems; the message names all of them.

    Examples
    --------
    A card of your own says what differs from a built-in one:

    >>> from pathlib import Path
    >>> from histoscribe.encoders import load_card
    >>> card = '''
    ... like = "efficientnet_b0"
    ... name = "mine"
    ... file = "mine.safetensors"
    ... mpp = 0.5
    ... '''
    >>> characters = Path("mine.toml").write_text(card)
    >>> mine = load_card("mine.toml")
    >>> mine.backend, mine.file.name, mine.mpp, mine.input_px, mine.dimension
    ('timm', 'mine.safetensors', 0.5, 224, 1280)
    """
    if anonymous:
        return replace(load_card(name_or_path), unnamed=True)
    path = Path(name_or_path)
    if path.suffix == ".toml":
        return _card(read_toml(path, what="the encoder card"), path)
    return builtin_card(str(name_or_path), fix="; or give the path of your own card, ending in .toml")


def builtin_card(name: str, *, fix: str = "") -> Card:
    """Load a built-in card. A name from a received file is looked up by this function only.

    Raises
    ------
    ConfigError
        Where no built-in card has this name; `fix` is added to what is near.
    """
    if name not in _builtin_names():
        raise ConfigError(f"there is no encoder called {shown(name)}", fix=nearest(name, _builtin_names()) + fix)
    return _builtin(name)


def cards() -> list[Card]:
    """Return the built-in cards, by name."""
    return [_builtin(name) for name in _builtin_names()]


@cache
def _builtin_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


@cache
def _builtin(name: str) -> Card:
    path = _FOLDER / f"{name}.toml"
    return _card(read_toml(path, what="the encoder card"), path)


def _card(given: dict[str, Any], path: Path) -> Card:
    """Check the fields of a card and make it; raises ConfigError with every problem."""
    values = dict(given)
    like = values.pop("like", None)
    if like is not None:
        values = _like(like, path) | values
        if given.keys() & {"hub", "url", "file"}:  # a source of its own replaces the other card's, and its hash
            values |= {key: given.get(key, "") for key in ("hub", "url", "sha256")}
            values["file"] = given.get("file")
    needed = {entry.name for entry in fields(Card) if entry.default is MISSING and entry.default_factory is MISSING}
    problems = [f"`{key}` is missing" for key in sorted(needed - values.keys())]
    unknown = [key for key in values if key not in TYPES]
    problems += [f"unknown key `{shown(key)[1:-1]}` ({nearest(key, [*TYPES, 'like'])})" for key in unknown[:8]]
    problems += card_problems({key: value for key, value in values.items() if key in TYPES})
    if not problems and isinstance(values.get("file"), str):
        values["file"], trouble = _resolve(values["file"], path.parent)
        problems.extend(trouble)
    if problems:
        raise ConfigError("; ".join(problems), where=path)
    for key in ("mean", "std"):
        if key in values:
            values[key] = tuple(float(number) for number in values[key])
    return Card(**values)


def _like(name: object, path: Path) -> dict[str, Any]:
    if not isinstance(name, str) or name not in _builtin_names():
        raise ConfigError(
            f"`like` names no built-in encoder: {shown(name)}",
            where=path,
            fix=nearest(shown(name), _builtin_names()),
        )
    values = asdict(_builtin(name))
    del values["unnamed"]
    return values


def _resolve(text: str, folder: Path) -> tuple[Path | None, list[str]]:
    """Path that a card's `file` means: variables put in, relative to the card's folder."""
    unset = [name for name, default in _VARIABLE.findall(text) if name not in os.environ and not default]
    if unset:
        return None, [f"`file` uses the environment variable {name}, which is not set" for name in unset]
    filled = _VARIABLE.sub(lambda match: os.environ.get(match[1], match[2] or ""), text)
    return Path(os.path.normpath(folder / Path(filled).expanduser())), []
