"""The names of legacy ST's rows of counts: "10x12" is column x row in most tables, row x column in some."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from anndata import AnnData
from numpy.typing import NDArray

from histoscribe.slide.image import SlideImage

_NAME = r"^\s*(\d+(?:\.\d+)?)\s*[xX\u00d7_,]\s*(\d+(?:\.\d+)?)\s*$"
_MORE = 0.02  # of the rows that meet a spot one way round and not the other: a border that was drawn anew makes less
_CLEARLY = 0.2  # of a correlation
_SIDE_PX = 1024


def fitting_names(
    barcodes: pd.Index,
    selected: NDArray[np.bool_],
    counts: AnnData,
    darkness: Callable[[], NDArray[np.float64]] | None,
) -> tuple[pd.Index, list[str]]:
    """Return the rows' names as the spots are named, and what was decided.

    Both ways round are tried. That is taken in which more rows meet a selected spot; where both meet as many, that in
    which the counts follow the tissue's darkness in the picture.

    Parameters
    ----------
    barcodes, selected
        Names of the spots, "XxY", and whether each is on tissue, (n,).
    counts
        Its rows are named "XxY", "YxX", or with the fractions that aligning leaves, "10.02x11.97".
    darkness
        Gives the darkness of the picture under each spot, (n,); None without a picture.
    """
    names = counts.obs_names
    parts = pd.Series(names.astype(str)).str.extract(_NAME)
    if parts.isna().any(axis=None):
        return names, []
    x, y = (parts[k].astype(float).round().astype(int).astype(str) for k in (0, 1))
    ways = {"as named": pd.Index(x + "x" + y), "the other way round": pd.Index(y + "x" + x)}
    if not ways["as named"].is_unique:  # fractions that mean two places
        return names, []
    met = {way: int(one.isin(barcodes[selected]).sum()) for way, one in ways.items()}
    given, turned = met.values()
    told = f"{turned:,} of {len(names):,} rows meet a selected spot so, {given:,} as they are named"
    notes = [] if ways["as named"].equals(names.astype(str)) else ["names of the rows of counts were rounded to places"]
    if turned > given + _MORE * len(names):
        notes.append(f"rows of counts are named row x column and were read so: {told}")
        return ways["the other way round"], notes
    same = bool((x == y).mean() > 1 - _MORE)
    if given > turned + _MORE * len(names) or same or given == 0:
        return ways["as named"], notes
    if darkness is None:
        return ways["as named"], [*notes, f"whether rows of counts are named column x row is not known: {told}"]
    total = np.log1p(np.asarray(counts.X.sum(axis=1)).ravel())
    dark = darkness()
    follow = {way: _correlation(total, dark, barcodes.get_indexer(one)) for way, one in ways.items()}
    lead = follow["the other way round"] - follow["as named"]
    told += f"; counts follow the darkness of the tissue by {follow['the other way round']:.2f} so, else by "
    told += f"{follow['as named']:.2f} (correlation)"
    if lead > _CLEARLY:
        return ways["the other way round"], [*notes, f"rows of counts are named row x column and were read so: {told}"]
    if lead > -_CLEARLY:
        notes.append(f"whether rows of counts are named column x row is not known, and was assumed: {told}")
    return ways["as named"], notes


def darkness_at(image: SlideImage, xy_px: NDArray[np.float64]) -> NDArray[np.float64]:
    """Darkness of a picture at points, (n,), 0 to 255; 0 outside."""
    picture, _ = image.overview(max_side=_SIDE_PX)
    dark = 255.0 - picture.mean(axis=2)
    at = np.floor(xy_px * np.array([dark.shape[1] / image.width, dark.shape[0] / image.height])).astype(np.int64)
    inside = ((at >= 0) & (at < dark.shape[::-1])).all(axis=1)
    found = np.zeros(len(xy_px))
    found[inside] = dark[at[inside, 1], at[inside, 0]]
    return found


def _correlation(total: NDArray[np.float64], dark: NDArray[np.float64], spot: NDArray[np.intp]) -> float:
    known = spot >= 0
    first, second = total[known], dark[spot[known]]
    if known.sum() < 3 or first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.corrcoef(first, second)[0, 1])
