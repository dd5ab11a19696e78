"""Nuclei of a section, of every section of a sample sheet, or of a plain picture."""

from pathlib import Path

from histoscribe.io.reading import Request
from histoscribe.run.events import Listener, silent
from histoscribe.run.inputs import read_slide
from histoscribe.run.section.chain import run_chain
from histoscribe.run.section.plan import NucleiPlan, Plan, build_segmenter
from histoscribe.run.section.settings import NucleiSettings
from histoscribe.run.several import Outcome, one_or_each


def nuclei(
    path: Path | str,
    *,
    out: Path | str,
    segmenter: str | None = None,
    mpp: float | None = None,
    settings: NucleiSettings | None = None,
    listen: Listener = silent,
) -> list[Outcome]:
    """Find the nuclei of a picture, a section, or every section of a sample sheet, and measure them.

    Writes into the folder `nuclei` of the result nuclei.parquet (x_px, y_px, area_um2, ...), nuclei.geojson for QuPath,
    nuclei.zarr (SpatialData, labels as a pyramid), labels.tif for pictures up to 10,000 pixels a side, a figure, and
    nuclei_spots.csv where there are spots. A result of `run`, `domains` or `map` in the same folder stays.

    Parameters
    ----------
    path
        A picture (TIFF, SVS, PNG, JPEG, ...), a vendor folder, or samplesheet.csv.
    out
        Folder of the result; several sections get one folder each in it, and summary.csv.
    segmenter
        "classical", "stardist" or "instanseg"; wins over that of the settings.
    mpp
        Microns per pixel of the picture, where the file does not say so or says it wrongly.
    settings
        The segmenter, its weights, and how the input is read and named.
    listen
        Called with every event.

    Returns
    -------
    What was found, one entry per section. A section of a sheet that is refused holds up no other and says why in its
    entry; a single one raises instead.

    Raises
    ------
    HistoscribeError
        Where the input, the weights or the result folder is refused. A picture without tissue is not refused: it has
        no nuclei.
    """
    asked = (settings or NucleiSettings()).updated(segmenter=segmenter)
    plan = Plan(nuclei=NucleiPlan(build_segmenter(asked), asked))

    def one(request: Request, folder: Path, listen: Listener) -> Outcome:
        return run_chain(read_slide(request), plan, out=folder, listen=listen)

    return one_or_each(Path(path), Path(out), asked, one, listen=listen, mpp=mpp)
