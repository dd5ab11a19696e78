"""How much room on the disk maps need, said where it runs out."""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from histoscribe.errors import ResultError
from histoscribe.maps.cells import COMPONENTS
from histoscribe.maps.export import RASTERS
from histoscribe.maps.grid import Grid
from histoscribe.maps.local import NAMES
from histoscribe.section import Section

_RANK = 40  # factors of a map, and numbers of an embedding, at most but for options
_PYRAMID = 4 / 3  # of a picture with its smaller levels


def needed_bytes(section: Section, grid: Grid, *, genes: int) -> int:
    """Bytes that maps of a section take at most, nothing compressed: picture, features, rasters, bins, loadings."""
    image = section.require_image()
    picture = 3 * image.width * image.height * _PYRAMID
    features = 2 * grid.size * (COMPONENTS + len(NAMES))
    rasters = 4 * grid.size * (2 * min(genes, RASTERS) + 3 * _RANK)
    return int(picture + features + rasters + 4 * genes * (_RANK + section.spots.n_obs))


@contextmanager
def explaining_full_disk(out: Path, needed: int) -> Iterator[None]:
    """Add to the error of a full disk how much room there is, and how much is needed at most."""
    try:
        yield
    except ResultError as error:
        if getattr(error.__cause__, "errno", None) not in (errno.ENOSPC, errno.EDQUOT):
            raise
        place = next(folder for folder in (out.absolute(), *out.absolute().parents) if folder.exists())
        raise ResultError(
            "the disk is full",
            where=out,
            expected=f"up to {needed / 1e6:,.0f} MB of room for these maps",
            found=f"{shutil.disk_usage(place).free / 1e6:,.0f} MB left",
            fix="make room, or give another folder with --out or larger cells with --um, and run the same again: "
            "what is done is kept",
        ) from error
