"""The spots' own lattice, without any tissue: its pitch in pixels, its proportions, its orientation."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from histoscribe.io.preflight_geometry import EIGHT, Placement
from histoscribe.section import Section

_SAMPLE = 20_000


@dataclass(frozen=True, slots=True)
class LatticeFit:
    """Pixels as a linear function of the assay's own rows and columns.

    Parameters
    ----------
    px_per_um
        (2, 2): pixels x, y per micron along the array's columns and along its rows.
    rms_px
        Distance of the spots from that fit.
    """

    px_per_um: NDArray[np.float64]
    rms_px: float

    @property
    def mpp(self) -> float:
        """Microns per pixel, mean of both axes."""
        return float(1 / np.sqrt(abs(np.linalg.det(self.px_per_um))))

    @property
    def stretch(self) -> float:
        """Longer over shorter axis of the ellipse that a circle on the array becomes; 1 for no distortion."""
        long, short = np.linalg.svd(self.px_per_um, compute_uv=False)
        return float(long / short)

    @property
    def mirrored(self) -> bool:
        """Whether the array is mirrored: no rotation of the slide puts its columns along x and its rows along y."""
        return bool(np.linalg.det(self.px_per_um) < 0)

    @property
    def upright(self) -> Placement:
        """Of the eight placements the one that puts the array's columns along x and its rows along y."""
        return max(EIGHT, key=lambda placement: round(float(np.trace(placement.matrix @ self.px_per_um)), 9))


def fit_lattice(section: Section) -> LatticeFit | None:
    """Fit pixels on `array_row` and `array_col`; None where they are absent or span no plane.

    On a hex lattice neighbours in a row are two columns apart, one pitch; rows are sqrt(3)/2 pitches apart.
    """
    obs, lattice = section.spots.obs, section.lattice
    if lattice is None or not {"array_row", "array_col"} <= set(obs.columns):
        return None
    unit_um = (0.5, np.sqrt(3) / 2) if lattice.kind == "hex" else (1.0, 1.0)
    index = obs[["array_col", "array_row"]].to_numpy(np.float64)
    um = index * np.asarray(unit_um) * lattice.pitch_um  # (n, 2)
    if len(um) < 4 or not np.isfinite(um).all():
        return None
    design = np.column_stack([um, np.ones(len(um))])
    solution, _, rank, _ = np.linalg.lstsq(design, section.xy_px, rcond=None)  # (3, 2)
    if rank < 3 or abs(np.linalg.det(solution[:2])) < 1e-12:
        return None
    rms = float(np.sqrt(((design @ solution - section.xy_px) ** 2).sum(1).mean()))
    return LatticeFit(solution[:2].T, rms)


def measured_mpp(section: Section, fit: LatticeFit | None) -> float | None:
    """Microns per pixel by the pitch of the spots as they are placed now; None without a lattice."""
    if section.lattice is None or len(section.xy_px) < 2:
        return None
    if fit is not None and fit.rms_px < section.lattice.pitch_um / fit.mpp / 4:
        return fit.mpp
    if fit is not None:
        return None  # rows and columns are given, but pixels do not follow them
    some = section.xy_px[:: max(1, len(section.xy_px) // _SAMPLE)]
    pitch = float(np.median(cKDTree(section.xy_px).query(some, k=2)[0][:, 1]))
    return section.lattice.pitch_um / pitch if pitch > 0 else None


def rows_along_x(section: Section) -> bool | None:
    """Whether the rows of a hex lattice run along x (True) or along y (False); None where neither is clear.

    Directions to the nearest neighbours repeat every 60 degrees, so that the mean of exp(6i angle) has the phase 0
    where one of them is x and pi where one of them is y.
    """
    if section.lattice is None or section.lattice.kind != "hex" or len(section.xy_px) < 20:
        return None
    some = section.xy_px[:: max(1, len(section.xy_px) // _SAMPLE)]
    distance, neighbour = cKDTree(section.xy_px).query(some, k=7)
    near = distance[:, 1:] < 1.25 * np.median(distance[:, 1])  # (m, 6)
    step = (section.xy_px[neighbour[:, 1:]] - some[:, None])[near]  # (k, 2)
    phase = np.mean(np.exp(6j * np.arctan2(step[:, 1], step[:, 0])))
    if abs(phase) < 0.5 or abs(phase.real) < 0.5 * abs(phase):
        return None
    return bool(phase.real > 0)
