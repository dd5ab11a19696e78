"""Nuclei for other programs: GeoJSON for QuPath, a label picture, and the label pyramid of a SpatialData object.

All of them are streamed: a block's nuclei or a band of the picture at a time.
"""

import json
from collections.abc import Iterator, Mapping
from math import ceil, isfinite
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from histoscribe.nuclei.engine import LABELS
from histoscribe.nuclei.table import iter_parts
from histoscribe.store import arrays

GEOJSON, TIFF = "nuclei.geojson", "labels.tif"
TIFF_SIDE_PX = 10_000
ELEMENT = "nuclei"
_TILE_PX = 512
_SMALLEST_LEVEL_PX = 1024

# names as QuPath's own cell detection writes them where it has the same measure
_MEASUREMENTS = {
    "area_um2": "Nucleus: Area um^2",
    "perimeter_um": "Nucleus: Perimeter um",
    "eccentricity": "Nucleus: Eccentricity",
    "solidity": "Nucleus: Solidity",
    "haematoxylin": "Nucleus: Hematoxylin OD mean",
    "haematoxylin_sd": "Nucleus: Hematoxylin OD std dev",
    "haematoxylin_texture": "Nucleus: Hematoxylin texture",
    "probability": "Detection probability",
}


def write_geojson(folder: Path, *, classification: str = "Nucleus") -> int:
    """Write `nuclei.geojson` from the blocks in `folder`, one detection per nucleus, in level-0 pixels.

    Returns
    -------
    The number of features.
    """
    written = 0
    with (folder / GEOJSON).open("w", encoding="utf-8") as file:
        file.write('{"type":"FeatureCollection","features":[')
        for table, outlines in iter_parts(folder):
            for row, corners in zip(table.to_dict("records"), outlines, strict=True):
                file.write(",\n" if written else "\n")
                file.write(json.dumps(_feature(row, corners, classification), separators=(",", ":"), allow_nan=False))
                written += 1
        file.write("\n]}\n")
    return written


def _feature(row: Mapping[Any, Any], corners: NDArray[np.float64], classification: str) -> dict[str, Any]:
    ring = np.concatenate([corners, corners[:1]]).round(2).tolist()
    measured = {name: float(row[column]) for column, name in _MEASUREMENTS.items()}
    return {
        "type": "Feature",
        "id": _uuid(int(row["nucleus"])),
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "detection",
            "name": f"nucleus {row['nucleus']}",
            "classification": {"name": classification, "color": [60, 120, 216]},
            "measurements": {name: round(value, 4) for name, value in measured.items() if isfinite(value)},
        },
    }


def _uuid(number: int) -> str:
    """QuPath takes only UUIDs as ids; the nucleus' number in the form of one."""
    return f"00000000-0000-4000-8000-{number:012x}"


def write_labels_tiff(folder: Path, *, shape: tuple[int, int], mpp: float) -> bool:
    """Write `labels.tif`, uint32, in the size (h, w) of the slide; not where a side is over 10,000 pixels.

    Returns
    -------
    Whether it was written.
    """
    import tifffile

    if max(shape) > TIFF_SIDE_PX:
        return False
    per_cm = 1e4 / mpp
    tifffile.imwrite(
        folder / TIFF,
        _tiles(arrays.open_array(folder / LABELS), shape),
        shape=shape,
        dtype=np.uint32,
        tile=(_TILE_PX, _TILE_PX),
        compression="zlib",
        photometric="minisblack",
        resolution=(per_cm, per_cm),
        resolutionunit="CENTIMETER",
        metadata=None,
    )
    return True


def _tiles(labels: Any, shape: tuple[int, int]) -> Iterator[NDArray[np.uint32]]:
    """Tiles of the label picture at the slide's own size, each pixel with the label at its middle."""
    scale = float(labels.attrs["level_0_pixels"])
    for top in range(0, shape[0], _TILE_PX):
        for left in range(0, shape[1], _TILE_PX):
            row, column = (
                np.minimum(((np.arange(start, min(start + _TILE_PX, side)) + 0.5) / scale).astype(np.intp), last - 1)
                for start, side, last in ((top, shape[0], labels.shape[0]), (left, shape[1], labels.shape[1]))
            )
            part = np.asarray(labels[row[0] : row[-1] + 1, column[0] : column[-1] + 1])
            tile = np.zeros((_TILE_PX, _TILE_PX), np.uint32)
            tile[: len(row), : len(column)] = part[np.ix_(row - row[0], column - column[0])]
            yield tile


def labels_element(folder: Path, *, mpp: float) -> Any:
    """Labels of all nuclei as a lazy multi-scale SpatialData element, to be put into `sdata.labels["nuclei"]`.

    Parameters
    ----------
    folder
        Where `find_nuclei` wrote.
    mpp
        Microns per level-0 pixel of the slide.

    Returns
    -------
    `Labels2DModel` element in the systems "global" (level-0 pixels) and "um".
    """
    import dask.array as da
    from spatialdata.models import Labels2DModel
    from spatialdata.transformations import Scale

    labels = arrays.open_array(folder / LABELS)
    scale = float(labels.attrs["level_0_pixels"])
    steps = max(0, ceil(np.log2(max(labels.shape) / _SMALLEST_LEVEL_PX)))
    return Labels2DModel.parse(
        da.from_zarr(str(folder / LABELS)),
        dims=("y", "x"),
        scale_factors=[2] * steps or None,
        chunks=(1024, 1024),
        transformations={
            "global": Scale([scale, scale], axes=("x", "y")),
            "um": Scale([scale * mpp, scale * mpp], axes=("x", "y")),
        },
    )


def nuclei_counts(table: pd.DataFrame) -> dict[str, float]:
    """Say in a few numbers what was found, for a record or a page."""
    if not len(table):
        return {"nuclei": 0}
    return {
        "nuclei": len(table),
        "median_area_um2": round(float(table["area_um2"].median()), 2),
        "median_nearest_um": round(float(np.nan_to_num(table["nearest_um"].median())), 2),
    }
