"""What the verbs of the command line share: the application, where text goes, and how long work is shown."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from cyclopts import App, Parameter
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from histoscribe._version import __version__
from histoscribe.run.events import Event, Listener, broadcast, json_log
from histoscribe.run.several import Outcome

REFUSED, INCOMPLETE, WARNED = 2, 3, 4
COLOURS = {
    "ok": "green",
    "open": "cyan",
    "warning": "yellow",
    "refused": "red",
    "broken": "red",
    "done": "green",
    "failed": "red",
}

app = App(
    name="histoscribe",
    version=__version__,
    help="Reads what an H&E-stained tissue section says about its genes.",
    result_action="return_value",
    suppress_keyboard_interrupt=False,  # it would end silently
)
_WIDE = 240  # columns of a table that goes to a file or a pipe: nothing in it is cut


def _console(*, stderr: bool) -> Console:
    made = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not made.is_terminal:
        made.width = _WIDE
    return made


console, err = _console(stderr=False), _console(stderr=True)

F = TypeVar("F", bound=Callable[..., Any])


@Parameter(name="*")
@dataclass(frozen=True)
class Show:
    """How a long command shows what it does."""

    quiet: bool = False
    """Show no progress."""
    log_json: Path | None = None
    """Append every event of the run to this file, one JSON object a line."""


def documented_by(function: Callable[..., Any]) -> Callable[[F], F]:
    """Give a verb the docstring of the public function that it calls."""

    def copy_docstring(verb: F) -> F:
        verb.__doc__ = function.__doc__
        return verb

    return copy_docstring


def say(text: str) -> None:
    """Print text as it is."""
    console.print(escape(text))


@contextmanager
def listener(show: Show | None) -> Iterator[Listener]:
    """Give a progress bar where there is a terminal, notes before long work, a log where one is asked for."""
    show = show or Show()
    with ExitStack() as stack:
        listeners: list[Listener] = []
        if show.log_json is not None:
            listeners.append(stack.enter_context(json_log(show.log_json)))
        if not show.quiet:
            listeners.append(_print_note)
        if err.is_terminal and not show.quiet:
            listeners.append(_Bar(stack.enter_context(_progress())))
        yield broadcast(listeners)


def _print_note(event: Event) -> None:
    if event["event"] == "note":
        err.print(escape(f"note    {event['text']}"))


def print_notes(notes: Sequence[str]) -> None:
    """Print what was decided in reading a section."""
    for note in notes:
        say(f"note    {note}")


def print_reused(stages: Sequence[str]) -> None:
    """Print which stages had been done before and were taken over."""
    if stages:
        say(f"reused  {', '.join(stages)}: done before, and nothing that they depend on has changed")


def print_outcomes(outcomes: Sequence[Outcome], out: Path) -> int:
    """Print where the reports lie, or which sections ended otherwise and why; returns the exit status."""
    if len(outcomes) == 1 and outcomes[0].folder == out:
        outcome = outcomes[0]
        say(f"{outcome.section}: {outcome.n_spots:,} spots, {outcome.n_domains} domains")
        print_notes(outcome.notes)
        print_reused(outcome.reused)
        say(f"report  {out / 'report.html'}")
        return 0
    facts = list(dict.fromkeys(name for one in outcomes for name in one.facts))
    table = Table("section", "status", *facts, "reason or report")
    for one in outcomes:
        last = str(one.folder / "report.html") if one.folder else one.reason
        status = f"[{COLOURS[one.status]}]{one.status}[/]"
        numbers = [f"{one.facts[name]:,}" if name in one.facts else "" for name in facts]
        table.add_row(escape(one.section), status, *numbers, escape(last))
    console.print(table)
    return 0 if all(one.status == "done" for one in outcomes) else INCOMPLETE


def _progress() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[count]}"),
        TimeElapsedColumn(),
    )
    return Progress(*columns, console=err, transient=True)


class _Bar:
    """Shows the events of a run as one bar per stage."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress
        self.task: TaskID | None = None

    def __call__(self, event: Event) -> None:
        if event["event"] == "stage" and event["state"] == "started":
            self._end()
            self.task = self.progress.add_task(
                f"{event.get('section', '')} {event['stage']}".strip(), total=None, count=""
            )
        elif event["event"] == "progress" and self.task is not None:
            done, total = event["done"], event["total"]
            self.progress.update(self.task, completed=done, total=total, count=f"{done:,} of {total:,}")
        elif event["event"] == "stage":
            self._end()

    def _end(self) -> None:
        if self.task is not None:
            self.progress.remove_task(self.task)
            self.task = None
