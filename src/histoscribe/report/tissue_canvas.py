"""The canvas that every tissue figure is drawn on: the picture and the spots in one frame, prepared once.

Coordinates are microns from the image's upper left corner, x to the right and y downwards, or pixels where the size
of a pixel is not known.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.graph.spacing import pitch_of
from histoscribe.report.contents import ReportContents
from histoscribe.report.tiles import spot_outline
from histoscribe.section import Section

Floats = NDArray[np.float64]
RGB = NDArray[np.uint8]

OVERVIEW_SIDE = 1600


@dataclass(frozen=True, slots=True)
class View:
    """A window on the tissue, in the canvas's unit; y grows downwards."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Top to bottom."""
        return self.bottom - self.top


@dataclass(frozen=True, slots=True, eq=False)
class Canvas:
    """Arrays that the figures draw, rows in the order of `section.spots`.

    Parameters
    ----------
    name
        The section's.
    xy
        Centres of the spots, (n, 2), in `unit`.
    unit
        "µm", or "px" where the size of a pixel is not known.
    domain
        1..K, 0 for a spot without one, (n,).
    confidence
        NaN where not known, (n,).
    spot, cell
        Outlines about a centre: the measured area and the share of the lattice, (m, 2).
    whole, close
        Views: everything, and the part with spots.
    picture
        Overview of the image, (h, w, 3) uint8, or None.
    picture_step
        What one pixel of `picture` spans, in `unit`.
    tissue
        True on tissue, (mh, mw), or None.
    tissue_step
        What one pixel of `tissue` spans, in `unit`.
    """

    name: str
    xy: Floats
    unit: str
    domain: NDArray[np.int64]
    confidence: Floats
    spot: Floats
    cell: Floats
    whole: View
    close: View
    picture: RGB | None
    picture_step: float
    tissue: NDArray[np.bool_] | None
    tissue_step: float

    @property
    def touching(self) -> bool:
        """Whether spots fill the lattice, so that their true size leaves no gap."""
        return bool(np.ptp(self.spot[:, 0]) > 0.95 * np.ptp(self.cell[:, 0]))

    @property
    def domains(self) -> list[int]:
        """Domains that occur, ascending."""
        return [int(k) for k in np.unique(self.domain[self.domain > 0])]

    def on_tissue(self) -> NDArray[np.bool_]:
        """Whether each spot's centre lies on tissue, (n,); all True where there is no mask."""
        if self.tissue is None:
            return np.ones(len(self.xy), bool)
        place = np.floor(self.xy / self.tissue_step).astype(np.int64)  # column, row
        held = ((place >= 0) & (place < self.tissue.shape[::-1])).all(axis=1)
        inside = np.zeros(len(self.xy), bool)
        inside[held] = self.tissue[place[held, 1], place[held, 0]]
        return inside


def prepare(contents: ReportContents) -> Canvas:
    """Bring picture, mask, spots and domains into one frame; reads the image's overview."""
    section = contents.section
    scale = section.mpp
    n = section.spots.n_obs
    domain, confidence = np.zeros(n, np.int64), np.full(n, np.nan)
    if contents.domains is not None:
        table = contents.domains.set_index(contents.domains["barcode"].astype(str)).reindex(section.spots.obs_names)
        domain, confidence = table["domain"].fillna(0).to_numpy(np.int64), table["confidence"].to_numpy(np.float64)
    picture, downsample = (None, 1.0) if section.image is None else section.image.overview(max_side=OVERVIEW_SIDE)
    xy = section.xy_um
    return Canvas(
        name=section.name,
        xy=xy,
        unit="µm" if knows_microns(section) else "px",
        domain=domain,
        confidence=confidence,
        spot=spot_outline(section, kind="spot"),
        cell=spot_outline(section, kind="cell"),
        whole=_whole_view(section),
        close=_close_view(section),
        picture=picture,
        picture_step=downsample * scale,
        tissue=contents.tissue_mask,
        tissue_step=contents.tissue_downsample * scale,
    )


def knows_microns(section: Section) -> bool:
    """Whether the size of a pixel is known, from the image or from the pitch of a lattice."""
    return section.image is not None or (section.lattice is not None and section.spots.n_obs > 1)


def faded(canvas: Canvas) -> RGB | None:
    """Return the picture in pale grey, paler off tissue, as background for coloured tiles; (h, w, 3) uint8."""
    if canvas.picture is None:
        return None
    grey = canvas.picture @ np.array([0.299, 0.587, 0.114])  # (h, w)
    strength = np.full(grey.shape, 0.6)
    if canvas.tissue is not None:
        rows, columns = (
            np.minimum((np.arange(side) + 0.5) * canvas.picture_step / canvas.tissue_step, limit - 1).astype(np.int64)
            for side, limit in zip(grey.shape, canvas.tissue.shape, strict=True)
        )
        strength[~canvas.tissue[np.ix_(rows, columns)]] = 0.1
    pale = 255 - strength * (255 - grey)
    return np.repeat(pale[..., None], 3, axis=2).astype(np.uint8)


def crop(picture: Any, canvas: Canvas, view: View) -> tuple[Any, tuple[float, float, float, float]]:
    """Cut a picture of the whole image to a view; returns it with its extent (left, right, bottom, top)."""
    (height, width), step = picture.shape[:2], canvas.picture_step
    x0, x1 = max(0, int(view.left / step)), min(width, int(np.ceil(view.right / step)))
    y0, y1 = max(0, int(view.top / step)), min(height, int(np.ceil(view.bottom / step)))
    return picture[y0:y1, x0:x1], (x0 * step, x1 * step, y1 * step, y0 * step)


def _whole_view(section: Section) -> View:
    if section.image is None:
        return _around(section)
    picture = View(0.0, 0.0, section.image.width * section.mpp, section.image.height * section.mpp)
    if section.spots.n_obs == 0:
        return picture
    low, high = section.xy_um.min(axis=0), section.xy_um.max(axis=0)
    if (low >= 0).all() and (high <= (picture.right, picture.bottom)).all():
        return picture
    view = _around(section)  # spots beside the picture must be visible
    return View(
        min(view.left, 0.0),
        min(view.top, 0.0),
        max(view.right, picture.right),
        max(view.bottom, picture.bottom),
    )


def _close_view(section: Section) -> View:
    whole = _whole_view(section)
    if section.spots.n_obs < 2:
        return whole
    view = _around(section)
    return View(
        max(view.left, whole.left),
        max(view.top, whole.top),
        min(view.right, whole.right),
        min(view.bottom, whole.bottom),
    )


def _around(section: Section) -> View:
    xy = section.xy_um
    low, high = xy.min(axis=0), xy.max(axis=0)
    reach = float(np.abs(spot_outline(section, kind="cell")).max())
    pitch = pitch_of(section.xy_px) * section.mpp
    margin = max(2 * pitch, 2 * reach, 0.04 * float((high - low).max()))
    left, top = low - margin
    right, bottom = high + margin
    return View(float(left), float(top), float(right), float(bottom))
