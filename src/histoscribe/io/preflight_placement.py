"""Whether the spots lie where the tissue is, and if not, which swap, mirror, turn or scale would bring them there.

A placement is refused only against another one that fits clearly better; where several fit alike, the spots' lattice
may decide, and otherwise the finding says that it is undecided.
"""

from dataclasses import dataclass

import numpy as np

from histoscribe.io.preflight_findings import Finding, Level, factor, percent
from histoscribe.io.preflight_geometry import AS_GIVEN, EIGHT, Fit, Placement, Scene, scalings
from histoscribe.io.preflight_lattice import LatticeFit, rows_along_x
from histoscribe.io.reading import Reading
from histoscribe.section import Section
from histoscribe.slide.align import Alignment, estimate_shift
from histoscribe.slide.tissue import TissueMask

_INSIDE = 0.95  # share of the spots that a placement must have inside the image
_ON_TISSUE = 0.85  # share of the spots that a placement must have on tissue to be called the right one
# agreement that it must reach where only the ground beside the spots supports it: the user may have chosen spots, so
# that this ground is tissue; less where the vendor lists spots off tissue
_BY_GAPS, _BY_OFF_TISSUE = 0.8, 0.6
_CORNER = 1 / 3  # spots that span less of the image may be too small
_SHIFT_PITCHES = 3.0  # a section may be misplaced by so much without being mirrored


@dataclass(frozen=True, slots=True)
class Verdict:
    """All placements that were tried, and the one that fits clearly better than the given one, if any.

    `shift` is the small shift that suits the spots as given; `handed` the array's fit where its handedness is known.
    """

    scene: Scene
    given: Fit
    others: list[Fit]
    better: Fit | None
    shift: Alignment
    handed: LatticeFit | None


def judge(
    reading: Reading, mask: TissueMask, *, lattice: LatticeFit | None = None, measured_mpp: float | None = None
) -> Verdict:
    """Try the eight placements, and the scale factors that the spots' extent or their pitch calls for.

    Parameters
    ----------
    reading, mask
        The section and its tissue.
    lattice
        How pixels follow the array's rows and columns; None where the array is unknown.
    measured_mpp
        Microns per pixel by the pitch of the spots as they stand; None without a lattice.
    """
    scene = Scene(reading, mask)
    given, *others = scene.fits(EIGHT)
    shrunk, small = given.inside < _INSIDE, scene.spread < _CORNER
    by_pitch = 1.0 if measured_mpp is None else measured_mpp / reading.section.mpp
    wanted = [
        s
        for s in scalings(reading, measured_mpp)
        if (s.scale < 1 and shrunk)
        or (s.scale > 1 and small)
        or (abs(by_pitch - 1) > 0.1 and abs(s.scale / by_pitch - 1) < 0.05)
    ]
    scaled = [
        Placement(s.scale, axes.swap, axes.mirror_x, axes.mirror_y, s.scale_name) for s in wanted for axes in EIGHT
    ]
    section = reading.section
    shift = estimate_shift(
        mask,
        scene.xy_px,
        diameter_px=section.lattice.spot_diameter_um / section.mpp if section.lattice else 0.0,
        max_shift_px=_SHIFT_PITCHES * scene.spacing_px,
        off_tissue_xy_px=scene.off_tissue_px if scene.has_off_tissue else None,
    )
    tried = [*others, *scene.fits(scaled)]
    # in a picture that is known to be mirrored the array is, too
    mirrored = reading.registration is not None and np.linalg.det(reading.registration.turn.matrix) < 0
    handed = lattice if _is_vendor_hex(section) and not mirrored else None
    leading = [fit for fit in tried if _clearly_better(fit, given, scene, handed)]
    # of equals the first is taken: the vendor's scales before powers of ten
    better = max(leading, key=_plausibility, default=None)
    return Verdict(scene, given, others, better, shift, handed)


def _clearly_better(fit: Fit, given: Fit, scene: Scene, handed: LatticeFit | None) -> bool:
    if fit.inside < _INSIDE or fit.on_tissue < _ON_TISSUE:
        return False
    gain = fit.on_tissue - given.on_tissue
    if given.inside < _INSIDE:
        return gain >= scene.margin
    if fit.agreement - given.agreement < scene.margin or gain < -0.02:
        return False
    if gain >= scene.margin or (handed is not None and handed.upright.key == fit.placement.key):
        return True
    as_made = handed is not None and handed.upright == AS_GIVEN
    return fit.agreement >= (_BY_OFF_TISSUE if scene.has_off_tissue and not as_made else _BY_GAPS)


def _plausibility(fit: Fit) -> float:
    """How well a placement fits, less for needing both a scale and a change of the axes: two mistakes are rarer."""
    both = fit.placement.scale != 1 and fit.placement.key != AS_GIVEN.key
    return round(fit.agreement + fit.on_tissue - 0.1 * (fit.placement.scale != 1) - 0.1 * both, 2)


