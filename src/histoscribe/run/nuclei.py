"""Nuclei of a section, of every section of a sample sheet, or of a plain picture: the call, and the stage of a run."""

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, HistoscribeError, InputError
from histoscribe.io import read
from histoscribe.io.preflight import preflight
from histoscribe.io.reading import Request
from histoscribe.nuclei import SEGMENTERS, Segmenter
from histoscribe.nuclei.engine import LABELS, Progress, find_nuclei
from histoscribe.nuclei.export import ELEMENT, labels_element, nuclei_counts, write_geojson, write_labels_tiff
from histoscribe.nuclei.spots import nuclei_block, spot_features
from histoscribe.nuclei.table import PARTS, iter_parts, join_parts
from histoscribe.report.nuclei import draw_nuclei
from histoscribe.report.plate import Plate
from histoscribe.run.events import Listener, silent
from histoscribe.run.identity import code_fingerprint, input_record, versions
from histoscribe.run.prepared import Prepared
from histoscribe.run.requests import is_sheet, requests_of
from histoscribe.section import Section, pitch_px
from histoscribe.slide.image import SlideImage
from histoscribe.slide.open import IMAGE_SUFFIXES, open_image
from histoscribe.slide.tissue import TissueMask, tissue_mask
from histoscribe.store.files import fingerprint, sha256_file, writing_to
from histoscribe.store.result import writing_result
from histoscribe.store.seal import seal

NONE = "none"
PYRAMID, SPOTS, FIGURE, SUMMARY = "nuclei.zarr", "nuclei_spots.csv", "figures/nuclei.png", "summary.csv"


@dataclass(frozen=True, slots=True, eq=False)
class FoundNuclei:
    """Nuclei of one section or picture.

    Parameters
    ----------
    name
        Of the section, or of the picture's file.
    folder
        Where the result lies, or would lie.
    facts
        Their number, median area and median distance to the nearest; empty where the section was refused.
    reason
        Why it was refused; empty where it was not.
    """

    name: str
    folder: Path
    facts: dict[str, Any]
    reason: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """One picture to work on, with its spots where it has any."""

    name: str
    image: SlideImage
    mask: TissueMask
    section: Section | None
    inputs: dict[str, Any]


def nuclei(
    path: Path | str,
    *,
    out: Path | str,
    segmenter: str = "classical",
    mpp: float | None = None,
    model: Path | str | None = None,
    listen: Listener = silent,
) -> list[FoundNuclei]:
    """Find the nuclei of a picture, a section, or every section of a sample sheet, and measure them.

    Writes nuclei.parquet (x_px, y_px, area_um2, ...), nuclei.geojson for QuPath, nuclei.zarr (SpatialData, labels as a
    pyramid), labels.tif for pictures up to 10,000 pixels a side, a figure, and nuclei_spots.csv where there are spots.

    Parameters
    ----------
    path
        A picture (TIFF, SVS, PNG, JPEG, ...), a vendor folder, or samplesheet.csv.
    out
        Folder of the result; several sections get one folder each in it, and summary.csv.
    segmenter
        Method: "classical" needs no weights; "stardist" runs the published H&E model without TensorFlow;
        "instanseg" a model of InstanSeg.
    mpp
        Microns per pixel of the picture, where the file does not say so or says it wrongly.
    model
        Weights of the segmenter as a zip file, where not the published ones.
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
    path, out = Path(path), Path(out)
    method = build_segmenter(segmenter, model=None if model is None else Path(model))
    if path.suffix.lower() in IMAGE_SUFFIXES and not path.is_dir():
        return [_write(_picture(path, mpp), out, method, listen)]
    requests = [replace(one, mpp=mpp) if mpp is not None else one for one in requests_of(path)]
    if len(requests) == 1 and not is_sheet(path):
        return [_write(_section(requests[0]), out, method, listen)]
    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
    made = [_attempt(request, out, method, listen) for request in requests]
    with writing_to(out):
        rows = [{"section": one.name, "reason": one.reason, **one.facts} for one in made]
        pd.DataFrame(rows).to_csv(out / SUMMARY, index=False, lineterminator="\n")
    return made


def _attempt(request: Request, out: Path, segmenter: Segmenter, listen: Listener) -> FoundNuclei:
    """Find the nuclei of one section of a sheet; what it is refused for becomes its entry."""
    name = request.section or (request.path.name if request.path else "section")
    try:
        return _write(_section(request), out / name, segmenter, listen)
    except HistoscribeError as error:
        listen({"event": "refused", "section": name, "reason": str(error)})
        return FoundNuclei(name, out / name, {}, str(error))


def build_segmenter(name: str, *, model: Path | None = None) -> Segmenter:
    """Build a registered segmenter, with its weights where it takes any; raises ConfigError."""
    made = SEGMENTERS.get(name)
    if model is None:
        return made()
    if not getattr(made, "takes_model", False):
        raise ConfigError(
            f"the segmenter {name} takes no weights",
            where="--model",
            mend="leave --model out, or choose stardist or instanseg",
        )
    built: Segmenter = made(model=model)  # type: ignore[call-arg]
    return built


def nuclei_stage(
    folder: Path, prepared: Prepared, segmenter: Segmenter, *, progress: Progress | None = None
) -> dict[str, Any]:
    """Find the nuclei of a section as a stage of a run; goes on, block by block, where an interrupted call stopped.

    Parameters
    ----------
    folder
        An existing folder, which gets all files that `nuclei` names.

    Returns
    -------
    Facts for the record.
    """
    section = prepared.section
    return _fill(folder, section.require_image(), prepared.tissue, segmenter, section=section, progress=progress)


def read_nuclei_block(folder: Path, barcodes: pd.Index) -> NDArray[np.float64]:
    """Feature block "nuclei" for the domain methods, (n, d), in the order of `barcodes`, from a finished stage."""
    table = pd.read_csv(folder / SPOTS, dtype={"barcode": str}).set_index("barcode")
    return nuclei_block(table.loc[barcodes])


def read_nuclei_element(folder: Path) -> Any:
    """Label pyramid of a finished stage, for `sdata.labels["nuclei"]` of the section."""
    import spatialdata

    return spatialdata.read_zarr(folder / PYRAMID).labels[ELEMENT]


def nuclei_plate(folder: Path) -> Plate:
    """Figure of a finished stage, for the section's page."""
    return Plate(
        name="nuclei",
        title="Nuclei",
        caption="Nuclei per area over the whole section, and outlines at full resolution where they are dense, "
        "middling and sparse.",
        alt="Density of nuclei and outlines of nuclei in three windows",
        png=(folder / FIGURE).read_bytes(),
    )


