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


def stage_event(stage: str, state: str, *, section: str = "") -> Event:
    """Say that a stage has "started", is "done" or "reused", or was "refused"."""
    return {"event": "stage", "section": section, "stage": stage, "state": state}


def note_event(text: str, *, section: str = "") -> Event:
    """Say before the work what a user should know of it, such as that it takes long."""
    return {"event": "note", "section": section, "text": text}


def progress_of(listen: Listener, stage: str, *, section: str = "") -> Callable[[int, int], None]:
    """Return what a stage calls to say how far it is."""

    def report(done: int, total: int) -> None:
        listen({"event": "progress", "section": section, "stage": stage, "done": done, "total": total})

    return report


def broadcast(listeners: list[Listener]) -> Listener:
    """One listener that passes every event on to `listeners`."""

    def listen(event: Event) -> None:
        for listener in listeners:
            listener(event)

    return listen


@contextmanager
def json_log(path: Path) -> Iterator[Listener]:
    """Append every event to `path`, one JSON object a line, flushed at once so that a killed run leaves its trace.

    Raises
    ------
    ConfigError
        A place that cannot be written, or a file that is no log of events: nothing is added to other files.
    """
    if path.exists() and not _is_log(path):
        raise ConfigError(
            "this file is no log of histoscribe, so nothing is added to it",
            where=path,
            fix="give the name of a new file, or of an earlier log, with --log-json",
        )
    try:
        file = path.open("a", encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot be written ({error})", where=path, fix="give another file with --log-json"
        ) from error

    def listen(event: Event) -> None:
        file.write(json.dumps({"time": round(time.time(), 3), **event}) + "\n")
        file.flush()

    with file:
        yield listen


def _is_log(path: Path) -> bool:
    """Whether a file is empty or begins with an event."""
    if not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            first = file.readline(1_000_000)
        event = json.loads(first) if first.strip() else {"event": "none"}
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(event, dict) and "event" in event
