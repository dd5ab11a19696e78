"""What a run says while it works: plain events, handed to whoever listens (a progress bar, a log file, a test)."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from histoscribe.errors import ConfigError

Event = dict[str, Any]
Listener = Callable[[Event], None]


def silent(event: Event) -> None:
    """Listen to nothing."""


def tell_all(listeners: list[Listener]) -> Listener:
    """One listener that passes every event on to `listeners`."""

    def listen(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return listen


@contextmanager
def json_log(path: Path) -> Iterator[Listener]:
    """Append every event to `path`, one JSON object a line, flushed at once so that a killed run leaves its trace."""
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot be written ({error})", where=path, mend="give another file with --log-json"
        ) from error

    def listen(event: Event) -> None:
        file.write(json.dumps({"time": round(time.time(), 3), **event}) + "\n")
        file.flush()

    with file:
        yield listen
