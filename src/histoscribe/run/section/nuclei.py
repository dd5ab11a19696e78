"""The stage that finds a section's nuclei, and what later stages read of it."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscribe.errors import ResultError
from histoscribe.graph.spacing import pitch_of
from histoscribe.io.spatialdata import open_store
from histoscribe.nuclei import Segmenter
from histoscribe.nuclei.engine import LABELS, Progress, find_nuclei
from histoscribe.nuclei.export import ELEMENT, labels_element, nuclei_counts, write_geojson, write_labels_tiff
from histoscribe.nuclei.spots import SPOT_COLUMNS, nuclei_block, spot_features
from histoscribe.nuclei.table import PARTS, iter_parts, join_parts
from histoscribe.report.nuclei import draw_nuclei
from histoscribe.report.report_figure import ReportFigure
from histoscribe.run.inputs import Input
from histoscribe.run.section.finished import read_figure, read_table
from histoscribe.section import Section
from histoscribe.store.files import writing_to
from histoscribe.store.seal import seal

PYRAMID, SPOTS, FIGURE = "nuclei.zarr", "nuclei_spots.csv", "figures/nuclei.png"


def nuclei_stage(
    folder: Path, given: Input, segmenter: Segmenter, *, block_px: int, progress: Progress | None = None
) -> dict[str, Any]:
    """Find the nuclei of a section and write them in all their forms; goes on, block by block, where it was stopped.

    Parameters
    ----------
    folder
        Gets nuclei.parquet, nuclei.geojson, nuclei.zarr, labels.tif, a figure, and nuclei_spots.csv where there are
        spots; made where absent.
    block_px
        As of `find_nuclei`.

    Returns
    -------
    Facts for the record.
    """
    folder.mkdir(exist_ok=True)
    for entry in folder.iterdir():  # of an interrupted call only the search is worth keeping
        if entry.name not in (LABELS, PARTS):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    image = given.section.require_image()
    mpp = given.section.mpp
    with writing_to(folder):
        facts = find_nuclei(image, given.mask, segmenter, folder=folder, block_px=block_px, progress=progress)
        table = join_parts(folder, mpp=mpp)
        write_geojson(folder)
        write_labels_tiff(folder, shape=image.shape, mpp=mpp)
        _write_pyramid(folder, mpp)
        if given.section.spots.n_obs:
            write_spot_features(folder, given.section, table)
        (folder / "figures").mkdir()
        outlines = (corners for _, part in iter_parts(folder) for corners in part)
        (folder / FIGURE).write_bytes(draw_nuclei(image, table, outlines))
    # what the search alone needed
    shutil.rmtree(folder / PARTS)
    shutil.rmtree(folder / LABELS)
    # weights are known by their hash; what a file is called may say more than the user wants
    method = {name: value for name, value in facts["segmenter"].items() if name != "model"}
    return {**facts, "segmenter": method, **nuclei_counts(table)}


def read_nuclei_block(folder: Path, barcodes: pd.Index) -> NDArray[np.float64]:
    """Feature block "nuclei" for the domain methods, (n, d), in the order of `barcodes`, from a finished stage."""
    return nuclei_block(read_nuclei_table(folder, barcodes))


def read_nuclei_table(folder: Path, barcodes: pd.Index) -> pd.DataFrame:
    """Nuclei under each spot in numbers, (n, 20), in the order of `barcodes`, from a finished stage."""
    table = read_table(folder / SPOTS, ("barcode", *SPOT_COLUMNS)).set_index("barcode")
    if not (table.index.is_unique and barcodes.isin(table.index).all()):
        raise ResultError(
            "the rows are not the spots of this section",
            where=folder / SPOTS,
            fix="make the result anew in another folder with --out",
        )
    return table.loc[barcodes]


def read_nuclei_element(folder: Path) -> Any:
    """Label pyramid of a finished stage, for `sdata.labels["nuclei"]` of the section."""
    return open_store(folder / PYRAMID).labels[ELEMENT]


def nuclei_figure(folder: Path) -> ReportFigure:
    """Figure of a finished stage, for the section's page."""
    return ReportFigure(
        name="nuclei",
        title="Nuclei",
        caption="Nuclei per area over the whole section, and outlines at full resolution where they are dense, "
        "middling and sparse.",
        alt="Density of nuclei and outlines of nuclei in three windows",
        png=read_figure(folder / FIGURE),
    )


def write_spot_features(folder: Path, section: Section, table: pd.DataFrame) -> None:
    """Write `nuclei_spots.csv`: barcode, and the nuclei under each spot in numbers."""
    lattice = section.lattice
    square = section.platform == "visium_hd"
    diameter_um = lattice.spot_diameter_um if lattice else pitch_of(section.xy_px) * section.mpp / 2
    features = spot_features(
        table, section.xy_px, diameter_um=diameter_um, mpp=section.mpp, shape="square" if square else "disc"
    )
    features.insert(0, "barcode", section.spots.obs_names.to_numpy())
    features.to_csv(folder / SPOTS, index=False, float_format="%.6g", lineterminator="\n")


def _write_pyramid(folder: Path, mpp: float) -> None:
    import dask
    import zarr
    from spatialdata import SpatialData

    sdata = SpatialData(labels={ELEMENT: labels_element(folder, mpp=mpp)})
    with dask.config.set(scheduler="synchronous"), zarr.config.set({"array.write_empty_chunks": True}):
        sdata.write(folder / PYRAMID, update_sdata_path=False)
    seal(folder / PYRAMID)
