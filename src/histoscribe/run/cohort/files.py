"""A section before anything is computed of it: read, checked, and with its spots off the tissue as the options say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError, listing
from histoscribe.expression.measured import Measured
from histoscribe.io.reading import Request
from histoscribe.io.tables import missing, numbers, read_table, require_unique
from histoscribe.run.cohort.options import PredictOptions
from histoscribe.run.inputs import Input, read_input
from histoscribe.run.section.blocks import spot_graph
from histoscribe.section import Section
from histoscribe.slide.background import on_white
from histoscribe.store.files import sha256_file
from histoscribe.store.received import is_there


@dataclass(frozen=True, slots=True, eq=False)
class SectionFiles:
    """A section that was read and fits, before anything is computed of it; its picture is opened again when needed.

    Parameters
    ----------
    name, patient, xy_um, mpp
        The section's.
    graph
        Neighbouring spots, (n, n).
    opener
        Reads it again.
    inputs
        What was read, by name and hash.
    measured
        Its counts or abundances, or None.
    notes
        What a user should know.
    marks
        Columns of numbers that go with the spots into tables, (n,) each: `row` in the file where dead spots or spots
        off the tissue were left out, `off_tissue` where the latter are marked.
    n_off_tissue
        How many spots lie off the tissue; None where nobody asked.
    """

    name: str
    patient: str | None
    xy_um: NDArray[np.float64]
    mpp: float
    graph: Any
    opener: Callable[[], Section]
    inputs: dict[str, Any]
    measured: Measured | None
    notes: tuple[str, ...]
    marks: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    n_off_tissue: int | None = None

    def open(self) -> Section:
        """Read the section again; a decoded picture of every section at once would fill the memory."""
        return self.opener()


def read_files(
    request: Request, options: PredictOptions | None = None, *, abundance: Path | None = None
) -> SectionFiles:
    """Read a section and check that its parts fit each other; writes nothing.

    Parameters
    ----------
    options
        What becomes of spots off the tissue and of the background.
    abundance
        Table of cell types by barcode, in place of what the section's own file may hold.

    Raises
    ------
    InputError
        No image, parts that do not fit, counts that are not counts, a table of other spots, or no spot on the tissue
        where those off it are left out.
    """
    if abundance is not None and not is_there(abundance):
        raise missing(abundance)
    given = read_input(request, picture=True)
    # what failed to be measured is neither learnt from nor predicted for a score
    files, section = _files(given, options or PredictOptions(), used=given.section.measured)
    files = replace(files, measured=measured_of(section, abundance))
    if abundance is not None:
        table = {"path": given.name_of(abundance), "sha256": sha256_file(abundance)}
        files = replace(files, inputs=files.inputs | {"abundance": table})
    return files


def slide_files(given: Input, options: PredictOptions) -> SectionFiles:
    """Keep of a slide that was read what a model needs of it; nothing that was measured on it."""
    return _files(given, options, used=np.ones(given.section.spots.n_obs, bool))[0]


def _files(given: Input, options: PredictOptions, *, used: NDArray[np.bool_]) -> tuple[SectionFiles, Section]:
    """Files of a section without measurements, and the section with those of the `used` spots that options leave in."""
    section, notes, found = given.section, list(given.notes), {}
    marks: dict[str, NDArray[Any]] = {}
    n_off = None
    if options.off_tissue != "keep":
        off = ~given.mask.at(section.xy_px)
        n_off = int(off.sum())
        notes.append(f"{n_off:,} of {len(off):,} spots lie off the tissue of the picture{_SAID[options.off_tissue]}")
        found = {"off_tissue": {"rule": options.off_tissue, "spots": len(off), "off": n_off}}
        marks = {"off_tissue": off.astype(np.uint8)}
    if options.off_tissue == "drop":
        used, marks = used & ~off, {}
        if not used.any():
            raise InputError(
                "no measured spot lies on the tissue of the picture, so that none is left",
                where=f"section {section.name!r}",
                fix="look at the picture with histoscribe check, or leave off_tissue at keep",
            )
    if not used.all():
        section = section.of_spots(used)
        marks = {name: values[used] for name, values in marks.items()} | {"row": np.flatnonzero(used)}
    files = SectionFiles(
        name=section.name,
        patient=section.patient,
        xy_um=section.xy_um,
        mpp=section.mpp,
        graph=spot_graph(section),
        opener=partial(_reopened, given, used, white=options.background == "white"),
        inputs=given.record | {"notes": notes, **found},
        measured=None,
        notes=tuple(notes),
        marks=marks,
        n_off_tissue=n_off,
    )
    return files, section


_SAID = {"drop": " and are left out", "flag": "; they are kept, and marked in the tables"}


def _reopened(given: Input, used: NDArray[np.bool_], *, white: bool) -> Section:
    section = given.reopen().of_spots(used)
    return replace(section, image=on_white(section.require_image(), given.mask)) if white else section


def measured_of(section: Section, abundance: Path | None = None) -> Measured:
    """Take counts, abundances and neighbours out of a section.

    Raises
    ------
    InputError
        A table of abundances of other spots.
    """
    spots = section.spots
    table = spots.obsm.get("abundance") if abundance is None else read_abundance(abundance, section)
    return Measured(
        section.name,
        counts=spots.X.tocsr() if section.has_counts else None,
        genes=tuple(str(name) for name in spots.var_names) if section.has_counts else (),
        abundance=None if table is None else np.asarray(table, np.float64),
        cell_types=() if table is None else tuple(str(name) for name in table.columns),
        graph=spot_graph(section),
    )


def read_abundance(path: Path, section: Section) -> Any:
    """Read a CSV or TSV of cell types by barcode and put it into the order of a section's spots.

    Returns
    -------
    DataFrame (n, c); rows of spots that the section does not have are left out.

    Raises
    ------
    InputError
        No numbers, or spots of the section that have no row.
    """
    import pandas as pd

    table = read_table(path)
    barcodes = pd.Index(table.iloc[:, 0].astype(str))
    require_unique(barcodes, path)
    types = [str(name) for name in table.columns[1:]]
    values = pd.DataFrame({name: numbers(table, name, path) for name in types}, index=barcodes)
    lost = section.spots.obs_names.difference(barcodes, sort=False)
    if len(lost):
        raise InputError(
            f"{len(lost):,} of {section.spots.n_obs:,} spots of section {section.name!r} have no abundances",
            where=path,
            expected=f"one row per spot, such as {listing(section.spots.obs_names, 3)}",
            found=f"{len(barcodes):,} rows, such as {listing(barcodes, 3)}",
            fix="give the table of this very section, with barcodes written as in its table of spots",
        )
    return values.loc[section.spots.obs_names]
