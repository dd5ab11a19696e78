"""Visium HD for maps: a section of pseudo-spots or larger bins, summed from the 2 um bins without holding them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from histoscribe.errors import InputError
from histoscribe.io import read
from histoscribe.io.frames import within
from histoscribe.io.reading import Reading, Request
from histoscribe.io.spaceranger import Folder, positions_file, read_positions
from histoscribe.io.tables import entries
from histoscribe.io.visium_hd import BIN_FOLDER
from histoscribe.maps.bins import PITCH_UM, SPOT_UM, hex_places, owners_by_disc, owners_by_square, sum_bins
from histoscribe.section import Lattice, Section

FINE_UM = 16  # of the bins by which a map is scored


def hd_section(path: Path | str, *, to: str | int = "spots", image: Path | None = None) -> Section:
    """Sum the 2 um bins of a Visium HD section to spots as Visium's, or to bins of another size.

    Parameters
    ----------
    path
        Folder with `binned_outputs/square_002um`, which may also hold the other sizes.
    to
        "spots" for discs of 55 um on the true hexagonal lattice with a pitch of 100 um, or the side of a bin in
        microns, a multiple of 2.
    image
        A picture of full resolution, where the folder does not lead to it.

    Returns
    -------
    The section; places under which no bin lies on tissue are left out.

    Raises
    ------
    InputError
        Where there are no 2 um bins, or a file is damaged.
    """
    return hd_reading(Request(path=Path(path), image=image), to=to).section


def sums_bins(request: Request) -> bool:
    """Whether a request is for a section of Visium HD of which no size of bins is named, and 2 um bins are there."""
    return request.path is not None and request.bin_um is None and _place(request.path) is not None


def hd_reading(request: Request, *, to: str | int) -> Reading:
    """Read a section of Visium HD as `hd_section` does, with the evidence that preflight weighs."""
    path = request.path or Path()
    base = _finest(path)
    # the picture and its frame come from the coarsest bins, which have few counts
    sizes = [int(found[1]) for entry in entries(base.parent) if (found := BIN_FOLDER.fullmatch(entry.name))]
    reading = read(replace(request, bin_um=max(sizes)))
    positions = positions_file(Folder(base, base / "spatial"))
    matrix = base / "filtered_feature_bc_matrix.h5"
    section = _summed(reading, read_positions(positions), matrix, to)
    files = tuple(dict.fromkeys((*reading.files, positions, matrix)))
    return replace(reading, section=section, files=files, off_tissue_xy_px=np.empty((0, 2)))


def _summed(reading: Reading, table: pd.DataFrame, matrix: Path, to: str | int) -> Section:
    coarse = reading.section
    kept = table[table["in_tissue"].to_numpy() == 1]
    xy_px = reading.into_picture(kept[["x_px", "y_px"]].to_numpy(np.float64))
    if reading.registration is not None and coarse.image is not None:  # a part that was cut out holds some bins only
        here = within(xy_px, coarse.image.shape)
        kept, xy_px = kept[here], xy_px[here]
    xy_um = xy_px * coarse.mpp
    if to == "spots":
        places_um, array = hex_places(xy_um)
        owner = owners_by_disc(xy_um, places_um)
        lattice, platform = Lattice("hex", PITCH_UM, SPOT_UM), "visium"
    else:
        rows, columns = (kept[name].to_numpy(np.int64) for name in ("array_row", "array_col"))
        owner, array = owners_by_square(rows, columns, factor=int(to) // 2)
        count = np.maximum(np.bincount(owner, minlength=len(array)), 1)[:, None]
        places_um = np.column_stack([np.bincount(owner, xy_um[:, k], len(array)) for k in (0, 1)]) / count
        lattice, platform = Lattice("square", float(to), float(to)), "visium_hd"
    by_name = dict(zip(kept["barcode"].astype(str), owner.tolist(), strict=True))
    counts, genes = sum_bins(matrix, by_name, len(array))
    full = np.asarray(counts.sum(axis=1)).ravel() > 0
    obs = pd.DataFrame(
        {"array_row": array[full, 0], "array_col": array[full, 1]}, index=[f"{r}x{c}" for r, c in array[full]]
    )
    spots = AnnData(counts[full].astype(np.float32), obs=obs, var=pd.DataFrame(index=pd.Index(genes, dtype=object)))
    spots.var_names_make_unique()
    spots.obsm["spatial"] = places_um[full] / coarse.mpp
    return replace(coarse, spots=spots, lattice=lattice, platform=platform)


def _place(path: Path) -> Path | None:
    """Folder of the 2 um bins."""
    for place in (path, path / "binned_outputs", path / "outs" / "binned_outputs"):
        if (place / "square_002um").is_dir():
            return place / "square_002um"
    return None


def _finest(path: Path) -> Path:
    found = _place(path)
    if found is not None:
        return found
    raise InputError(
        "there are no bins of 2 um to sum",
        where=path,
        expected="binned_outputs/square_002um",
        fix="give Space Ranger's folder `outs` with its binned_outputs",
    )
