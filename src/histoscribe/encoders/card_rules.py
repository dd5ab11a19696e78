"""What a card may say: the kind and the bounds of every value, so that a card from elsewhere can do no harm.

A card names files, addresses and sizes. None of them may take absurd memory, lead to a place that is not meant, or be
of a kind that a later step does not expect.
"""

import math
import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from histoscribe.encoders.architecture import architecture_problems, shown
from histoscribe.store.fetch import url_problem

POOLINGS = ("network", "avg", "cls", "cls+avg")

# a tile of 4,096 pixels takes 50 MB, and the longest published vector has a few thousand numbers
_MOST = {"input_px": 4096, "dimension": 65_536}
_MOST_LETTERS = 4000
_MPP = (0.001, 1000.0)

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HUB = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(/[A-Za-z0-9][A-Za-z0-9._-]{0,99})?")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,199}")

TYPES: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("name", "backend", "licence", "source", "model", "hub", "revision", "url", "size"), (str,)),
    **dict.fromkeys(("sha256", "pooling"), (str,)),
    **dict.fromkeys(("input_px", "dimension"), (int,)),
    **dict.fromkeys(("mean", "std"), (list, tuple)),
    "file": (str, Path, type(None)),
    "mpp": (int, float, type(None)),
    "gated": (bool,),
    "model_args": (dict,),
}


def card_problems(values: Mapping[str, Any]) -> list[str]:
    """Say all that is wrong with the values of a card; of those that are there.

    Parameters
    ----------
    values
        Fields of a card by name, as TOML gives them or as a `Card` holds them.
    """
    problems = []
    for key, value in values.items():
        if not isinstance(value, TYPES[key]) or (isinstance(value, bool) and bool not in TYPES[key]):
            kinds = " or ".join(kind.__name__ for kind in TYPES[key] if kind not in (type(None), Path, tuple))
            problems.append(f"`{key}` must be {kinds}, not {shown(value)}")
        elif isinstance(value, str | Path):
            problems += _text_problems(key, str(value))
    if problems:
        return problems
    return [*_number_problems(values), *_place_problems(values), *_network_problems(values)]


def _text_problems(key: str, text: str) -> list[str]:
    if len(text) > _MOST_LETTERS:
        return [f"`{key}` is too long: at most {_MOST_LETTERS:,} letters"]
    lines = "\n\t" if key in ("licence", "source", "size") else ""
    if any(unicodedata.category(letter) == "Cc" and letter not in lines for letter in text):
        return [f"`{key}` holds control characters: {shown(text)}"]
    return []


def _number_problems(values: Mapping[str, Any]) -> list[str]:
    problems = []
    for key, most in _MOST.items():
        if key in values and not 1 <= values[key] <= most:
            problems.append(f"`{key}` must be at least 1 and at most {most:,}, not {shown(values[key])}")
    for key in ("mean", "std"):
        numbers = values.get(key, (1.0, 1.0, 1.0))
        if len(numbers) != 3 or not all(_is_number(number) for number in numbers):
            problems.append(f"`{key}` must be three numbers, one per colour channel")
        elif key == "std" and min(numbers) <= 0:
            problems.append("`std` must be above zero")
    mpp = values.get("mpp")
    if mpp is not None and not _MPP[0] <= mpp <= _MPP[1]:
        problems.append(f"`mpp` must be above zero, from {_MPP[0]:g} to {_MPP[1]:g}, not {shown(mpp)}")
    return problems


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) < 1e6 if isinstance(value, int) else math.isfinite(value) and abs(value) < 1e6


def _place_problems(values: Mapping[str, Any]) -> list[str]:
    problems = []
    if "name" in values and not _NAME.fullmatch(values["name"]):
        problems.append("`name` may hold letters, digits, '.', '-' and '_' only, and starts with a letter or digit")
    for key, pattern, words in (
        ("hub", _HUB, "a repository on the hub, OWNER/NAME"),
        ("revision", _REVISION, "a branch, tag or commit"),
    ):
        text = values.get(key) or ""
        if text and (not pattern.fullmatch(text) or ".." in text):
            problems.append(f"`{key}` must be {words}, not {shown(text)}")
    if values.get("sha256") and not _SHA256.fullmatch(values["sha256"]):
        problems.append("`sha256` must be 64 hexadecimal digits in lower case")
    sources = [key for key in ("hub", "url", "file") if values.get(key)]
    if len(sources) > 1:
        problems.append(f"the weights come from one place: give only one of {', '.join(f'`{key}`' for key in sources)}")
    if values.get("url"):
        problem = url_problem(values["url"])
        problems += [f"`url` {problem}, not {shown(values['url'])}"] if problem else []
        if not values.get("sha256"):
            problems.append("`url` needs `sha256`, so that what is fetched can be checked")
    return problems


def _network_problems(values: Mapping[str, Any]) -> list[str]:
    problems = []
    if values.get("pooling", "network") not in POOLINGS:
        problems.append(f"`pooling` must be one of {', '.join(POOLINGS)}, not {shown(values['pooling'])}")
    arguments = values.get("model_args") or {}
    if values.get("backend") == "timm":
        problems += architecture_problems(values.get("model", ""), arguments)
    if values.get("backend") == "onnx":
        problems += [
            f"`model_args.{key}` must be the name of a tensor, not {shown(value)}"
            for key, value in arguments.items()
            if not isinstance(value, str)
        ]
    return problems
