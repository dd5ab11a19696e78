"""Verbs on tissue domains: domains and score."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from cyclopts import Parameter
from rich.table import Table

from histoscribe.cli.app import Show, app, console, documented_by, listener, say, tell_notes, tell_outcomes
from histoscribe.run import domains as run_domains
from histoscribe.run.blocks import clustered
from histoscribe.run.config import RunConfig, read_config
from histoscribe.run.transfer import transfer

FLOORS = ("coordinates", "colour", "depth")
METRICS = {
    "ari": "adjusted Rand index",
    "nmi": "normalised mutual information",
    "boundary": "agreement of borders",
    "coherence": "neighbours of one domain",
}


@Parameter(name="*")
@dataclass(frozen=True)
class Settings:
    """What is rarely changed."""

    clustering: Literal["mixture", "leiden"] | None = None
    """What divides the spots in niche: a Gaussian mixture, or Leiden; the mixture where not given."""
    encoder: str | None = None
    """Name of an encoder, or path of a card in TOML; "morphology", which needs no weights, where not given."""
    seed: int | None = None
    """Seed of everything random."""
    config: Path | None = None
    """File run.toml with any setting; the options given here win over it."""
    transfer: Path | None = None
    """Result of another section, whose domains are told to this slide from its picture alone."""


@app.command
@documented_by(run_domains.domains)
def domains(
    path: Path,
    *,
    out: Path,
    method: Literal["niche", "niche-leiden", "efnst", "histology"] | None = None,
    n_domains: int | None = None,
    consensus: bool = False,
    settings: Settings | None = None,
    show: Show | None = None,
) -> int:
    """Find the domains and print where the reports lie, or which sections were refused and why."""
    given = settings or Settings()
    if given.transfer is not None:
        return _transferred(path, out, given, show)
    config = RunConfig(encoder=run_domains.ENCODER) if given.config is None else read_config(given.config)
    config = config.updated(encoder=given.encoder, seed=given.seed)
    method_used = clustered(method, given.clustering)
    with listener(show) as listen:
        outcomes = run_domains.domains(
            path, out=out, method=method_used, n_domains=n_domains, consensus=consensus, config=config, listen=listen
        )
    return tell_outcomes(outcomes, out)


def _transferred(path: Path, out: Path, given: Settings, show: Show | None) -> int:
    with listener(show) as listen:
        outcome = transfer(path, result=given.transfer or out, out=out, encoder=given.encoder, listen=listen)
    say(f"{outcome.section}: {outcome.n_spots:,} spots, {outcome.n_domains} domains told")
    tell_notes(outcome.notes)
    say(f"table  {out / 'domains.csv'}")
    return 0


@app.command
@documented_by(run_domains.score)
def score(result: Path, *, labels: Path, column: str | None = None, out: Path | None = None) -> int:
    """Print every score beside its floors."""
    scores = run_domains.score(result, labels=labels, column=column, out=out)
    table = Table("score", "this result", *(f"{floor} only" for floor in FLOORS))
    for metric, name in METRICS.items():
        row = scores[metric]
        table.add_row(name, _number(row["score"]), *(_number(row[floor]) for floor in FLOORS))
    console.print(table)
    say(f"{scores['scored']:,} spots scored, {scores['dropped']:,} without a label dropped")
    say(f"{scores['n_domains']} domains found, {scores['n_truth']} known")
    say(f"written  {out or result / run_domains.SCORE}")
    return 0


def _number(value: Any) -> str:
    return "not known" if value is None else f"{float(value):.3f}"
