"""Verbs on predictors: evaluate, fit and predict."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from histoscribe.cli.app import (
    INCOMPLETE,
    Show,
    app,
    console,
    documented_by,
    err,
    listener,
    print_notes,
    print_reused,
    say,
)
from histoscribe.cli.options import settings_from, takes
from histoscribe.run.cohort import evaluate as evaluating
from histoscribe.run.cohort import fit as fitting
from histoscribe.run.cohort import predict as predicting
from histoscribe.run.cohort.options import PredictOptions
from histoscribe.run.requests import ReadOptions

_COLUMNS = {
    "mean_pearson": "Pearson",
    "mean_pearson_given_depth": "depth taken out",
    "mean_spot_spearman": "per-spot Spearman",
    "constant_spot_spearman": "constant ranking",
    "mean_error_ratio": "error ratio",
    "share_of_ceiling": "share of ceiling",
}


@app.command
@documented_by(evaluating.evaluate)
@takes("settings", PredictOptions, leave_out=("heads", "stacks", "head_options"), encoders="--encoder")
def evaluate(
    samplesheet: Path,
    *,
    out: Path,
    heads: Annotated[str | None, Parameter(help="Names of heads, separated by commas.")] = None,
    stacks: Annotated[str | None, Parameter(help="How heads are combined: ridge, mlp or ridge,mlp.")] = None,
    settings: Any = None,
    show: Show | None = None,
) -> int:
    """Evaluate and print the ladder of heads with baselines and ceilings."""
    options = settings_from(settings, PredictOptions()).updated(heads=_names(heads), stacks=_names(stacks))
    with listener(show) as listen:
        found = evaluating.evaluate(samplesheet, out=out, options=options, listen=listen)
    scores = found.scores
    if scores["leaky"]:
        err.print(f"[yellow]{escape(scores['warning'])}[/yellow]")
    print_notes(found.notes)
    console.print(ladder(scores))
    if scores["ceiling"] is not None:
        say(f"noise ceiling {scores['ceiling']:.3f} (mean over genes and sections)")
    say(f"chosen by inner folds: {scores['chosen']}")
    say(f"report  {found.folder / 'report.html'}")
    return 0


@app.command
@documented_by(fitting.fit)
@takes("settings", PredictOptions, leave_out=("heads", "stacks", "head_options"), encoders="--encoder")
def fit(
    samplesheet: Path, *, out: Path, head: str | None = None, settings: Any = None, show: Show | None = None
) -> int:
    """Fit, and print what the model's own cards say."""
    options = settings_from(settings, PredictOptions())
    with listener(show) as listen:
        model = fitting.fit(samplesheet, out=out, head=head, options=options, listen=listen)
    if model.facts["inner"]["warning"]:
        err.print(f"[yellow]{escape(model.facts['inner']['warning'])}[/yellow]")
    say(model.facts["evidence"]["sentence"])
    print_notes(model.facts.get("notes", ()))
    counts = {verdict: sum(card["verdict"] == verdict for card in model.cards) for verdict in ("use", "caution")}
    say(f"{model.called}: {len(model.cards):,} targets; {counts['use']:,} to use, {counts['caution']:,} with caution")
    say(f"model card  {out / 'MODEL_CARD.md'}")
    return 0


@app.command
@documented_by(predicting.predict)
def predict(
    model: Path,
    path: Path,
    *,
    out: Path,
    encoders: Annotated[list[str] | None, Parameter(name="--encoder", negative=())] = None,
    mpp: float | None = None,
    molecules: float | None = None,
    reading: Annotated[ReadOptions | None, Parameter(name="*")] = None,
    show: Show | None = None,
) -> int:
    """Predict, and print every warning."""
    with listener(show) as listen:
        found = predicting.predict(
            model,
            path,
            out=out,
            encoders=encoders,
            mpp=mpp,
            molecules=molecules,
            reading=reading,
            listen=listen,
        )
    for name, one in found.items():
        say(f"{name}: {one.table.n_obs:,} spots, {one.table.n_vars:,} targets")
        print_notes(found.outcomes[name].notes)
        print_reused(found.outcomes[name].reused)
        say(f"{name}: {one.advice}")
        for remark in one.remarks:
            say(f"{name}: {remark}")
        for warning in one.warnings:
            err.print(f"[yellow]warning[/yellow] {escape(name)}: {escape(warning)}")
    for name, reason in found.refused.items():
        say(f"{name}: refused. {reason}")
    say(f"predictions  {out}")
    if (out / "report.html").is_file():
        say(f"report       {out / 'report.html'}")
    return INCOMPLETE if found.refused else 0


def ladder(scores: dict[str, Any]) -> Table:
    """Return the heads as a table, the best first."""
    columns = [
        key for key in _COLUMNS if any(head["average"].get(key) is not None for head in scores["heads"].values())
    ]
    title = "LEAKY" if scores["leaky"] else None
    table = Table("head", "", *[_COLUMNS[key] for key in columns], title=title)

    def height(item: tuple[str, Any]) -> tuple[float, str]:
        score = item[1]["average"].get(scores["main"])
        return (-float(score) if score is not None else 2.0, item[0])

    for name, head in sorted(scores["heads"].items(), key=height):
        values = [head["average"].get(key) for key in columns]
        table.add_row(name, head["role"], *["-" if value is None else f"{value:.3f}" for value in values])
    return table


def _names(text: str | None) -> tuple[str, ...] | None:
    return tuple(name.strip() for name in text.split(",") if name.strip()) if text else None
