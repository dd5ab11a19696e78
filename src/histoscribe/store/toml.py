"""TOML that a user gives or was given: read only where it is a small regular file, whatever it says then."""

import stat
import tomllib
from pathlib import Path
from typing import Any

from histoscribe.errors import ConfigError

# the longest card or configuration is a few kilobytes
MOST_BYTES = 256 * 1024
_MOST_DOTS = 100  # before the equals sign of one line: parsing a key takes the square of its dots


def read_toml(path: Path, *, what: str) -> dict[str, Any]:
    """Read a TOML file.

    Parameters
    ----------
    path
        The file.
    what
        What it is, for messages: "the encoder card".

    Raises
    ------
    ConfigError
        Where it cannot be read, is no regular file (a pipe is never waited for), is too long, or is not TOML.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(
                f"{what} cannot be read: it is a folder, a pipe or a device",
                where=path,
                fix="give the path of a .toml file",
            )
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # a path may also hold what no path can hold
        raise ConfigError(
            f"{what} cannot be read",
            where=path,
            found=getattr(error, "strerror", None) or error,
            fix="give the path of a .toml file",
        ) from error
    if len(content) > MOST_BYTES:
        raise ConfigError(
            f"{what} cannot be read: it is too long",
            where=path,
            expected=f"at most {MOST_BYTES // 1024:,} KB",
            found=f"{found.st_size / 1024:,.0f} KB",
            fix="give the path of a .toml file",
        )
    if any(line.partition(b"=")[0].count(b".") > _MOST_DOTS for line in content.splitlines()):
        raise ConfigError(
            f"{what} is not read: a key in it is nested deeper than any that is known",
            where=path,
            expected="plain keys",
        )
    try:
        return tomllib.loads(content.decode("utf-8"))
    except RecursionError as error:
        raise ConfigError(f"{what} is not TOML: its brackets are nested too deeply", where=path) from error
    except ValueError as error:  # not UTF-8, not TOML, or a number of thousands of digits
        raise ConfigError(f"{what} is not TOML: {error}", where=path, expected="TOML in UTF-8") from error
