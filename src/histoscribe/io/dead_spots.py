"""Dead and swamped spots of a section that was read: see `expression.dead_spots`."""

import numpy as np
from numpy.typing import NDArray

from histoscribe.expression.dead_spots import dead_spots, swamped_spots
from histoscribe.section import Section
from histoscribe.slide.tissue import TissueMask


def dead_spots_of(section: Section, mask: TissueMask | None) -> NDArray[np.bool_]:
    """Say of each spot, (n,), whether its measurement failed; of none where nothing was counted."""
    if not section.has_counts:
        return np.zeros(section.spots.n_obs, bool)
    total = np.asarray(section.spots.X.sum(axis=1), np.float64).ravel()
    largest = section.spots.X.max(axis=1).toarray().ravel()
    swamped = swamped_spots(total, largest, section.xy_um)
    on_tissue = None if mask is None else mask.at(section.xy_px)
    return dead_spots(np.where(swamped, np.median(total), total), section.xy_um, on_tissue=on_tissue) | swamped
