"""The errors that a user of histoscribe can meet, each saying what was wrong and what to do about it.

Every message has the same parts, so that a biologist learns to read it once: where it is, what is wrong, what was
expected, what was found, what exists instead, and the fix.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path


class HistoscribeError(Exception):
    """Base of all errors raised on purpose.

    Parameters
    ----------
    problem
        One sentence: what is wrong.
    where
        The file, column, option or argument that is at fault; put first.
    expected, found
        What was wanted and what was met instead.
    fix
        What the user can do; an imperative sentence.

    Examples
    --------
    >>> import histoscribe as hs
    >>> try:
    ...     hs.make_phantom(n_domains=20)
    ... except hs.HistoscribeError as error:
    ...     print(error)
    n_domains: a phantom cannot have so many domains
      expected: 2 to 8
      found: 20
    """

    def __init__(
        self,
        problem: str,
        *,
        where: str | Path | None = None,
        expected: object = None,
        found: object = None,
        fix: str | None = None,
    ) -> None:
        self.problem = problem
        self.where = None if where is None else str(where)
        self.expected = None if expected is None else str(expected)
        self.found = None if found is None else str(found)
        self.fix = fix
        super().__init__(problem)

    def __str__(self) -> str:
        lines = [f"{self.where}: {self.problem}" if self.where else self.problem]
        for label, text in (("expected", self.expected), ("found", self.found), ("to fix it", self.fix)):
            if text:
                lines.append(f"  {label}: {text}")
        return "\n".join(lines)


class InputError(HistoscribeError):
    """The user's files are refused: damaged, of the wrong kind, or they do not fit each other."""


class ConfigError(HistoscribeError):
    """An option, a configuration file, an encoder card or an argument is refused."""


class WeightsError(HistoscribeError):
    """The weights of an encoder cannot be had, or are not the ones its card names."""


class ResultError(HistoscribeError):
    """A result folder is in use, cannot be written, is incomplete or is damaged."""


OUT_OF_MEMORY = (
    "this machine has not enough free memory for this; close other programs, take a smaller section, "
    "or set HISTOSCRIBE_MAX_INPUT_GB lower to be refused before the work"
)


def listing(names: Iterable[object], limit: int = 8) -> str:
    """Join names for a message, shortened with a count after `limit` of them."""
    items = [str(name) for name in names]
    text = ", ".join(items[:limit]) or "none"
    return text if len(items) <= limit else f"{text} and {len(items) - limit:,} more"


def nearest(name: str, names: Iterable[str]) -> str:
    """Say which of `names` are meant by a misspelt `name`, or list them."""
    known = sorted(names)
    close = get_close_matches(name[:100], known, n=3, cutoff=0.5)  # longer ones take minutes, and are near to nothing
    return f"did you mean {listing(close)}?" if close else f"choose one of: {listing(known, 40)}"
