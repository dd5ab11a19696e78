"""How the command line's process ends early, and where warnings of the package go."""

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.markup import escape

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]


class Terminated(KeyboardInterrupt):
    """The process was asked to end, as a scheduler, a closed terminal or `kill` does it."""


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """End on a signal as on Ctrl-C: work in hand is tidied up and no lock is left behind."""
    if threading.current_thread() is not threading.main_thread():  # where Python lets nobody set a handler
        yield
        return
    before = {number: signal.signal(number, _raise) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: FrameType | None) -> None:
    raise Terminated(signal.Signals(number).name)


@contextmanager
def warnings_shown(console: Console) -> Iterator[None]:
    """Show the package's warnings on the console, in one form."""
    logger, handler = logging.getLogger("histoscribe"), _Shown(console)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


class _Shown(logging.Handler):
    def __init__(self, console: Console) -> None:
        super().__init__(logging.WARNING)
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        self.console.print(f"[yellow]warning[/yellow] {escape(record.getMessage())}")
