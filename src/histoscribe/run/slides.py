"""Slides to predict: sections of any format, or a picture alone, on whose tissue spots are laid out."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError
from histoscribe.run.blocks import spot_graph
from histoscribe.run.observing import SectionFiles, read_files
from histoscribe.run.requests import requests_of
from histoscribe.section import Lattice, Section
from histoscribe.slide.open import IMAGE_SUFFIXES, open_image
from histoscribe.slide.tissue import tissue_mask
from histoscribe.store.files import sha256_file

# as on the common array: laid out so, a slide without spots can be compared with one that has them
_GRID = Lattice("hex", pitch_um=100.0, spot_diameter_um=55.0)


@dataclass(frozen=True, slots=True, eq=False)
class Slide:
    """A slide to be predicted, and whether abundances were measured on it."""

    files: SectionFiles
    has_truth: bool


def slides_of(path: Path, *, mpp: float | None = None) -> list[Slide]:
    """List the slides at `path`.

    Parameters
    ----------
    path
        Section, sample sheet, challenge file or picture.
    mpp
        Microns per pixel of a picture.

    Raises
    ------
    InputError
        A slide that is refused, or a picture whose scale nobody tells.
    """
    if path.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
        return [Slide(_picture(path, mpp), has_truth=False)]
    slides = []
    for request in requests_of(path):
        files = read_files(request)
        slides.append(Slide(files, has_truth=files.measured is not None and files.measured.abundance is not None))
    return slides


def spots_on(mask_at: NDArray[np.bool_], xy_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keep the places that lie on tissue, (n, 2); raises InputError where there are too few to be a section."""
    kept = xy_px[mask_at]
    if len(kept) < 5:
        raise InputError(
            "there is hardly any tissue on this picture",
            where="slide",
            found=f"{len(kept)} places on tissue",
            mend="give a picture of an H&E section, and its microns per pixel with --mpp",
        )
    return kept


def hex_places(width_px: int, height_px: int, *, pitch_px: float) -> NDArray[np.float64]:
    """Places of a hexagonal lattice over a picture, (n, 2), x before y, in pixels."""
    row_px = pitch_px * np.sqrt(3) / 2
    rows = np.arange(row_px / 2, height_px, row_px)
    columns = np.arange(pitch_px / 4, width_px, pitch_px)
    x = columns[None, :] + (np.arange(len(rows)) % 2)[:, None] * pitch_px / 2  # (rows, columns)
    y = np.broadcast_to(rows[:, None], x.shape)
    places = np.column_stack([x.ravel(), y.ravel()])
    return np.asarray(places[places[:, 0] < width_px], np.float64)


def _picture(path: Path, mpp: float | None) -> SectionFiles:
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in path.stem).lstrip("-._") or "slide"

    def opened() -> Section:
        image = open_image(path, mpp=mpp)
        if image.mpp is None:
            raise InputError(
                "nothing tells how many microns a pixel of this picture spans", where=path, mend="give --mpp"
            )
        places = hex_places(image.width, image.height, pitch_px=_GRID.pitch_um / image.mpp)
        xy_px = spots_on(tissue_mask(image).at(places), places)
        spots = AnnData(
            X=sparse.csr_matrix((len(xy_px), 0), dtype=np.float32),
            obs=pd.DataFrame(index=[f"{name}_{k}" for k in range(len(xy_px))]),
        )
        spots.obsm["spatial"] = xy_px
        return Section.from_anndata(spots, name=name, image=image, platform="picture", lattice=_GRID)

    section = opened()
    return SectionFiles(
        name=name,
        patient=None,
        xy_um=section.xy_um,
        mpp=section.mpp,
        graph=spot_graph(section),
        opener=opened,
        inputs={
            "format": "picture",
            "section": name,
            "files": [{"path": path.name, "bytes": path.stat().st_size, "sha256": sha256_file(path)}],
            "told": {"mpp": mpp},
        },
        measured=None,
        notes=(f"spots were laid out {_GRID.pitch_um:g} um apart on the tissue",),
    )
