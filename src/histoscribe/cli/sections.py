"""Verbs on sections: demo, check, run, verify, doctor and encoders."""

from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from histoscribe.cli.app import (
    COLOURS,
    REFUSED,
    WARNED,
    Show,
    app,
    console,
    documented_by,
    err,
    listener,
    print_outcomes,
    say,
)
from histoscribe.cli.options import settings_from, takes
from histoscribe.errors import HistoscribeError
from histoscribe.io.preflight import Preflight
from histoscribe.io.reading import Reading
from histoscribe.run import demo as demo_module
from histoscribe.run import doctor as doctor_module
from histoscribe.run import verbs
from histoscribe.run.check_page import page_of
from histoscribe.run.section.settings import RunConfig
from histoscribe.section import PICTURE
from histoscribe.store.cohort import write_beside
from histoscribe.store.files import canonical


@app.command
@documented_by(demo_module.demo)
def demo(
    *,
    out: Path = Path("demo_result"),
    corrupt: Annotated[Literal["swap", "scale"] | None, Parameter(name="--break")] = None,
    show: Show | None = None,
) -> int:
    """Run the demo and print where its pieces lie and the agreement with the truth."""
    with listener(show) as listen:
        made = demo_module.demo(out, corrupt=corrupt, listen=listen)
    scores = made.outcome.scores or {}
    say(f"vendor folder  {made.vendor_folder}")
    say(f"report         {Path(made.outcome.folder or out) / 'report.html'}")
    say(f"agreement      {_agreement(scores)}")
    say(f"look at it     histoscribe view {made.outcome.folder or out}")
    return 0


@app.command
@documented_by(verbs.check)
def check(
    path: Path,
    *,
    allow_damaged: bool = False,
    align: bool = False,
    mpp: float | None = None,
    section: str | None = None,
    section_column: str | None = None,
    json: Annotated[Path | None, Parameter(help="Write everything to this file too, an object per section.")] = None,
    page: Annotated[Path | None, Parameter(help="Write a page with the pictures and their spots to this file.")] = None,
) -> int:
    """Print what was read and every finding of the preflight; the exit status says the worst of them."""
    checked = verbs.check(
        path,
        allow_damaged=allow_damaged,
        align=align,
        mpp=mpp,
        section=section,
        section_column=section_column,
    )
    if json is not None:
        write_beside(json, canonical([_check_record(reading, found) for reading, found in checked]))
    if page is not None:
        write_beside(page, page_of(checked).encode())
    for reading, found in checked:
        _print_check(reading, found)
    levels = {finding.level for _, found in checked if found is not None for finding in found.findings}
    if "refused" in levels or any(found is None for _, found in checked):
        return REFUSED
    return WARNED if "warning" in levels else 0


def _check_record(reading: Reading | HistoscribeError, found: Preflight | None) -> dict[str, Any]:
    if isinstance(reading, HistoscribeError) or found is None:
        return {"refused": True, "error": str(reading)}
    return {"format": reading.format, "why": reading.why, "notes": list(reading.notes), **found.to_dict()}


def _print_check(reading: Reading | HistoscribeError, found: Preflight | None) -> None:
    if isinstance(reading, HistoscribeError) or found is None:
        err.print(f"[red]refused[/red] {escape(str(reading))}")
        return
    section = reading.section
    say(f"{section.name}: {reading.format} ({reading.why})")
    if section.platform == PICTURE:
        size = "{:,} x {:,} px".format(*section.require_image().shape[::-1])
    else:
        genes = f"{section.spots.n_vars:,} genes" if section.has_counts else "no counts"
        size = f"{section.spots.n_obs:,} spots, {genes}"
    say(f"  {size}, {section.mpp:.4g} um/px")
    for note in reading.notes:
        say(f"  note: {note}")
    for finding in found.findings:
        console.print(
            f"  [{COLOURS[finding.level]}]{finding.level:8}[/] {escape(finding.name)}: {escape(finding.message)}"
        )
        if finding.level != "ok" and finding.fix:
            say(f"           to fix it: {finding.fix}")


@app.command
@documented_by(verbs.run_sections)
@takes("settings", RunConfig, maps="--map")
def run(path: Path, *, out: Path, mpp: float | None = None, settings: Any = None, show: Show | None = None) -> int:
    """Run the sections and print where the reports lie, or which sections failed and why."""
    config = settings_from(settings, RunConfig())
    with listener(show) as listen:
        outcomes = verbs.run_sections(path, out=out, config=config, mpp=mpp, listen=listen)
    return print_outcomes(outcomes, out)


@app.command
@documented_by(verbs.verify)
def verify(folder: Path) -> int:
    """Print every file that is not as it was written."""
    status = 0
    for name, found in verbs.verify(folder).items():
        where = folder if name == "." else folder / name
        for damage in found.damages:
            err.print(f"[red]damaged[/red] {escape(f'{where / damage.path}: {damage.problem}')}")
        for stranger in found.strangers:
            say(f"note: {where / stranger} is not of this result")
        if found.ok:
            say(
                f"{where}: whole; {found.n_files:,} files, {found.n_bytes / 1e6:,.1f} MB read back as they were written"
            )
        else:
            err.print(
                escape(f"{where}: {len(found.damages):,} of {found.n_files:,} files are not as they were written")
            )
            status = REFUSED
    return status


@app.command
@documented_by(doctor_module.doctor)
def doctor() -> int:
    """Print a table of findings."""
    table = Table("what", "", "seen", "to fix it")
    findings = doctor_module.doctor()
    for one in findings:
        table.add_row(one.name, f"[{COLOURS[one.level]}]{one.level}[/]", escape(one.message), escape(one.fix))
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


def _agreement(scores: dict[str, Any]) -> str:
    ari = scores["ari"]
    floors = ", ".join(f"{name} alone {ari[name]:.2f}" for name in ("coordinates", "colour") if ari[name] is not None)
    return f"ARI {ari['score']:.2f} with the known domains ({floors})"
