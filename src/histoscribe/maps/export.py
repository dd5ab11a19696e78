"""Maps in open formats: OME-Zarr rasters in SpatialData, and bins as AnnData."""

from pathlib import Path
from typing import Any

import numpy as np

from histoscribe.maps.read import UNITS, Maps
from histoscribe.store.files import writing_to
from histoscribe.store.seal import seal

GENES, FACTORS, MAPPED = "genes", "factors", "mapped"
RASTERS = 50  # genes that are written as rasters; any other is decoded when it is asked for


def add_maps(sdata: Any, maps: Maps) -> None:
    """Put rasters of the first genes, the factors and the mapped area into a SpatialData object.

    Coordinates are level-0 pixels in the system "global" and microns in the system "um", as of its other elements.
    `images["genes"]` are balanced molecules per cell, `images["factors"]` what any gene is decoded from, with the
    loadings in `tables["loadings"]`; both are 0 off tissue, and `labels["mapped"]` is 1 on it.
    """
    import anndata
    import pandas as pd
    from spatialdata.models import Image2DModel, Labels2DModel, TableModel
    from spatialdata.transformations import Scale

    grid, stored = maps.grid, maps.stored
    systems = {
        "global": Scale([grid.cell_px] * 2, axes=("x", "y")),
        "um": Scale([grid.um] * 2, axes=("x", "y")),
    }
    shown = list(maps.genes[:RASTERS])
    rasters = {
        GENES: (np.stack([np.nan_to_num(maps.gene(name).to_numpy()) for name in shown]), shown),
        FACTORS: (
            np.moveaxis(grid.raster(stored.factors.factors, stored.cells, fill=0.0), -1, 0),
            [f"factor_{k}" for k in range(stored.factors.factors.shape[1])],
        ),
    }
    side = min(512, max(grid.shape))
    for name, (values, channels) in rasters.items():
        sdata.images[name] = Image2DModel.parse(
            values, dims=("c", "y", "x"), c_coords=channels, chunks=(1, side, side), transformations=systems
        )
    covered = grid.raster(np.ones(len(stored.cells)), stored.cells, fill=0.0).astype(np.uint8)
    sdata.labels[MAPPED] = Labels2DModel.parse(covered, dims=("y", "x"), transformations=systems)
    factors = stored.factors
    table = anndata.AnnData(
        np.asarray(factors.loadings.T, np.float32),
        obs=pd.DataFrame(
            {"level": factors.level, "low": factors.interval[0], "high": factors.interval[1]},
            index=pd.Index(list(maps.genes), dtype=object),
        ),
        var=pd.DataFrame(index=pd.Index(rasters[FACTORS][1], dtype=object)),
    )
    table.uns["histoscribe"] = {"link": factors.link, "unit": UNITS["counts"], "um": grid.um}
    sdata.tables["loadings"] = TableModel.parse(table)


def write_spatialdata(sdata: Any, path: Path) -> None:
    """Write a SpatialData object with checksums; raises ResultError where the disk is full."""
    import anndata
    import zarr

    with (
        writing_to(path),
        zarr.config.set({"array.write_empty_chunks": True}),
        anndata.settings.override(auto_shard_zarr_v3=False),
    ):
        sdata.write(path, update_sdata_path=False)
        seal(path)
