"""A section that was read, with parts that fit each other: what every command on sections starts from."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, InputError
from histoscribe.io import read
from histoscribe.io.aliases import file_alias, section_alias
from histoscribe.io.dead_spots import dead_spots_of
from histoscribe.io.preflight import Preflight, preflight
from histoscribe.io.preflight_counts import DEAD_SPOTS, SWAMPED_SPOTS
from histoscribe.io.preflight_stain import STAIN
from histoscribe.io.reading import Reading, Request
from histoscribe.run.identity import input_record
from histoscribe.run.requests import is_picture
from histoscribe.section import MEASURED, PICTURE, Section
from histoscribe.slide.align import apply_alignment, estimate_shift
from histoscribe.slide.open import open_image
from histoscribe.slide.tissue import TissueMask, tissue_mask


@dataclass(frozen=True, slots=True, eq=False)
class Input:
    """A section with its tissue, what the preflight found, and a record of the files it came from.

    Parameters
    ----------
    section
        A picture alone has no spots.
    tissue
        None where the section has no picture.
    record
        Files by name, size and sha256, and what the user said of them: no path of this computer.
    notes
        What was decided in reading it.
    name_of
        What a record calls a file.
    reader
        Reads the files again.
    """

    section: Section
    tissue: TissueMask | None
    preflight: Preflight
    record: dict[str, Any]
    notes: tuple[str, ...]
    name_of: Callable[[Path], str]
    reader: Callable[[], Section]

    @property
    def mask(self) -> TissueMask:
        """The tissue of a section that has a picture; raises InputError where there is none."""
        if self.tissue is None:
            self.section.require_image()
        return self.tissue  # type: ignore[return-value]  # a section with a picture has its tissue

    def reopen(self) -> Section:
        """Read the section again, with its spots where they are here."""
        again = _placed(self.reader(), self.section.xy_px)
        again.spots.obs[MEASURED] = self.section.measured
        return again


def read_input(request: Request, *, picture: bool = False) -> Input:
    """Read a section and check that its parts fit; writes nothing.

    Parameters
    ----------
    picture
        Whether it must have a picture.

    Raises
    ------
    InputError
        Where a file is damaged, the parts do not fit each other, the picture that is needed is missing, or there are
        no spots.
    """
    if is_alone(request):
        raise InputError(
            "this is a picture alone, without spots",
            where=request.path,
            fix="histoscribe nuclei, map --model, domains --transfer and predict take it as it is; for the others give "
            "the vendor's folder, or a sample sheet with the columns image and spots",
        )
    return checked(read(request), request, picture=picture)


def read_slide(request: Request) -> Input:
    """Read a section that has a picture, as `read_input` does, or a picture alone."""
    return checked(reading_of(request), request, picture=True)


def reading_of(request: Request) -> Reading:
    """Read a section, or a picture alone; raises InputError where it cannot be read."""
    return _read_picture(request) if is_alone(request) else read(request)


def is_alone(request: Request) -> bool:
    """Whether a request is for a picture without spots."""
    return is_picture(request.path) and request.spots is None and request.counts is None


def checked(
    reading: Reading, request: Request, *, picture: bool = False, reader: Callable[[], Section] | None = None
) -> Input:
    """Check that the parts of what was read fit, and move its spots where that is asked for; see `read_input`.

    Parameters
    ----------
    reader
        Reads the section again; by default its files are read as before.
    """
    section, notes = reading.section, list(reading.notes)
    if picture:
        section.require_image()
    mask = None if section.image is None else tissue_mask(section.image)
    dead = dead_spots_of(section, mask)
    found = preflight(reading, mask=mask, dead=dead)
    found.raise_if_refused()
    section.spots.obs[MEASURED] = ~dead
    said = (DEAD_SPOTS, SWAMPED_SPOTS, STAIN)
    notes += [finding.message for finding in found.findings if finding.name in said and finding.level != "ok"]
    if request.align and mask is not None and reading.registration is None:
        section, note = _aligned(section, mask, reading)
        notes.append(note)
    return Input(
        section,
        mask,
        found,
        input_record(reading, request),
        tuple(notes),
        reading.name_of,
        reader or (lambda: reading_of(request).section),
    )


def _read_picture(request: Request) -> Reading:
    path = request.path or Path()
    if request.align:
        raise ConfigError("a picture alone has no spots to be moved", where=path, fix="leave --align out")
    image = open_image(path, mpp=request.mpp, allow_damaged=request.allow_damaged)
    if image.mpp is None:
        raise InputError(
            "the picture does not say how large its pixels are",
            where=path,
            expected="microns per pixel",
            fix="give them with --mpp or in the column mpp of a sample sheet, for example 0.5 for a 20x scan, "
            "0.25 for a 40x scan",
        )
    plain = "".join(c if c.isalnum() or c in "._-" else "-" for c in path.stem).lstrip("-._") or "slide"
    name = request.alias or request.section or (section_alias([path]) if request.anonymous else plain)
    return Reading(
        section=Section.of_picture(image, name=name),
        format=PICTURE,
        why="a picture alone",
        files=(path,),
        notes=image.notes,
        name_of=lambda file: file_alias(file, name) if request.anonymous else file.name,
    )


def _aligned(section: Section, mask: TissueMask, reading: Reading) -> tuple[Section, str]:
    lattice = section.lattice
    found = estimate_shift(
        mask,
        section.xy_px,
        diameter_px=lattice.spot_diameter_um / section.mpp if lattice else 0.0,
        off_tissue_xy_px=reading.off_tissue_xy_px,
        max_shift_px=5 * (lattice.pitch_um if lattice else 100.0) / section.mpp,
    )
    return _placed(section, apply_alignment(section.xy_px, found)), found.message


def _placed(section: Section, xy_px: NDArray[np.float64]) -> Section:
    spots = section.spots.copy()
    spots.obsm["spatial"] = xy_px
    return replace(section, spots=spots)
