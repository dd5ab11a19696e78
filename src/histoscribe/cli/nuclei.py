"""Verb on nuclei: nuclei."""

from pathlib import Path

from histoscribe.cli.app import INCOMPLETE, Show, app, documented_by, listener, say
from histoscribe.run import nuclei as nuclei_module


@app.command(name="nuclei")
@documented_by(nuclei_module.nuclei)
def nuclei(
    path: Path,
    *,
    out: Path,
    segmenter: str = "classical",
    mpp: float | None = None,
    model: Path | None = None,
    show: Show | None = None,
) -> int:
    """Find the nuclei and print how many there are, or which sections were refused and why."""
    with listener(show) as listen:
        found = nuclei_module.nuclei(path, out=out, segmenter=segmenter, mpp=mpp, model=model, listen=listen)
    for one in found:
        if one.reason:
            say(f"{one.name}: refused. {one.reason}")
            continue
        area = one.facts.get("median_area_um2")
        say(f"{one.name}: {one.facts['nuclei']:,} nuclei" + (f", median area {area} um2" if area else ""))
        say(f"outlines for QuPath: {one.folder / 'nuclei.geojson'}")
    return INCOMPLETE if any(one.reason for one in found) else 0
