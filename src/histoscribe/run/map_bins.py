"""Visium HD for maps: a section of pseudo-spots or larger bins, summed from the 2 um bins without holding them."""

from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from anndata import AnnData

from histoscribe.errors import InputError
from histoscribe.io import read
from histoscribe.io.reading import Request
from histoscribe.io.spaceranger import read_positions
from histoscribe.maps.bins import PITCH_UM, SPOT_UM, hex_places, owners_by_disc, owners_by_square, sum_bins
from histoscribe.section import Lattice, Section


def hd_section(path: Path | str, *, to: Literal["spots"] | int = "spots", image: Path | None = None) -> Section:
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
    path = Path(path)
    base = _finest(path)
    # the picture and its frame come from the coarsest bins, whose counts are few
    sizes = [int(entry.name[7:10]) for entry in base.parent.glob("square_*um")]
    reading = read(Request(path=path, image=image, bin_um=max(sizes)))
    coarse = reading.section
    table = read_positions(next((base / "spatial").glob("tissue_positions.*")))
    kept = table[table["in_tissue"].to_numpy() == 1]
    xy_px = kept[["x_px", "y_px"]].to_numpy(np.float64) * reading.image_scale
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
    counts, genes = sum_bins(base / "filtered_feature_bc_matrix.h5", by_name, len(array))
    full = np.asarray(counts.sum(axis=1)).ravel() > 0
    obs = pd.DataFrame(
        {"array_row": array[full, 0], "array_col": array[full, 1]}, index=[f"{r}x{c}" for r, c in array[full]]
    )
    spots = AnnData(counts[full].astype(np.float32), obs=obs, var=pd.DataFrame(index=pd.Index(genes, dtype=object)))
    spots.var_names_make_unique()
    spots.obsm["spatial"] = places_um[full] / coarse.mpp
    return replace(coarse, spots=spots, lattice=lattice, platform=platform)


def _finest(path: Path) -> Path:
    for place in (path, path / "binned_outputs", path / "outs" / "binned_outputs"):
        if (place / "square_002um").is_dir():
            return place / "square_002um"
    raise InputError(
        "there are no bins of 2 um to sum",
        where=path,
        expected="binned_outputs/square_002um",
        mend="give Space Ranger's folder `outs` with its binned_outputs",
    )
