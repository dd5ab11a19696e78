"""What a reader is asked for and what it gives: the section, and the evidence that preflight weighs."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from histoscribe.section import Section


@dataclass(frozen=True, slots=True)
class Request:
    """One section to read: a path that carries everything, or loose files. A row of a sample sheet.

    Parameters
    ----------
    path
        Vendor folder or a single file; None for loose files.
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
        Side of the Visium HD bins to read: 2, 8 or 16.
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


@dataclass(frozen=True, slots=True, eq=False)
class Reading:
    """A section as it was read, with what its files say of themselves.

    Parameters
    ----------
    section
        The section; its coordinates are in pixels of the image that was opened.
    format, why
        Which reader read it and what made that reader the right one.
    files
        Every file that was read; their hashes identify the input.
    mpp_by_source
        Microns per pixel of the opened image by independent sources: {"spot pitch": 0.69, "tiff tags": 0.7}.
    scales
        Scale factors that the vendor's JSON holds, from full-resolution pixels: {"hires": 0.17, "lowres": 0.051}.
    image_scale
        Factor from the vendor's full-resolution pixels to those of the opened image (1 for the full resolution).
    off_tissue_xy_px
        Centres of spots that the vendor calls off tissue, (m, 2), same frame as the section's; empty where not told.
    notes
        What the reader did that a user should know ("2 spots without counts were left out").
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


class Format(Protocol):
    """A file format: says whether a path is of it and why, and reads it.

    A format whose paths may hold several sections also has `sections(path) -> list[str]`: the names to be given as
    `Request.section`.
    """

    name: str

    def recognise(self, path: Path) -> str | None:
        """Return the reason why `path` is of this format, or None."""

    def read(self, request: Request) -> Reading:
        """Read the section; raises InputError naming the file, what was expected, what was found and the mend."""
