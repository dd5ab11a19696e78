"""The hackathon's HDF5 file: several sections with a picture, spots and the abundances of 35 unnamed cell types.

Layout: `images/Train/S_1` float32 (height, width, 3) of 0 to 1; `spots/Train/S_1` a structured array of x, y and C1 to
C35; the same under `Test`, with `Test_Set` instead of the abundances. x is the column, y the row of the picture.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray
from scipy import sparse

from histoscribe.errors import InputError, listing, nearest
from histoscribe.io.assemble import Parts, add_pitch, assemble
from histoscribe.io.lattice import VISIUM
from histoscribe.io.reading import Reading, Request
from histoscribe.io.tables import missing
from histoscribe.slide.image import RGB, ArraySource, SlideImage
from histoscribe.store.hdf5 import open_hdf5, require_dataset, require_group
from histoscribe.store.received import is_there

_HDF5 = b"\x89HDF\r\n\x1a\n"
_GROUPS = ("Train", "Test")
_TYPE = re.compile(r"C(\d+)")
_BLOCK_ROWS = 256


class ChallengeH5:
    """Reader of the hackathon's file, one section per slide."""

    name = "challenge_h5"

    def recognise(self, path: Path) -> str | None:
        """Return the reason why `path` is such a file, or None."""
        if not path.is_file() or path.suffix == ".h5ad":
            return None
        try:
            with path.open("rb") as file:
                if file.read(8) != _HDF5:
                    return None
        except OSError:
            return None
        try:
            with open_hdf5(path) as h5:
                held = {"images", "spots"} <= set(h5)
        except InputError:
            return None
        return "it is an HDF5 file with the groups images and spots" if held else None

    def sections(self, path: Path) -> list[str]:
        """Names of the slides, those for training first."""
        with open_hdf5(path) as h5:
            return list(_slides(h5, path))

    def read(self, request: Request) -> Reading:
        """Read the slide that `request.section` names.

        Abundances become `obsm["abundance"]`, a DataFrame (n, 35) of C1 to C35; `obs["test_set"]` stands for test
        slides. A spot is named after its slide and its row in the file: "S_7_0".

        Raises
        ------
        InputError
            Where the file is damaged, or the slide is not named or not there.
        """
        path = request.path
        if path is None:
            raise InputError("the challenge's file is read from its path", expected="path", fix="give path")
        if not is_there(path):
            raise missing(path)
        why = self.recognise(path)
        if why is None:
            with open_hdf5(path) as h5:
                found = f"groups: {listing(h5)}"
            raise InputError(
                "this is not the challenge's file", where=path, expected="the groups images and spots", found=found
            )
        with open_hdf5(path) as h5:
            slides = _slides(h5, path)
            name = request.section or (next(iter(slides)) if len(slides) == 1 else "")
            if name not in slides:
                raise InputError(
                    f"there is no slide {name!r}" if name else "the file holds several slides",
                    where=path,
                    found=f"slides: {listing(slides, 40)}",
                    fix=f"name one in `section`{'; ' + nearest(name, slides) if name else ''}",
                )
            parts = _parts(h5, name, slides[name], path, why)
        add_pitch(parts)
        return assemble(parts, request)


FORMAT = ChallengeH5()


def _slides(h5: Any, path: Path) -> dict[str, str]:
    """Group of each slide that has a picture and spots."""
    slides: dict[str, str] = {}
    for group in _GROUPS:
        pictures, spots = (_members(h5, kind, group, path) for kind in ("images", "spots"))
        if pictures != spots:
            raise InputError(
                f"pictures and spots of {group} do not match",
                where=path,
                expected="a picture and a table of spots for every slide",
                found=f"only one of the two for {listing(sorted(pictures ^ spots))}",
            )
        slides |= dict.fromkeys(sorted(pictures), group)
    if not slides:
        raise InputError("the file holds no slides", where=path, expected="images/Train/S_1 and spots/Train/S_1")
    return slides


