"""The command line: each verb a thin call of the public function of the same name, whose docstring is its help.

Exit status: 0 success, 1 a fault that is ours, 2 refused input or usage, 3 some sections of a sample sheet did not
finish.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

import histoscribe
from histoscribe.errors import HistoscribeError
from histoscribe.run import demo as demo_module
from histoscribe.run import doctor as doctor_module
from histoscribe.run import verbs
from histoscribe.run.events import Event, Listener, json_log, tell_all

REFUSED, INCOMPLETE = 2, 3
_COLOURS = {"ok": "green", "warning": "yellow", "refused": "red", "broken": "red", "done": "green", "failed": "red"}

app = App(
    name="histoscribe",
    version=histoscribe.__version__,
    help="Reads what an H&E-stained tissue section says about its genes.",
    result_action="return_value",
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
    """How a long command tells what it does."""

    quiet: bool = False
    """Show no progress."""
    log_json: Path | None = None
    """Append every event of the run to this file, one JSON object a line."""


def _documented_by(function: Callable[..., Any]) -> Callable[[F], F]:
    def copy_docstring(verb: F) -> F:
        verb.__doc__ = function.__doc__
        return verb

    return copy_docstring


@app.command
@_documented_by(demo_module.demo)
def demo(
    *,
    out: Path = Path("demo_result"),
    corrupt: Annotated[Literal["swap", "scale"] | None, Parameter(name="--break")] = None,
    show: Show | None = None,
) -> int:
    """Run the demo and print where its pieces lie and the agreement with the truth."""
    with _listener(show) as listen:
        made = demo_module.demo(out, corrupt=corrupt, listen=listen)
    scores = made.outcome.scores or {}
    _say(f"vendor folder  {made.vendor_folder}")
    _say(f"report         {Path(made.outcome.folder or out) / 'report.html'}")
    _say(f"agreement      {_agreement(scores)}")
    return 0


@app.command
@_documented_by(verbs.check)
def check(path: Path) -> int:
    """Print what was read and every finding of the preflight."""
    status = 0
    for reading, found in verbs.check(path):
        if isinstance(reading, HistoscribeError) or found is None:
            err.print(f"[red]refused[/red] {escape(str(reading))}")
            status = REFUSED
            continue
        section = reading.section
        genes = f"{section.spots.n_vars:,} genes" if section.has_counts else "no counts"
        _say(f"{section.name}: {reading.format} ({reading.why})")
        _say(f"  {section.spots.n_obs:,} spots, {genes}, {section.mpp:.4g} um/px")
        for note in reading.notes:
            _say(f"  note: {note}")
        for finding in found.findings:
            console.print(
                f"  [{_COLOURS[finding.level]}]{finding.level:8}[/] {escape(finding.name)}: {escape(finding.message)}"
            )
            if finding.level != "ok" and finding.mend:
                _say(f"           to mend it: {finding.mend}")
        status = REFUSED if found.refused else status
    return status


@app.command
@_documented_by(verbs.run_sections)
def run(
    path: Path,
    *,
    out: Path,
    encoder: str | None = None,
    n_domains: int | None = None,
    config: Path | None = None,
    seed: int | None = None,
    show: Show | None = None,
) -> int:
    """Run the sections and print where the reports lie, or which sections failed and why."""
    with _listener(show) as listen:
        outcomes = verbs.run_sections(
            path, out=out, encoder=encoder, n_domains=n_domains, config=config, seed=seed, listen=listen
        )
    if len(outcomes) == 1 and outcomes[0].folder == out:
        outcome = outcomes[0]
        _say(f"{outcome.section}: {outcome.n_spots:,} spots, {outcome.n_domains} domains")
        _say(f"report  {out / 'report.html'}")
        return 0
    table = Table("section", "status", "spots", "domains", "reason or report")
    for one in outcomes:
        last = str(one.folder / "report.html") if one.folder else one.reason
        status = f"[{_COLOURS[one.status]}]{one.status}[/]"
        table.add_row(escape(one.section), status, f"{one.n_spots:,}", str(one.n_domains), escape(last))
    console.print(table)
    return 0 if all(one.status == "done" for one in outcomes) else INCOMPLETE


@app.command
@_documented_by(verbs.verify)
def verify(folder: Path) -> int:
    """Print every file that is not as it was written."""
    status = 0
    for name, found in verbs.verify(folder).items():
        where = folder if name == "." else folder / name
        for damage in found.damages:
            err.print(f"[red]damaged[/red] {escape(f'{where / damage.path}: {damage.problem}')}")
        for stranger in found.strangers:
            _say(f"note: {where / stranger} is not of this result")
        if found.ok:
            _say(
                f"{where}: whole; {found.n_files:,} files, {found.n_bytes / 1e6:,.1f} MB read back as they were written"
            )
        else:
            err.print(
                escape(f"{where}: {len(found.damages):,} of {found.n_files:,} files are not as they were written")
            )
            status = REFUSED
    return status


@app.command
@_documented_by(doctor_module.doctor)
def doctor() -> int:
    """Print a table of findings."""
    table = Table("what", "", "seen", "to mend it")
    findings = doctor_module.doctor()
    for one in findings:
        table.add_row(one.name, f"[{_COLOURS[one.level]}]{one.level}[/]", escape(one.message), escape(one.mend))
    console.print(table)
    return REFUSED if any(one.level == "broken" for one in findings) else 0


@app.command
def encoders() -> int:
    """List the encoders that can be named, and whether each can be used here and now."""
    from histoscribe.encoders import availability, cards

    table = Table("name", "backend", "size", "numbers", "um/px", "licence", "gated", "available here")
    for card in cards():
        state = availability(card)
        here = "[green]yes[/]" if state.available else escape(f"no: {state.why}")
        mpp = f"{card.mpp:g}" if card.mpp else "-"
        gated = "yes" if card.gated else "no"
        table.add_row(card.name, card.backend, str(card.size), str(card.dimension), mpp, card.licence, gated, here)
    console.print(table)
    return 0


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with its status."""
    try:
        status = app(arguments, exit_on_error=False, print_error=False)
    except HistoscribeError as error:
        err.print(f"[red]refused[/red] {escape(str(error))}")
        status = REFUSED
    except CycloptsError as error:
        err.print(escape(f"{error}\nto mend it: histoscribe --help lists the commands and their options"))
        status = REFUSED
    except KeyboardInterrupt:
        err.print("stopped; the same command goes on from here")
        status = 130
    sys.exit(status if isinstance(status, int) else 0)


def _say(text: str) -> None:
    console.print(escape(text))


def _agreement(scores: dict[str, Any]) -> str:
    floors = ", ".join(f"{name} alone {floor['ari']:.2f}" for name, floor in scores.get("floors", {}).items())
    return f"ARI {scores['ari']:.2f} with the known domains ({floors})"


@contextmanager
def _listener(show: Show | None) -> Iterator[Listener]:
    """Give a progress bar where there is a terminal, a log where one is asked for."""
    show = show or Show()
    with ExitStack() as stack:
        listeners: list[Listener] = []
        if show.log_json is not None:
            listeners.append(stack.enter_context(json_log(show.log_json)))
        if err.is_terminal and not show.quiet:
            listeners.append(_Bar(stack.enter_context(_progress())))
        yield tell_all(listeners)


def _progress() -> Progress:
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
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
            self.task = self.progress.add_task(f"{event.get('section', '')} {event['stage']}".strip(), total=None)
        elif event["event"] == "progress" and self.task is not None:
            self.progress.update(self.task, completed=event["done"], total=event["total"])
        elif event["event"] == "stage":
            self._end()

    def _end(self) -> None:
        if self.task is not None:
            self.progress.remove_task(self.task)
            self.task = None
