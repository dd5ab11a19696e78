"""Verb on maps: map."""

from dataclasses import dataclass
from pathlib import Path

from cyclopts import Parameter
from rich.markup import escape

from histoscribe.cli.app import Show, app, documented_by, err, listener, say
from histoscribe.run import map_slide as slide_module
from histoscribe.run import maps as maps_module
from histoscribe.run.map_scores import mean_pearson
from histoscribe.run.maps import MapSettings


@Parameter(name="*")
@dataclass(frozen=True)
class How:
    """How maps are made."""

    encoder: str = "morphology"
    """Name of an encoder or path of a card; "morphology" needs no weights, "none" is colours and nuclei alone."""
    method: str = "dense"
    """Mapper: "dense" or "autoencoder"."""
    device: str = "auto"
    """Where networks compute: "auto", "cpu", "cuda" or "mps"."""
    bins: str = "spots"
    """What the 2 um bins of Visium HD are summed to: "spots" as Visium's, or the side of a larger bin in microns."""
    model: Path | None = None
    """Map a slide without counts with the maps in this folder, made of another section."""
    mpp: float | None = None
    """Microns per pixel of a picture without spots that does not tell them; with `model` only."""
    seed: int = 0
    """Seed of everything random."""


@app.command(name="map")
@documented_by(maps_module.map_section)
def map_genes(
    path: Path,
    *,
    out: Path,
    genes: str = "top:50",
    um: float = 8.0,
    how: How | None = None,
    show: Show | None = None,
) -> int:
    """Map the genes and print where the page lies and how well left-out spots were foretold."""
    how = how or How()
    settings = MapSettings(
        um=um, encoder=how.encoder, mapper=how.method, device=how.device, seed=how.seed, bins=how.bins
    )
    with listener(show) as listen:
        if how.model is not None:
            made = slide_module.map_slide(
                path, model=how.model, out=out, genes=genes, settings=settings, mpp=how.mpp, listen=listen
            )
        else:
            made = maps_module.map_section(path, genes=genes, um=um, out=out, settings=settings, listen=listen)
    say(f"{made.stored.section}: {len(made.genes):,} genes on {made.grid.columns:,} x {made.grid.rows:,} cells")
    for title, table in (("left-out spots", made.scores), ("fine bins", made.bin_scores)):
        if table is not None:
            told = ", ".join(f"{method} {score:.3f}" for method, score in mean_pearson(table).items())
            say(f"{title:<16} mean Pearson by gene: {told}")
    for warning in made.evidence.get("warnings", []):
        err.print(f"[yellow]warning[/yellow] {escape(warning)}")
    say(f"report           {out / 'report.html'}")
    return 0