def _members(h5: Any, kind: str, group: str, path: Path) -> set[str]:
    """Names of the slides of a group; none where it is not there."""
    top = require_group(h5, kind, where=path)
    return set(require_group(top, group, where=path)) if group in top else set()


def _parts(h5: Any, name: str, group: str, path: Path, why: str) -> Parts:
    stored = require_dataset(h5[f"spots/{group}"], name, where=path)
    fields = stored.dtype.names or ()
    if not {"x", "y"} <= set(fields) or stored.ndim != 1 or not stored.size:
        raise InputError(
            f"spots/{group}/{name} is no table of spots",
            where=path,
            expected="rows with the fields x, y and C1 to C35, or Test_Set",
            found=f"shape {stored.shape}, fields: {listing(fields)}",
        )
    table = stored[()]
    types = sorted((field for field in fields if _TYPE.fullmatch(field)), key=lambda field: int(field[1:]))
    xy_px = np.column_stack([_numeric(table, axis, name, path) for axis in ("x", "y")])  # (n, 2)
    if (xy_px < 0).any():
        raise InputError(f"spots/{group}/{name} holds negative coordinates", where=path)
    names = [f"{name}_{row}" for row in range(len(table))]
    spots = AnnData(X=sparse.csr_matrix((len(table), 0), dtype=np.float32), obs=pd.DataFrame(index=names))
    spots.obsm["spatial"] = xy_px
    if types:
        values = {field: _numeric(table, field, name, path) for field in types}
        spots.obsm["abundance"] = pd.DataFrame(values, index=spots.obs_names)
    if "Test_Set" in fields:
        spots.obs["test_set"] = _numeric(table, "Test_Set", name, path).astype(np.int64)
    return Parts(
        format="challenge_h5",
        why=why,
        platform="visium",
        spots=spots,
        lattice=VISIUM,
        image=SlideImage(
            ArraySource(
                [_picture(require_dataset(h5[f"images/{group}"], name, where=path), f"images/{group}/{name}", path)]
            )
        ),
        files=[path],
        notes=[f"slide {name} of {group}" + ("" if types else "; it has no abundances")],
    )


def _numeric(table: NDArray[Any], field: str, name: str, path: Path) -> NDArray[np.float64]:
    if table[field].dtype.kind not in "biuf":
        raise InputError(f"field {field!r} of slide {name} does not hold numbers", where=path)
    values = table[field].astype(np.float64)
    bad = ~np.isfinite(values)
    if values.ndim != 1 or bad.any():
        raise InputError(
            f"field {field!r} of slide {name} holds {int(bad.sum()):,} values that are not finite",
            where=path,
            expected="one number per spot",
        )
    return np.asarray(values)


def _picture(dataset: Any, name: str, path: Path) -> RGB:
    """Turn floats of 0 to 1 into uint8, some rows at a time."""
    shape: tuple[int, ...] = dataset.shape or ()
    if len(shape) != 3 or shape[2] != 3 or 0 in shape or dataset.dtype.kind not in "fu":
        raise InputError(
            f"{name} is no picture", where=path, expected="float32 (height, width, 3) of 0 to 1", found=f"shape {shape}"
        )
    picture = np.empty(shape, np.uint8)
    for top in range(0, shape[0], _BLOCK_ROWS):
        rows = dataset[top : top + _BLOCK_ROWS]
        if rows.dtype == np.uint8:
            picture[top : top + _BLOCK_ROWS] = rows
            continue
        if not (np.isfinite(rows).all() and rows.min() >= 0 and rows.max() <= 1):
            raise InputError(
                f"{name} holds values outside 0 to 1",
                where=path,
                expected="float32 of 0 to 1",
                found=f"{np.nanmin(rows):.3g} to {np.nanmax(rows):.3g}",
            )
        picture[top : top + _BLOCK_ROWS] = np.rint(rows * 255)
    return picture
