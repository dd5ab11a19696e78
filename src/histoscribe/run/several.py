"""Several sections in one command: one policy for a section that is refused, and what lies beside their results."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from histoscribe.errors import OUT_OF_MEMORY, HistoscribeError, InputError
from histoscribe.io.reading import Request
from histoscribe.report import SUMMARY, SUMMARY_PAGE, summary_files
from histoscribe.run.events import Event, Listener, stage_event
from histoscribe.run.requests import ReadOptions, is_sheet, logged_reason, name_of, requests_of, written_reason
from histoscribe.store.cohort import open_cohort, write_cohort_files


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the work on one section ended.

    Parameters
    ----------
    section
        Its name.
    status
        "done", or "refused" with a reason for the user.
    reason
        Why it was refused; empty where done.
    folder
        Where the result lies; None where there is none.
    facts
        What was found, in numbers: `spots` and `domains`, or what else the command counts.
    scores
        Against known domains, where these were given.
    notes
        What was decided in reading the section, such as which picture was taken and which was passed over.
    reused
        Stages that had been done before with the same settings, and were taken over.
    """

    section: str
    status: str
    reason: str = ""
    folder: Path | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)
    scores: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    reused: tuple[str, ...] = ()

    @property
    def n_spots(self) -> int:
        """How many spots there are."""
        return int(self.facts.get("spots", 0))

    @property
    def n_domains(self) -> int:
        """How many domains were found."""
        return int(self.facts.get("domains", 0))


def one_or_each(
    path: Path,
    out: Path,
    how: ReadOptions,
    one: Callable[[Request, Path, Listener], Outcome],
    *,
    listen: Listener,
    mpp: float | None = None,
    more: Mapping[str, Callable[[Sequence[Outcome]], bytes | None]] | None = None,
) -> list[Outcome]:
    """Do the work on what lies at `path`: on one section in `out` itself, on several in a folder each.

    Parameters
    ----------
    how, mpp
        As of `requests_of`.
    one, more
        As of `each_section`.

    Returns
    -------
    One outcome per section. A single section that is refused raises instead.
    """
    requests = requests_of(path, how, mpp=mpp)
    if len(requests) == 1 and not is_sheet(path):
        listen(stage_event("read", "started"))
        return [one(requests[0], out, listen)]
    return each_section(requests, out, one, listen=listen, more=more)


def each_section(
    requests: Sequence[Request],
    out: Path,
    one: Callable[[Request, Path, Listener], Outcome],
    *,
    listen: Listener,
    more: Mapping[str, Callable[[Sequence[Outcome]], bytes | None]] | None = None,
) -> list[Outcome]:
    """Do the work on every section in a folder of its own below `out`; a refused section holds up no other.

    Only what is refused with a reason, or asks for more memory than there is, is passed over: a programming error ends
    the command.

    Parameters
    ----------
    one
        The work: a request, the section's folder, and who hears of it.
    more
        Name of a file to write beside the sections' folders, and what makes it of the outcomes, or None.

    Returns
    -------
    One outcome per section, in order; the same as a table in summary.csv and as a page in summary.html.
    """
    more = more or {}
    outcomes = attempt_each(requests, out, one, listen=listen, files=more)
    files = summary_files([_row(outcome) for outcome in outcomes])
    made = {name: make(outcomes) for name, make in more.items()}
    outdated = [name for name, data in made.items() if data is None]
    write_cohort_files(out, files | {name: data for name, data in made.items() if data is not None}, outdated=outdated)
    return outcomes


def attempt_each(
    requests: Sequence[Request],
    out: Path,
    one: Callable[[Request, Path, Listener], Outcome],
    *,
    listen: Listener,
    files: Iterable[str] = (),
) -> list[Outcome]:
    """Do the work on every section as `each_section` does, and write nothing beside their folders.

    Parameters
    ----------
    files
        Names of the files that will lie beside the sections' folders, besides the summary.
    """
    open_cohort(out, [name_of(request) for request in requests], files=(SUMMARY, SUMMARY_PAGE, *files))
    return [_attempt(request, out, one, listen) for request in requests]


def require_all(refused: Mapping[str, str], n_sections: int, *, where: Path, why: str) -> None:
    """Refuse to go on without the sections that were refused.

    Parameters
    ----------
    refused
        Reason by name of the section.
    why
        What a missing section changes.

    Raises
    ------
    InputError
        Naming each of them with its reason; nothing where none was refused.
    """
    if refused:
        raise InputError(
            f"{len(refused)} of {n_sections} sections are refused, and without them {why}",
            where=where,
            found="\n".join(f"{name}: {reason}" for name, reason in refused.items()),
            fix="correct them, or leave them out with --skip-refused, which the result then says",
        )


def _attempt(
    request: Request, out: Path, one: Callable[[Request, Path, Listener], Outcome], listen: Listener
) -> Outcome:
    name = name_of(request)

    def named(event: Event) -> None:
        listen(event | {"section": event.get("section") or name})

    named(stage_event("read", "started"))
    try:
        return one(request, out / name, named)
    except HistoscribeError as error:
        reason, logged = written_reason(str(error), request), logged_reason(str(error), request)
    except MemoryError:
        reason = logged = OUT_OF_MEMORY
    named({"event": "refused", "reason": logged})
    return Outcome(name, "refused", reason)


def _row(outcome: Outcome) -> dict[str, Any]:
    page = outcome.folder is not None and (outcome.folder / "report.html").is_file()
    return {
        "section": outcome.section,
        "status": outcome.status,
        "reason": outcome.reason,
        "page": f"{outcome.section}/report.html" if page else None,
        "facts": outcome.facts,
    }
