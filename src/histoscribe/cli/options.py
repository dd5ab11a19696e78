"""Options of a command made from a class of settings, so that each stands once: its name, type, default and meaning."""

import tomllib
from collections.abc import Callable
from dataclasses import field, fields, is_dataclass, make_dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

from cyclopts import Parameter

from histoscribe.run.settings import Settings, read_settings

F = TypeVar("F", bound=Callable[..., Any])
S = TypeVar("S", bound=Settings)


def takes(parameter: str, kind: type[Settings], *, leave_out: tuple[str, ...] = (), **names: str) -> Callable[[F], F]:
    """Give a command every field of a class of settings as an option, and a file `--config` that holds any of them.

    Parameters
    ----------
    parameter
        The command's parameter that gets what was typed: an object with every field, None where it was not given.
    leave_out
        Fields that the command has as parameters of its own.
    names
        Field to the option's name, where it is another than the field's.

    Notes
    -----
    The help of an option is what the class's docstring says of its field. A field that holds a table is typed name by
    name: --efnst.epochs 80.
    """
    hints = get_type_hints(kind)
    items: list[Any] = [("config", Path | None, field(default=None))]
    last = sorted(fields(kind), key=lambda item: "reading" in item.metadata)  # type: ignore[arg-type]  # dataclasses
    for item in last:
        if item.name not in leave_out:
            # what the values of such a table must be, the settings themselves know
            hint = (dict[str, str] if hints[item.name] == dict[str, Any] else hints[item.name]) | None
            name = names.get(item.name)
            how = Parameter(name=name, negative_iterable=()) if name else Parameter(negative_iterable=())
            items.append((item.name, Annotated[hint, how], field(default=None)))
    names_here = {"__module__": __name__}  # cyclopts takes the classes of the standard library for plain values
    options = make_dataclass(f"{kind.__name__}Options", items, namespace=names_here, frozen=True)
    options.__doc__ = _help(kind)
    flat = Parameter(name="*")(options)

    def annotate(command: F) -> F:
        command.__annotations__[parameter] = flat | None
        return command

    return annotate


def settings_from(options: Any, defaults: S) -> S:
    """Return what was typed, over what stands in the file `--config`, over a command's own defaults."""
    if options is None:
        return defaults
    config = options.config
    settings = defaults if config is None else read_settings(config, type(defaults), defaults=defaults)
    given = typed(options)
    for name, value in given.items():
        if isinstance(value, dict):
            given[name] = getattr(settings, name) | value
    return settings.updated(**given)


def typed(options: Any) -> dict[str, Any]:
    """Return what was typed, by field; None for what was not, and without the file of settings."""
    given = {} if options is None else {name: value for name, value in vars(options).items() if name != "config"}
    return {name: _table(value) if isinstance(value, dict) else value for name, value in given.items()}


def _table(given: dict[str, Any]) -> dict[str, Any]:
    """Read the values of a table as TOML has them: 3, 0.5, true, [16, 8]; anything else is text."""
    return {name.replace("-", "_"): _value(value) if isinstance(value, str) else value for name, value in given.items()}


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _help(kind: type[Settings]) -> str:
    """Docstring of the settings and of those that they include, with the file that may hold any of them."""
    mark = "    Parameters\n    ----------\n"
    config = "    config\n        File in TOML with any of these settings; the options that are typed win over it.\n"
    texts = [
        (base.__doc__ or "").partition("\n    Examples\n")[0].rstrip().partition(mark)
        for base in kind.__mro__
        if is_dataclass(base)
    ]
    return f"{texts[0][0]}{mark}{config}" + "\n".join(rest for _, _, rest in texts) + "\n"
