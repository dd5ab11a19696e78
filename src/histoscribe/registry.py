"""One kind of registry for everything that can be chosen by name: encoders, domain methods, heads.

Built-in entries are given as "module:attribute" and imported when asked for, so that listing names costs nothing;
third parties join through an entry point of the registry's group.
"""

from functools import cached_property
from importlib import import_module
from importlib.metadata import entry_points
from typing import Generic, TypeVar, cast

from histoscribe.errors import ConfigError, nearest

T = TypeVar("T")


class Registry(Generic[T]):
    """Names and what they stand for, imported on first use.

    Parameters
    ----------
    kind
        What is registered, for messages: "domain method".
    group
        Entry-point group under which other packages add theirs: "histoscribe.domains".
    builtin
        Name to "module:attribute".

    Examples
    --------
    >>> from histoscribe.registry import Registry
    >>> built_in = {"niche": "histoscribe.domains.niche:niche"}
    >>> methods = Registry("domain method", group="my_lab.domains", builtin=built_in)
    >>> methods.get("niche").__name__
    'niche'
    >>> methods.get("nische")
    Traceback (most recent call last):
        ...
    histoscribe.errors.ConfigError: there is no domain method called 'nische'
      to fix it: did you mean niche?
    """

    def __init__(self, kind: str, *, group: str, builtin: dict[str, str]) -> None:
        self.kind = kind
        self.group = group
        self._targets = dict(builtin)

    @cached_property
    def _all(self) -> dict[str, str]:
        # a package cannot replace a built-in name: results would silently differ between two machines
        return {point.name: point.value for point in entry_points(group=self.group)} | self._targets

    def names(self) -> list[str]:
        """All names, sorted."""
        return sorted(self._all)

    def get(self, name: str) -> T:
        """Import and return the entry called `name`; raises ConfigError where there is none."""
        targets = self._all
        if name not in targets:
            raise ConfigError(f"there is no {self.kind} called {name!r}", fix=nearest(name, targets))
        module, _, attribute = targets[name].partition(":")
        return cast("T", getattr(import_module(module), attribute))
