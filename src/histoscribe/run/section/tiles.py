"""The stage that saves the tiles around the spots as pictures, for data that others train on."""

import re
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from histoscribe.run.inputs import Input
from histoscribe.run.section.files import TILES
from histoscribe.run.section.settings import SavedTileSettings
from histoscribe.slide.tiles import read_tiles, reading_order

INDEX = "tiles.csv"
_AT_ONCE = 256
# names that every file system takes
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


def tiles_stage(folder: Path, given: Input, settings: SavedTileSettings, *, tile_um: float) -> dict[str, Any]:
    """Write tiles/BARCODE.png for every spot, and tiles/tiles.csv, which says where each was cut; returns facts.

    Parameters
    ----------
    tile_um
        Side of a tile in microns, settled for this section.
    """
    section, image = given.section, given.section.require_image()
    px = settings.px or max(1, round(tile_um / section.mpp))
    names = file_names([str(barcode) for barcode in section.spots.obs_names])
    (folder / TILES).mkdir()
    order = reading_order(image.shape[:2], section.xy_px)
    for start in range(0, len(order), _AT_ONCE):
        rows = order[start : start + _AT_ONCE]
        for row, tile in zip(rows, read_tiles(image, section.xy_px[rows], tile_um=tile_um, out_px=px), strict=True):
            Image.fromarray(tile).save(folder / TILES / names[row])
    table = pd.DataFrame({"barcode": section.spots.obs_names, "file": names})
    table[["x_px", "y_px"]] = section.xy_px.round(3)
    if given.tissue is not None:
        table["on_tissue"] = given.tissue.at(section.xy_px)
    table["tile_um"], table["mpp"] = tile_um, round(tile_um / px, 6)
    table.to_csv(folder / TILES / INDEX, index=False, lineterminator="\n")
    return {"tiles": len(names), "px": px, "tile_um": tile_um}


def file_names(barcodes: list[str]) -> list[str]:
    """Name PNG files after the barcodes where every file system takes all of them for names, else by number."""
    plain = all(_PLAIN.fullmatch(name) and not _RESERVED.fullmatch(name) for name in barcodes)
    # some file systems do not distinguish capitals
    if plain and len({name.lower() for name in barcodes}) == len(barcodes):
        return [f"{name}.png" for name in barcodes]
    width = len(str(len(barcodes)))
    return [f"spot_{row:0{width}d}.png" for row in range(len(barcodes))]
