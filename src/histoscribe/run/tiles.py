"""Tiles of a section, or of every section of a sample sheet, as pictures."""

from pathlib import Path

from histoscribe.io.reading import Request
from histoscribe.run.events import Listener, silent
from histoscribe.run.inputs import read_input
from histoscribe.run.section.chain import run_chain
from histoscribe.run.section.plan import Plan, plan_saved_tiles
from histoscribe.run.section.settings import SavedTileSettings
from histoscribe.run.several import Outcome, one_or_each


def save_tiles(
    path: Path | str,
    *,
    out: Path | str,
    mpp: float | None = None,
    settings: SavedTileSettings | None = None,
    listen: Listener = silent,
) -> list[Outcome]:
    """Cut the tissue around every spot of a section, or of every section of a sample sheet, into a picture.

    Writes into the folder `tiles` of the result one PNG file per spot, named after its barcode, and tiles.csv with
    barcode, file, x_px, y_px, on_tissue, tile_um and mpp. What another command left in the same folder stays.

    Parameters
    ----------
    path
        A vendor folder, a file that carries everything, or samplesheet.csv.
    out
        Folder of the result; several sections get one folder each in it, and summary.csv.
    mpp
        Microns per pixel of the picture, where the file does not say so or says it wrongly.
    settings
        Size of the tiles, and how the input is read and named.
    listen
        Called with every event.

    Returns
    -------
    One outcome per section, `facts["tiles"]` of them saved. One section that is refused raises instead.

    Raises
    ------
    HistoscribeError
        Where the input or the result folder is refused, or a section has no picture.
    """
    asked = settings or SavedTileSettings()

    def one(request: Request, folder: Path, listen: Listener) -> Outcome:
        given = read_input(request)
        return run_chain(given, Plan(saved_tiles=plan_saved_tiles(given, asked)), out=folder, listen=listen)

    return one_or_each(Path(path), Path(out), asked, one, listen=listen, mpp=mpp)
