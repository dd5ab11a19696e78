"""Sections that are in memory already: AnnData, SpatialData, and the package's own Section."""

from pathlib import Path
from typing import Any

from anndata import AnnData

from histoscribe.errors import InputError
from histoscribe.io import anndata, spatialdata
from histoscribe.io.assemble import reassemble
from histoscribe.io.placing import finished
from histoscribe.io.reading import Reading, Request
from histoscribe.section import Section

# what messages call a SpatialData object
OBJECT = Path("the SpatialData object")


def read_object(data: Any, request: Request) -> Reading:
    """Read a section from an object, as its file is read; the object is left as it is.

    Parameters
    ----------
    data
        AnnData with `obsm["spatial"]`, SpatialData with a table of spots, or Section.
    request
        Which section of it, and what is known of it; without a path.

    Raises
    ------
    InputError
        Where it is none of these, does not say what belongs together, or its values cannot be those of a section.
    """
    return finished(_read(data, request), request)


def is_spatialdata(data: Any) -> bool:
    """Whether an object is a SpatialData object."""
    from spatialdata import SpatialData

    return isinstance(data, SpatialData)


def _read(data: Any, request: Request) -> Reading:
    why = "it is in memory"
    if isinstance(data, Section):
        return reassemble(data, request, format="section", why=why)
    if isinstance(data, AnnData):
        held = data.to_memory() if data.isbacked else data
        return anndata.reading_of(held, request, where=Path("the AnnData object"), why=why)
    if is_spatialdata(data):
        return spatialdata.reading_of(data, request, where=OBJECT, why=why)
    raise InputError(
        "this is no section",
        expected="AnnData, SpatialData or Section",
        found=type(data).__name__,
        fix="read a folder or a file with hs.read(path)",
    )
