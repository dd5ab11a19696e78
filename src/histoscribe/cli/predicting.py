"""Verbs on predictors: evaluate, fit and predict."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from rich.markup import escape
from rich.table import Table

from histoscribe.cli.app import Show, app, console, documented_by, err, listener, say
from histoscribe.run import predicting
from histoscribe.run.predict_options import PredictOptions, read_options

_COLUMNS = {
    "mean_pearson": "Pearson",
    "mean_pearson_given_depth": "depth taken out",
    "mean_spot_spearman": "per-spot Spearman",
    "constant_spot_spearman": "constant ranking",
    "mean_error_ratio": "error ratio",
    "share_of_ceiling": "share of ceiling",
}


@Parameter(name="*")
@dataclass(frozen=True)
class Describe:
    """What is predicted, and how spots are described."""

    target: Literal["genes", "abundance"] | None = None
    """Genes, or abundances of cell types."""
    genes: str | None = None
    """abundant, variable, or a file with one gene per line."""
    n_genes: int | None = None
    """How many genes are chosen."""
    scale: Literal["log1p_cp10k", "log10_panel"] | None = None
    """ln(1 + counts per 10,000 of the whole library), or log10 within the chosen genes."""
    encoders: Annotated[list[str] | None, Parameter(name="--encoder", negative=())] = None
    """Name of an encoder, or path of a card in TOML; given several times, all of them describe a spot."""
    stain: Literal["none", "macenko", "reinhard"] | None = None
    """Give all sections the colours of the first training section."""
    mpp: float | None = None
    """Bring all sections to so many microns per pixel."""
    seed: int | None = None
    """Seed of everything random."""
    config: Path | None = None
    """TOML file with any option; the ones given here win."""

    def options(self) -> PredictOptions:
        """Return the options, those of the file first."""
        given = {name: value for name, value in vars(self).items() if name not in ("config", "encoders")}
        given["encoders"] = tuple(self.encoders) if self.encoders else None
        return (read_options(self.config) if self.config else PredictOptions()).updated(**given)


@app.command
@documented_by(predicting.evaluate)
def evaluate(
    samplesheet: Path,
    *,
    out: Path,
    heads: Annotated[str | None, Parameter(help="Names of heads, separated by commas.")] = None,
    stacks: Annotated[str | None, Parameter(help="How heads are combined: ridge, mlp or ridge,mlp.")] = None,
    by: Literal["auto", "patient", "section", "blocks"] | None = None,
    describe: Describe | None = None,
    show: Show | None = None,
) -> int:
    """Evaluate and print the ladder of heads with baselines and ceilings."""
    options = (describe or Describe()).options().updated(by=by, heads=_names(heads), stacks=_names(stacks))
    with listener(show) as listen:
        found = predicting.evaluate(samplesheet, out=out, options=options, listen=listen)
    scores = found.scores
    if scores["leaky"]:
        err.print(f"[yellow]{escape(scores['warning'])}[/yellow]")
    console.print(ladder(scores))
    if scores["ceiling"] is not None:
        say(f"noise ceiling {scores['ceiling']:.3f} (mean over genes and sections)")
    say(f"chosen by inner folds: {scores['chosen']}")
    say(f"report  {found.folder / 'report.html'}")
    return 0


@app.command
@documented_by(predicting.fit)
def fit(
    samplesheet: Path, *, out: Path, head: str = "ridge", describe: Describe | None = None, show: Show | None = None
) -> int:
    """Fit, and print what the model's own cards say."""
    options = (describe or Describe()).options()
    with listener(show) as listen:
        model = predicting.fit(samplesheet, out=out, head=head, options=options, listen=listen)
    if model.facts["inner"]["warning"]:
        err.print(f"[yellow]{escape(model.facts['inner']['warning'])}[/yellow]")
    counts = {verdict: sum(card["verdict"] == verdict for card in model.cards) for verdict in ("use", "caution")}
    say(f"{head}: {len(model.cards):,} targets; {counts['use']:,} to use, {counts['caution']:,} with caution")
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
    show: Show | None = None,
) -> int:
    """Predict, and print every warning."""
    with listener(show) as listen:
        found = predicting.predict(model, path, out=out, encoders=encoders, mpp=mpp, listen=listen)
    for name, one in found.items():
        say(f"{name}: {one.table.n_obs:,} spots, {one.table.n_vars:,} targets")
        for remark in one.remarks:
            say(f"{name}: {remark}")
        for warning in one.warnings:
            err.print(f"[yellow]warning[/yellow] {escape(name)}: {escape(warning)}")
    say(f"predictions  {out}")
    return 0


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
