"""What all settings have in common: one reader of TOML files, one check of types, one record of what was used.

Settings are frozen dataclasses, one field per option with its default. A field that may hold the path of a file
says so with `field(metadata=PATH)`: a record holds such a file's name and sha256, and no place on this computer.
`field(metadata=READING)` marks what only says how the input is read and named.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import MappingProxyType, NoneType, UnionType
from typing import Any, Literal, Self, TypeVar, Union, cast, get_args, get_origin, get_type_hints

import numpy as np

from histoscribe.errors import ConfigError, listing, nearest
from histoscribe.io.aliases import file_alias
from histoscribe.store.files import sha256_file
from histoscribe.store.toml import read_toml

PATH: Mapping[str, bool] = MappingProxyType({"path": True})
READING: Mapping[str, bool] = MappingProxyType({"reading": True})

S = TypeVar("S", bound="Settings")


class Settings:
    """Base of all settings; the subclasses are frozen dataclasses."""

    __slots__ = ()

    def record(self) -> dict[str, Any]:
        """All settings as plain values, fit for JSON; of a file its name and sha256, of an anonymous one its sha256."""
        anonymous = bool(getattr(self, "anonymous", False))
        recorded = {}
        for item in fields(cast("Any", self)):
            value = getattr(self, item.name)
            if item.metadata.get("reading") and not value:
                continue  # recorded where it is asked for; the input's own record has it in any case
            if item.metadata.get("path"):
                recorded[item.name] = file_record(value, item.name, anonymous=anonymous)
            else:
                recorded[item.name] = without_paths(plain(value), item.name, anonymous=anonymous)
        return recorded

    def updated(self, **given: Any) -> Self:
        """Return a copy in which every value of `given` that is not None replaces the present one."""
        changed = {key: value for key, value in given.items() if value is not None}
        return cast("Self", replace(cast("Any", self), **changed))


def plain(value: Any) -> Any:
    """Return a value as JSON has it: settings as their record, other dataclasses by field, tuples as lists."""
    if isinstance(value, Settings):
        return value.record()
    if is_dataclass(value) and not isinstance(value, type):
        return {item.name: plain(getattr(value, item.name)) for item in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    return value


def file_record(value: Any, owner: str, *, anonymous: bool = False) -> Any:
    """Record of a setting that may name a file: its name and sha256 where it does, else the value itself.

    Parameters
    ----------
    owner
        What stands for the name of an anonymous file.
    """
    if isinstance(value, list | tuple):
        return [file_record(part, owner, anonymous=anonymous) for part in value]
    if not isinstance(value, str | Path) or not (Path(value).suffix or Path(value).name != str(value)):
        return value  # a name of ours, such as an encoder's
    path = Path(value)
    name = file_alias(path, owner) if anonymous else path.name
    return {"file": name, "sha256": sha256_file(path) if path.is_file() else None}


def without_paths(value: Any, owner: str, *, anonymous: bool = False) -> Any:
    """Return plain values in which no path stands: absolute ones, cards and weights are recorded as files are."""
    if isinstance(value, Mapping):
        return {key: without_paths(part, owner, anonymous=anonymous) for key, part in value.items()}
    if isinstance(value, list):
        return [without_paths(part, owner, anonymous=anonymous) for part in value]
    if isinstance(value, str) and (value.endswith((".toml", ".safetensors")) or Path(value).is_absolute()):
        return file_record(value, owner, anonymous=anonymous)
    return value


def read_settings(path: Path, kind: type[S], *, defaults: S | None = None) -> S:
    """Read a TOML file that holds fields of `kind` at its top level.

    Parameters
    ----------
    defaults
        Where the fields that the file leaves out come from; the defaults of `kind` where not given.

    Raises
    ------
    ConfigError
        Where the file cannot be read, or holds a name or a type that is not of `kind`; every problem is named.
    """
    values = checked_values(read_toml(path, what="the file of settings"), get_type_hints(kind), where=path)
    return kind(**values) if defaults is None else cast("S", replace(cast("Any", defaults), **values))


def checked_values(given: Mapping[str, Any], hints: Mapping[str, Any], *, where: str | Path) -> dict[str, Any]:
    """Return values of TOML or JSON as the fields of a class take them, lists as tuples.

    Parameters
    ----------
    hints
        Type of each field that may be given, by its name.

    Raises
    ------
    ConfigError
        Where a name or a type is another; every problem is named.
    """
    problems, values = [], {}
    for key, value in given.items():
        if key not in hints:
            problems.append(f"{key!r} is not a setting; {nearest(key, hints)}")
        elif not fits(value, hints[key]):
            problems.append(f"{key} = {value!r} is not of the right kind, {said(hints[key])}")
        else:
            values[key] = tuple(value) if isinstance(value, list) else value
    if problems:
        raise ConfigError("; ".join(problems), where=where)
    return values


def refuse_unused(settings: Settings, unused: Mapping[str, str], *, command: str) -> None:
    """Refuse settings that differ from their default and that a command cannot use.

    Parameters
    ----------
    unused
        Name of a setting, and why the command has no use for it.

    Raises
    ------
    ConfigError
        Naming all of them: a setting is used or refused, and never recorded for nothing.
    """
    recorded, usual = settings.record(), type(settings)().record()
    given = [name for name in unused if recorded.get(name) != usual.get(name)]
    if given:
        raise ConfigError(
            f"histoscribe {command} has no use for {listing(given)} here",
            where="configuration",
            found="; ".join(f"{name} = {recorded[name]}: {unused[name]}" for name in given),
            fix=f"leave {listing(given)} out",
        )


def fits(value: Any, hint: Any) -> bool:
    """Whether a value of TOML or JSON can stand for a field of this type; a list stands for a tuple."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return any(fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if origin in (tuple, Sequence):
        return isinstance(value, list) and all(fits(part, parts[0]) for part in value)
    if origin in (dict, Mapping):
        return isinstance(value, dict) and all(fits(part, parts[1]) for part in value.values())
    if hint is Any:
        return True
    if hint is NoneType:
        return value is None
    if hint is bool or isinstance(value, bool):
        return hint is bool and isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float)
    return isinstance(value, str if hint is Path else hint)


def said(hint: Any) -> str:
    """Say what a field takes, for a message."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return " or ".join(said(part) for part in parts if part is not NoneType)
    if origin is Literal:
        return "one of " + ", ".join(map(str, parts))
    if origin in (tuple, Sequence):
        return f"a list of {said(parts[0])}"
    if origin in (dict, Mapping):
        return f"a table of {said(parts[1])}"
    names = {str: "text", Path: "a path", int: "a whole number", float: "a number", bool: "true or false"}
    return names.get(hint, str(hint))
