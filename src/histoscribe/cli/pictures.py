"""Verbs on the picture alone: nuclei and tiles."""

from pathlib import Path
from typing import Any

from histoscribe.cli.app import INCOMPLETE, Show, app, documented_by, listener, print_notes, print_reused, say
from histoscribe.cli.options import settings_from, takes
from histoscribe.run import nuclei as nuclei_module
from histoscribe.run import tiles as tiles_module
from histoscribe.run.section.settings import NucleiSettings, SavedTileSettings


@app.command(name="nuclei")
@documented_by(nuclei_module.nuclei)
@takes("settings", NucleiSettings)
def nuclei(path: Path, *, out: Path, mpp: float | None = None, settings: Any = None, show: Show | None = None) -> int:
    """Find the nuclei and print how many there are, or which sections were refused and why."""
    asked = settings_from(settings, NucleiSettings())
    with listener(show) as listen:
        found = nuclei_module.nuclei(path, out=out, mpp=mpp, settings=asked, listen=listen)
    for one in found:
        if one.folder is None:
            say(f"{one.section}: refused. {one.reason}")
            continue
        area = one.facts.get("median_area_um2")
        say(f"{one.section}: {one.facts['nuclei']:,} nuclei" + (f", median area {area} um2" if area else ""))
        print_notes(one.notes)
        print_reused(one.reused)
        say(f"report              {one.folder / 'report.html'}")
        say(f"outlines for QuPath {one.folder / 'nuclei' / 'nuclei.geojson'}")
    return INCOMPLETE if any(one.reason for one in found) else 0


@app.command(name="tiles")
@documented_by(tiles_module.save_tiles)
@takes("settings", SavedTileSettings)
def tiles(path: Path, *, out: Path, mpp: float | None = None, settings: Any = None, show: Show | None = None) -> int:
    """Save the tiles and print where they lie, or which sections were refused and why."""
    asked = settings_from(settings, SavedTileSettings())
    with listener(show) as listen:
        found = tiles_module.save_tiles(path, out=out, mpp=mpp, settings=asked, listen=listen)
    for one in found:
        if one.folder is None:
            say(f"{one.section}: refused. {one.reason}")
            continue
        say(f"{one.section}: {one.facts['tiles']:,} tiles of {one.facts['px']} x {one.facts['px']} pixels")
        print_notes(one.notes)
        print_reused(one.reused)
        say(f"tiles  {one.folder / 'tiles'}")
        say(f"index  {one.folder / 'tiles' / 'tiles.csv'}")
    return INCOMPLETE if any(one.reason for one in found) else 0
