"""What a reader is given and what it returns: the section, and the evidence that preflight compares."""

from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from histoscribe.section import Section
from histoscribe.slide.image import SlideImage
from histoscribe.slide.registration import Registration


@dataclass(frozen=True, slots=True)
class Request:
    """One section to read: a path that carries everything, or loose files. A row of a sample sheet.

    Parameters
    ----------
    path
        Vendor folder or a single file; None for loose files.
    section_column
        Column of `obs` that names the sections of an h5ad or SpatialData table that holds several; "none" to read it as
        one; None to find out.
    section, patient
        Names to give; the section's is derived from the path where None.
    format
        A format's name, or None to detect it.
    image, counts, spots
        Loose files, or a better image than the one in the vendor folder.
    mpp
        Microns per pixel of the image, where the user knows it.
    scale
        Which frame `image` is in: "fullres", "hires", "lowres", or the factor from the spots' pixels to its own as
        text: "0.2876", or as two widths "2000/6954"; None to find out.
    bin_um
        Side of the Visium HD bins to read, in microns: 2, 8, 16 or another that is there.
    align
        Whether the spots are placed in a picture that is turned, mirrored or cut, as the vendor's smaller picture shows
        beyond doubt, or else moved by the one shift that fits them to the tissue best.
    allow_damaged
        Whether to read a picture that is known to be damaged, with a note, instead of refusing it.
    anonymous
        Whether to keep names of files and folders out of what is read: the section is then named by `alias`, by
        `section`, or by a hash of its input.
    alias
        Name to give in place of `section`, where that only says which section of the file is meant.
    """

    path: Path | None = None
    section: str | None = None
    patient: str | None = None
    format: str | None = None
    image: Path | None = None
    counts: Path | None = None
    spots: Path | None = None
    mpp: float | None = None
    scale: str | None = None
    bin_um: int | None = None
    align: bool = False
    allow_damaged: bool = False
    anonymous: bool = False
    alias: str | None = None
    section_column: str | None = None

    def paths(self) -> list[Path]:
        """Every path that is given."""
        return [path for path in (self.path, self.image, self.counts, self.spots) if path is not None]


@dataclass(frozen=True, slots=True, eq=False)
class Thumbnail:
    """The vendor's smaller picture of a section.

    Parameters
    ----------
    name
        "hires" or "lowres".
    image
        The picture.
    factor
        From full-resolution pixels to its own.
    """

    name: str
    image: SlideImage
    factor: float

    @property
    def full_size_px(self) -> tuple[float, float]:
        """Width and height of the full-resolution image."""
        return self.image.width / self.factor, self.image.height / self.factor


@dataclass(frozen=True, slots=True)
class Join:
    """How the spots on tissue and the spots with counts met, where two files say so.

    Parameters
    ----------
    n_on_tissue, n_counted
        Spots that the positions call on tissue, and barcodes of the counts that have a position.
    n_both
        Spots that are both.
    """

    n_on_tissue: int
    n_counted: int
    n_both: int


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A section as it was read, with the evidence found in its files.

    Parameters
    ----------
    section
        The section; its coordinates are in pixels of the image that was opened.
    format, why
        Which reader read it and why that reader was chosen.
    files
        Every file that was read; their hashes identify the input.
    mpp_by_source
        Microns per pixel of the opened image by independent sources: {"spot pitch": 0.69, "tiff tags": 0.7}.
    scales
        Scale factors that the vendor's JSON holds, from full-resolution pixels: {"hires": 0.17, "lowres": 0.051}.
    image_scale
        Factor from the vendor's full-resolution pixels to those of the opened image (1 for the full resolution).
    off_tissue_xy_px
        Centres of spots that the vendor calls off tissue, (m, 2), same frame as the section's; empty where unknown.
    notes
        What the reader did that a user should know ("2 spots without counts were left out").
    thumbnail
        The vendor's smaller picture of the section, where there is one beside the picture that was opened.
    scale_stated
        Whether the user said which frame the picture is in.
    registration
        How the picture lies in the thumbnail, where the spots were placed by it.
    join
        How positions and counts met; None where one file holds both, or a raw matrix holds every barcode.
    name_of
        Gives the name of a file in records: its own, or its alias where the reading is anonymous.
    """

    section: Section
    format: str
    why: str
    files: tuple[Path, ...]
    mpp_by_source: dict[str, float] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    image_scale: float = 1.0
    off_tissue_xy_px: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 2)))
    notes: tuple[str, ...] = ()
    thumbnail: Thumbnail | None = None
    scale_stated: bool = False
    registration: Registration | None = None
    join: Join | None = None
    name_of: Callable[[Path], str] = attrgetter("name")

    @property
    def vendor_xy_px(self) -> NDArray[np.float64]:
        """Centres of the spots, (n, 2), in the vendor's full-resolution pixels."""
        if self.registration is not None and self.thumbnail is not None:
            return self.registration.back(self.section.xy_px) / self.thumbnail.factor
        return self.section.xy_px / self.image_scale

    def into_picture(self, vendor_xy_px: NDArray[np.float64]) -> NDArray[np.float64]:
        """Move points, (n, 2), from the vendor's full-resolution pixels to those of the opened picture."""
        if self.registration is not None and self.thumbnail is not None:
            return self.registration.points(vendor_xy_px * self.thumbnail.factor)
        return vendor_xy_px * self.image_scale


class Format(Protocol):
    """A file format: says whether a path is of it and why, and reads it.

    A format that may hold several sections in one path also has `sections(path) -> list[str]`: the names to be given
    as `Request.section`.
    """

    name: str

    def recognise(self, path: Path) -> str | None:
        """Return the reason why `path` is of this format, or None."""

    def read(self, request: Request) -> Reading:
        """Read the section; raises InputError naming the file, what was expected, what was found and the fix."""