def inside_finding(verdict: Verdict) -> Finding:
    """How many spots lie inside the image, and the factor that would bring them in."""
    scene, given = verdict.scene, verdict.given
    inside = scene.inside(scene.xy_px)
    n, width, height = len(scene.xy_px), *scene.size_px
    outside = round(n * (1 - inside))
    evidence = {"inside_share": inside, "n_outside": outside, "n_spots": n, "width_px": width, "height_px": height}
    if outside == 0:
        return Finding("spots inside the image", "ok", f"All {n:,} spots lie inside the image.", evidence)
    message = f"{outside:,} of {n:,} spots ({percent(1 - inside)}) lie outside the {width:,} x {height:,} px image."
    level: Level = "refused" if given.inside < _INSIDE or inside < _INSIDE else "warning"
    if level == "warning":
        fix = "leave these spots out, or use the whole image"
        return Finding("spots inside the image", level, message, evidence, fix)
    fix = "check that the image and the spot table belong together and are in the same resolution"
    return Finding("spots inside the image", level, message, evidence, fix)


def tissue_finding(verdict: Verdict) -> Finding:
    """How many spots lie on tissue."""
    scene, given = verdict.scene, verdict.given
    best = max([given, *verdict.others], key=lambda fit: fit.on_tissue)
    evidence = {
        "on_tissue_share": given.on_tissue,
        "beside_on_tissue_share": given.beside_on_tissue,
        "best_on_tissue_share": best.on_tissue,
        "tissue_share_of_image": scene.mask.share,
    }
    message = f"{percent(given.on_tissue)} of the spots lie on tissue."
    if scene.has_off_tissue:
        message = message[:-1] + f", and {percent(given.beside_on_tissue)} of those that the vendor calls off tissue."
    highest = max(fit.agreement for fit in [given, *verdict.others])
    unrelated = scene.has_off_tissue and highest < 0.2 and best.on_tissue < 0.85
    if given.on_tissue < 0.5 or unrelated:
        fix = ""  # where another placement fits, its finding says how to get there
        if verdict.better is None:
            fix = "give the image of this very section, in the orientation in which the spots were placed"
            message = (
                f"Only {message[0].lower()}{message[1:-1]}, and no swap, mirror or turn of the coordinates brings more "
                f"than {percent(best.on_tissue)} there. The image is probably of another section."
            )
        return Finding("spots on tissue", "refused", message, evidence, fix)
    if given.on_tissue < 0.8:
        fix = "look at the figure of spots on the image: where they are shifted, align them; is it the right image?"
        return Finding("spots on tissue", "warning", message, evidence, fix)
    return Finding("spots on tissue", "ok", message, evidence)


def orientation_finding(verdict: Verdict, section: Section) -> Finding:
    """Whether another of the eight placements, or a scale, fits clearly better than the one given."""
    better, handed = verdict.better, verdict.handed
    if better is not None and better.placement.scale != 1:
        return _scale_refusal(verdict, better)
    if better is not None and not _explained_by_shift(verdict, better):
        return _refusal(verdict, better)
    if handed is not None and handed.mirrored:
        fit = verdict.scene.fit(handed.upright)
        if fit.agreement >= verdict.given.agreement - verdict.scene.margin / 2:
            return _lattice_refusal(verdict, fit)
    rivals = _rivals(verdict, section)
    if rivals:
        return _undecided(verdict, rivals)
    message = "The spots fit the tissue better as given than swapped, mirrored or turned."
    if handed is not None and not _rival_fits(verdict):
        return Finding("orientation", "ok", message, _evidence(verdict))
    if handed is not None:
        message = "Rows and columns run as on the vendor's slide, and the tissue does not contradict this."
    return Finding("orientation", "ok", message, _evidence(verdict))


def shift_finding(verdict: Verdict) -> Finding:
    """Whether the spots would fit better if all were moved alike; they are moved only on demand."""
    shift, scene = verdict.shift, verdict.scene
    dx, dy = shift.shift_px
    pitches = (dx**2 + dy**2) ** 0.5 / scene.spacing_px
    evidence = {
        "shift_x_px": dx,
        "shift_y_px": dy,
        "shift_pitches": pitches,
        "score_before": shift.score_before,
        "score_after": shift.score_after,
        "determined": float(shift.determined),
    }
    if not shift.determined:
        return Finding("shift", "open", shift.message, evidence)
    if pitches <= 1 or shift.score_after - shift.score_before < 0.02:
        return Finding("shift", "ok", shift.message, evidence)
    message = f"{shift.message[:-1]}, {pitches:.1f} times the distance between spots."
    fix = "look at the figure of spots on the image; run again with alignment to move the spots"
    return Finding("shift", "warning", message, evidence, fix)


def _is_vendor_hex(section: Section) -> bool:
    # Visium slides are imaged from above; HD slides and others may be mirrored
    return section.platform == "visium" and section.lattice is not None and section.lattice.kind == "hex"


