"""Verbs on tissue domains: domains and score."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.table import Table

from histoscribe.cli.app import Show, app, console, documented_by, listener, print_outcomes, say
from histoscribe.cli.options import settings_from, takes, typed
from histoscribe.errors import ConfigError, listing
from histoscribe.run import domains as run_domains
from histoscribe.run.requests import ReadOptions
from histoscribe.run.section import score as run_score
from histoscribe.run.section.settings import RunConfig
from histoscribe.run.section.transfer import transfer as run_transfer

FLOORS = ("coordinates", "colour", "depth")
Transfer = Annotated[
    Path | None,
    Parameter(help="Result of another section; its domains are found on this slide from the picture alone."),
]
METRICS = {
    "ari": "adjusted Rand index",
    "nmi": "normalised mutual information",
    "boundary": "agreement of borders",
    "coherence": "neighbours of one domain",
}


@app.command
@documented_by(run_domains.domains)
@takes("settings", RunConfig, maps="--map")
def domains(
    path: Path,
    *,
    out: Path,
    transfer: Transfer = None,
    mpp: float | None = None,
    settings: Any = None,
    show: Show | None = None,
) -> int:
    """Find the domains and print where the reports lie, or which sections were refused and why."""
    if transfer is not None:
        return _transferred(path, out, transfer, mpp, settings, show)
    config = settings_from(settings, RunConfig(encoder=run_domains.ENCODER))
    with listener(show) as listen:
        outcomes = run_domains.domains(path, out=out, config=config, mpp=mpp, listen=listen)
    return print_outcomes(outcomes, out)


def _transferred(path: Path, out: Path, result: Path, mpp: float | None, settings: Any, show: Show | None) -> int:
    asked = {name: value for name, value in typed(settings).items() if value is not None}
    encoder = asked.pop("encoder", None)
    reading = ReadOptions().updated(**{name: asked.pop(name, None) for name in ReadOptions().reading()})
    if asked or (settings and settings.config):
        raise ConfigError(
            "domains are transferred with the settings of the result that they come from",
            where="--transfer",
            found=listing([*asked, *(["config"] if settings.config else [])]),
            fix="leave these options out; --encoder takes the path of the card where the result was made with one",
        )
    with listener(show) as listen:
        outcomes = run_transfer(path, result=result, out=out, encoder=encoder, mpp=mpp, reading=reading, listen=listen)
    return print_outcomes(outcomes, out)


@app.command
@documented_by(run_score.score)
def score(result: Path, *, labels: Path, column: str | None = None, out: Path | None = None) -> int:
    """Print every score beside its floors."""
    scores = run_score.score(result, labels=labels, column=column, out=out)
    table = Table("score", "this result", *(f"{floor} only" for floor in FLOORS))
    for metric, name in METRICS.items():
        row = scores[metric]
        table.add_row(name, _number(row["score"]), *(_number(row[floor]) for floor in FLOORS))
    console.print(table)
    say(f"{scores['scored']:,} spots scored, {scores['dropped']:,} without a label dropped")
    say(f"{scores['n_domains']} domains found, {scores['n_truth']} known")
    if out is not None:
        say(f"written  {out}")
    return 0


def _number(value: Any) -> str:
    return "not known" if value is None else f"{float(value):.3f}"
