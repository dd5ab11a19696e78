"""Encoder cards: what a network is, where its weights come from, what it expects and under which licence.

A card is a small TOML file. Those beside this file are built in; a user's own card is as good as one of them, and may
start from one with `like = "uni"` and give only what differs, such as a local file.
"""

import math
import os
import re
import tomllib
from dataclasses import MISSING, asdict, dataclass, field, fields
from functools import cache
from pathlib import Path
from typing import Any

from histoscribe.errors import ConfigError, nearest

POOLINGS = ("network", "avg", "cls", "cls+avg")

_FOLDER = Path(__file__).parent / "cards"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
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
        Further arguments of the backend.
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

    def to_dict(self) -> dict[str, Any]:
        """Give all that the card says as JSON; of a local file its name only, since where it lies changes no result."""
        file = self.file.name if self.file else None
        return asdict(self) | {"file": file, "mean": list(self.mean), "std": list(self.std)}


def load_card(name_or_path: str | Path) -> Card:
    """Load a card by its built-in name, or from a user's `.toml` file.

    `file` in a card may use environment variables, `${NAME}` or `${NAME:-default}`, and is relative to the card.

    Raises
    ------
    ConfigError
        Where there is no such card, or naming every problem of the card at once.
    """
    path = Path(name_or_path)
    if path.suffix == ".toml":
        return _card(_read(path), path)
    if str(name_or_path) not in _builtin_names():
        raise ConfigError(
            f"there is no encoder called {str(name_or_path)!r}",
            mend=nearest(str(name_or_path), _builtin_names()) + "; or give the path of your own card, ending in .toml",
        )
    return _builtin(str(name_or_path))


def cards() -> list[Card]:
    """Return the built-in cards, by name."""
    return [_builtin(name) for name in _builtin_names()]


@cache
def _builtin_names() -> tuple[str, ...]:
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


@cache
def _builtin(name: str) -> Card:
    path = _FOLDER / f"{name}.toml"
    return _card(_read(path), path)


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            "the encoder card cannot be read", where=path, found=error.strerror, mend="give the path of a .toml file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"the encoder card is not TOML: {error}", where=path) from error


def _card(given: dict[str, Any], path: Path) -> Card:
    """Check the fields of a card and make it; raises ConfigError with every problem."""
    values = dict(given)
    like = values.pop("like", None)
    if like is not None:
        values = _like(like, path) | values
        if given.keys() & {"hub", "url", "file"}:  # a source of its own replaces the other card's, and its hash
            values |= {key: given.get(key, "") for key in ("hub", "url", "sha256")}
            values["file"] = given.get("file")
    problems = [*_type_problems(values)]
    if not problems:
        problems = [*_value_problems(values)]
    if isinstance(values.get("file"), str):
        values["file"], trouble = _resolve(values["file"], path.parent)
        problems.extend(trouble)
    if problems:
        raise ConfigError("; ".join(problems), where=path)
    for key in ("mean", "std"):
        if key in values:
            values[key] = tuple(float(number) for number in values[key])
    return Card(**values)


def _like(name: object, path: Path) -> dict[str, Any]:
    if name not in _builtin_names():
        raise ConfigError(
            f"`like` names no built-in encoder: {name!r}", where=path, mend=nearest(str(name), _builtin_names())
        )
    return asdict(_builtin(str(name)))


_TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("name", "backend", "licence", "source", "model", "hub", "revision", "url", "size"), (str,)),
    **dict.fromkeys(("sha256", "pooling"), (str,)),
    **dict.fromkeys(("input_px", "dimension"), (int,)),
    **dict.fromkeys(("mean", "std"), (list, tuple)),
    "file": (str, Path, type(None)),
    "mpp": (int, float, type(None)),
    "gated": (bool,),
    "model_args": (dict,),
}


def _type_problems(values: dict[str, Any]) -> list[str]:
    needed = {entry.name for entry in fields(Card) if entry.default is MISSING and entry.default_factory is MISSING}
    problems = [f"`{key}` is missing" for key in sorted(needed - values.keys())]
    for key, value in values.items():
        if key not in _TYPES:
            problems.append(f"unknown key `{key}` ({nearest(key, [*_TYPES, 'like'])})")
        elif not isinstance(value, _TYPES[key]) or (isinstance(value, bool) and bool not in _TYPES[key]):
            kinds = " or ".join(kind.__name__ for kind in _TYPES[key] if kind not in (type(None), Path, tuple))
            problems.append(f"`{key}` must be {kinds}, not {value!r}")
    return problems


def _value_problems(values: dict[str, Any]) -> list[str]:
    problems = []
    if not _NAME.fullmatch(values["name"]):
        problems.append("`name` may hold letters, digits, '.', '-' and '_' only, and starts with a letter or digit")
    for key in ("input_px", "dimension"):
        if values[key] < 1:
            problems.append(f"`{key}` must be at least 1, not {values[key]}")
    for key in ("mean", "std"):
        numbers = values.get(key, (1.0, 1.0, 1.0))
        if len(numbers) != 3 or not all(isinstance(n, int | float) and math.isfinite(n) for n in numbers):
            problems.append(f"`{key}` must be three numbers, one per colour channel")
        elif key == "std" and min(numbers) <= 0:
            problems.append("`std` must be above zero")
    mpp = values.get("mpp")
    if mpp is not None and not (math.isfinite(mpp) and mpp > 0):
        problems.append(f"`mpp` must be above zero, not {mpp}")
    if values.get("sha256") and not _SHA256.fullmatch(values["sha256"]):
        problems.append("`sha256` must be 64 hexadecimal digits in lower case")
    if values.get("pooling", "network") not in POOLINGS:
        problems.append(f"`pooling` must be one of {', '.join(POOLINGS)}, not {values['pooling']!r}")
    sources = [key for key in ("hub", "url", "file") if values.get(key)]
    if len(sources) > 1:
        problems.append(f"the weights come from one place: give only one of {', '.join(f'`{key}`' for key in sources)}")
    if values.get("url") and not values.get("sha256"):
        problems.append("`url` needs `sha256`, so that what is fetched can be checked")
    return problems


def _resolve(text: str, folder: Path) -> tuple[Path | None, list[str]]:
    """Path that a card's `file` means: variables put in, relative to the card's folder."""
    unset = [name for name, default in _VARIABLE.findall(text) if name not in os.environ and not default]
    if unset:
        return None, [f"`file` uses the environment variable {name}, which is not set" for name in unset]
    filled = _VARIABLE.sub(lambda match: os.environ.get(match[1], match[2] or ""), text)
    return Path(os.path.normpath(folder / Path(filled).expanduser())), []
