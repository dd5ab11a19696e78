"""Spots laid out on the tissue of a picture alone, as if an assay had measured there."""

from dataclasses import replace

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError
from histoscribe.run.inputs import Input
from histoscribe.section import Lattice, Section

# as on the common array: laid out so, a slide without spots can be compared with one that has them
GRID = Lattice("hex", pitch_um=100.0, spot_diameter_um=55.0)


def with_spots(given: Input) -> Input:
    """Return an input as it is, and a picture alone with spots on its tissue, which a note then says."""
    if given.section.spots.n_obs:
        return given
    note = f"spots were laid out {GRID.pitch_um:g} um apart on the tissue"
    return replace(
        given,
        section=laid_out(given),
        notes=(*given.notes, note),
        record=given.record | {"notes": [*given.notes, note]},  # other stages than the picture's own
        reader=lambda: laid_out(replace(given, section=given.reopen())),
    )


def laid_out(given: Input) -> Section:
    """Return a section as it is, and a picture alone with spots on its tissue, 100 um apart.

    Raises
    ------
    InputError
        Where there is too little tissue for a section.
    """
    section = given.section
    if section.spots.n_obs:
        return section
    image = section.require_image()
    places = hex_places(image.width, image.height, pitch_px=GRID.pitch_um / section.mpp)
    xy_px = places[given.mask.at(places)]
    if len(xy_px) < 5:
        raise InputError(
            "there is hardly any tissue on this picture",
            where=f"slide {section.name!r}",
            found=f"{len(xy_px)} places on tissue",
            fix="give a picture of an H&E section, and its microns per pixel with --mpp",
        )
    spots = AnnData(
        X=sparse.csr_matrix((len(xy_px), 0), dtype=np.float32),
        obs=pd.DataFrame(index=[f"{section.name}_{k}" for k in range(len(xy_px))]),
    )
    spots.obsm["spatial"] = xy_px
    return Section.from_anndata(spots, name=section.name, image=image, platform=section.platform, lattice=GRID)


def hex_places(width_px: int, height_px: int, *, pitch_px: float) -> NDArray[np.float64]:
    """Places of a hexagonal lattice over a picture, (n, 2), x before y, in pixels."""
    row_px = pitch_px * np.sqrt(3) / 2
    rows = np.arange(row_px / 2, height_px, row_px)
    columns = np.arange(pitch_px / 4, width_px, pitch_px)
    x = columns[None, :] + (np.arange(len(rows)) % 2)[:, None] * pitch_px / 2  # (rows, columns)
    y = np.broadcast_to(rows[:, None], x.shape)
    places = np.column_stack([x.ravel(), y.ravel()])
    return np.asarray(places[places[:, 0] < width_px], np.float64)