def write_spot_features(folder: Path, section: Section, table: pd.DataFrame) -> None:
    """Write `nuclei_spots.csv`: barcode, and the nuclei under each spot in numbers."""
    lattice = section.lattice
    square = section.platform == "visium_hd"
    diameter_um = lattice.spot_diameter_um if lattice else pitch_px(section.xy_px) * section.mpp / 2
    features = spot_features(
        table, section.xy_px, diameter_um=diameter_um, mpp=section.mpp, shape="square" if square else "disc"
    )
    features.insert(0, "barcode", section.spots.obs_names.to_numpy())
    features.to_csv(folder / SPOTS, index=False, float_format="%.6g", lineterminator="\n")


def _picture(path: Path, mpp: float | None) -> _Job:
    image = open_image(path, mpp=mpp)
    if image.mpp is None:
        raise InputError(
            "the image does not say how large its pixels are, and nuclei are found at their physical size",
            where=path,
            expected="microns per pixel",
            mend="give them with --mpp, for example --mpp 0.5 for a 20x scan or --mpp 0.25 for a 40x scan",
        )
    inputs = {"files": [{"path": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)}], "mpp": mpp}
    return _Job(path.stem, image, tissue_mask(image), None, inputs)


def _section(request: Request) -> _Job:
    reading = read(request)
    section = reading.section
    image = section.require_image()
    mask = tissue_mask(image)
    preflight(reading, mask=mask).raise_if_refused()
    return _Job(section.name, image, mask, section, input_record(reading, request))


def _write(job: _Job, out: Path, segmenter: Segmenter, listen: Listener) -> FoundNuclei:
    record = {
        "section": job.name,
        "versions": versions(),
        "inputs": job.inputs,
        "mpp": job.image.mpp,
        "segmenter": segmenter.record(),
    }
    told = {"section": job.name, "stage": "nuclei"}

    def progress(done: int, total: int) -> None:
        listen({"event": "progress", "done": done, "total": total, **told})

    def work(to: Path) -> dict[str, Any]:
        return _fill(to, job.image, job.mask, segmenter, section=job.section, progress=progress)

    with writing_result(out) as draft:
        listen({"event": "stage", "state": "started", **told})
        key = fingerprint({"code": code_fingerprint(), **record})
        done = draft.stage("nuclei", key, work, resumable=True)
        listen({"event": "stage", "state": "reused" if done.reused else "done", **told})
        draft.publish(record)
    return FoundNuclei(job.name, out, done.facts)


def _fill(
    folder: Path,
    image: SlideImage,
    mask: TissueMask,
    segmenter: Segmenter,
    *,
    section: Section | None,
    progress: Progress | None,
) -> dict[str, Any]:
    """Find nuclei in a folder and write them in all their forms; what the search alone needed is removed at the end."""
    for entry in folder.iterdir():  # of an interrupted call only the search is worth keeping
        if entry.name not in (".key", LABELS, PARTS):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    mpp = float(image.mpp or 0)
    with writing_to(folder):
        facts = find_nuclei(image, mask, segmenter, folder=folder, progress=progress)
        table = join_parts(folder, mpp=mpp)
        write_geojson(folder)
        write_labels_tiff(folder, shape=image.shape, mpp=mpp)
        _write_pyramid(folder, mpp)
        if section is not None:
            write_spot_features(folder, section, table)
        (folder / "figures").mkdir()
        outlines = (corners for _, part in iter_parts(folder) for corners in part)
        (folder / FIGURE).write_bytes(draw_nuclei(image, table, outlines))
    shutil.rmtree(folder / PARTS)
    shutil.rmtree(folder / LABELS)
    return {**facts, **nuclei_counts(table)}


def _write_pyramid(folder: Path, mpp: float) -> None:
    import dask
    import zarr
    from spatialdata import SpatialData

    sdata = SpatialData(labels={ELEMENT: labels_element(folder, mpp=mpp)})
    with dask.config.set(scheduler="synchronous"), zarr.config.set({"array.write_empty_chunks": True}):
        sdata.write(folder / PYRAMID, update_sdata_path=False)
    seal(folder / PYRAMID)