def _explained_by_shift(verdict: Verdict, better: Fit) -> bool:
    """Whether a small shift of the given placement fits as well: then nothing supports a mirror."""
    gain = verdict.shift.score_after - verdict.shift.score_before
    if verdict.given.inside < _INSIDE or gain < 0.02:
        return False
    scene = verdict.scene
    moved = scene.spots_px + verdict.shift.shift_px
    beside = scene.beside_px + verdict.shift.shift_px
    agreement = scene.mask.at(moved).mean() - (scene.mask.at(beside).mean() if len(beside) else 0)
    return bool(agreement >= better.agreement - scene.margin / 4)


def _rival_fits(verdict: Verdict) -> list[Fit]:
    least = verdict.given.agreement - verdict.scene.margin / 2
    return [fit for fit in verdict.others if fit.agreement >= least and fit.inside >= verdict.given.inside - 0.02]


def _rivals(verdict: Verdict, section: Section) -> list[Fit]:
    """Placements that fit as well as the given one and that the lattice does not exclude."""
    rivals = _rival_fits(verdict)
    if verdict.handed is not None and verdict.handed.upright == AS_GIVEN:
        return []
    if verdict.handed is None and section.lattice is not None and rows_along_x(section):
        return [fit for fit in rivals if not fit.placement.swap]
    return rivals


def _refusal(verdict: Verdict, better: Fit) -> Finding:
    given = verdict.given
    subject, after = _subject(better.placement)
    message = (
        f"{subject}: {percent(given.on_tissue)} of the spots lie on tissue as given, {percent(better.on_tissue)} after "
        f"{after} ({_ground(verdict)}: {percent(given.beside_on_tissue)} and {percent(better.beside_on_tissue)})."
    )
    if verdict.handed is not None and verdict.handed.upright == better.placement:
        message += " The array's rows and columns say the same."
    return Finding("orientation", "refused", message, _evidence(verdict), better.placement.fix)


def _lattice_refusal(verdict: Verdict, fit: Fit) -> Finding:
    subject, after = _subject(fit.placement)
    message = (
        f"{subject}: the array is mirrored, which no rotation of a Visium slide can do. The tissue does not "
        f"contradict this: {percent(verdict.given.on_tissue)} of the spots lie on tissue as given, "
        f"{percent(fit.on_tissue)} after {after}."
    )
    return Finding("orientation", "refused", message, _evidence(verdict), fit.placement.fix)


def _scale_refusal(verdict: Verdict, better: Fit) -> Finding:
    given, scale = verdict.given, better.placement.scale
    size = f"{factor(1 / scale)} too large" if scale < 1 else f"{factor(scale)} too small"
    reason = better.placement.scale_name
    message = (
        f"The coordinates are {size} for this image: {percent(given.inside)} of the spots lie inside it and "
        f"{percent(given.on_tissue)} on tissue as given, {percent(better.inside)} and {percent(better.on_tissue)} "
        f"after multiplying them by {scale:.4g}. Probably {reason}."
    )
    fix = f"give the image of these coordinates, state its scale, or multiply the coordinates by {scale:.6g}"
    if better.placement.key != AS_GIVEN.key:
        message += f" {_subject(better.placement)[0]} as well."
        fix += f"; then {better.placement.fix}"
    return Finding("orientation", "refused", message, _evidence(verdict), fix)


def _undecided(verdict: Verdict, rivals: list[Fit]) -> Finding:
    names = ", ".join(fit.placement.name for fit in rivals)
    message = (
        f"The tissue does not determine how the spots are oriented: {percent(verdict.given.on_tissue)} of them lie on "
        f"tissue as given, and up to {percent(max(fit.on_tissue for fit in rivals))} if the coordinates are taken as "
        f"{names}."
    )
    fix = "compare a landmark of the tissue with a marker gene's map, or the spots with the fiducial frame"
    return Finding("orientation", "open", message, _evidence(verdict), fix)


def _subject(placement: Placement) -> tuple[str, str]:
    """Say what was done to the coordinates, and what undoing it is called."""
    if placement.key == (True, False, False):
        return "x and y look swapped", "exchanging them"
    if placement.key == (True, True, True):
        return "The coordinates look turned by 180 degrees, with x and y swapped", "undoing both"
    return f"The coordinates look {placement.name}", "undoing it"


def _ground(verdict: Verdict) -> str:
    return "of the spots off tissue" if verdict.scene.has_off_tissue else "of the ground between and around the spots"


def _evidence(verdict: Verdict) -> dict[str, float]:
    evidence = {"agreement as given": verdict.given.agreement, "margin": verdict.scene.margin}
    for fit in verdict.others:
        evidence[f"agreement if {fit.placement.name}"] = fit.agreement
    if verdict.better is not None:
        evidence["on_tissue_share as given"] = verdict.given.on_tissue
        evidence["on_tissue_share of the better"] = verdict.better.on_tissue
        evidence["scale of the better"] = verdict.better.placement.scale
    return evidence
