"""Verb on maps: map."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from rich.markup import escape

from histoscribe.cli.app import Show, app, documented_by, err, listener, print_notes, print_outcomes, print_reused, say
from histoscribe.cli.options import settings_from, takes
from histoscribe.maps.read import Maps, read_maps
from histoscribe.run.maps import section as maps_module
from histoscribe.run.maps.scores import mean_pearson
from histoscribe.run.maps.settings import MapSettings


@app.command(name="map")
@documented_by(maps_module.map_section)
@takes("settings", MapSettings, mapper="--method")
def map_genes(
    path: Path,
    *,
    out: Path,
    model: Annotated[Path | None, Parameter(help="Map a slide without counts with the maps in this folder.")] = None,
    mpp: float | None = None,
    settings: Any = None,
    show: Show | None = None,
) -> int:
    """Map the genes and print where the page lies and how well left-out spots were predicted."""
    chosen = settings_from(settings, MapSettings(genes="all" if model is not None else MapSettings().genes))
    with listener(show) as listen:
        outcomes = maps_module.map_sections(path, out=out, settings=chosen, model=model, mpp=mpp, listen=listen)
    if len(outcomes) > 1 or outcomes[0].folder != out:
        return print_outcomes(outcomes, out)
    print_reused(outcomes[0].reused)
    made = read_maps(out)
    return _print_maps(made, out, notes=tuple(dict.fromkeys((*made.notes, *outcomes[0].notes))))


def _print_maps(made: Maps, out: Path, *, notes: tuple[str, ...]) -> int:
    say(f"{made.stored.section}: {len(made.genes):,} genes on {made.grid.columns:,} x {made.grid.rows:,} cells")
    print_notes(notes)
    for title, table in (("left-out spots", made.scores), ("fine bins", made.bin_scores)):
        if table is not None:
            scores = ", ".join(f"{method} {score:.3f}" for method, score in mean_pearson(table).items())
            say(f"{title:<16} mean Pearson by gene: {scores}")
    for warning in made.evidence.get("warnings", []):
        err.print(f"[yellow]warning[/yellow] {escape(warning)}")
    say(f"maps             {out / 'maps' / 'report.html'}")
    say(f"report           {out / 'report.html'}")
    return 0
