"""The preflight, or coordinate doctor: whether the image, the spots and the counts of a section fit each other.

It compares every source it can find and lets none decide alone: microns per pixel by pitch, files and tags; the tissue
under the spots and beside them for each way the coordinates could have been swapped, mirrored, turned or scaled; and
the spots' own lattice. What does not fit is refused with its numbers; what the data leave open is reported as open.
"""

from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError
from histoscribe.io.dead_spots import dead_spots_of
from histoscribe.io.preflight_counts import counts_findings, join_finding, spots_findings
from histoscribe.io.preflight_findings import Finding, Level
from histoscribe.io.preflight_lattice import fit_lattice, measured_mpp
from histoscribe.io.preflight_placement import (
    Verdict,
    inside_finding,
    judge,
    orientation_finding,
    shift_finding,
    tissue_finding,
)
from histoscribe.io.preflight_scale import all_sources, lattice_finding, mpp_finding, spot_size_finding
from histoscribe.io.preflight_stain import stain_finding
from histoscribe.io.reading import Reading
from histoscribe.io.same_picture import same_picture_finding, turn_findings
from histoscribe.section import PICTURE, Section
from histoscribe.slide.registration import LEAST
from histoscribe.slide.tissue import TissueMask, tissue_mask


@dataclass(frozen=True, slots=True)
class Preflight:
    """Everything that was checked of one section.

    Parameters
    ----------
    section
        Its name.
    findings
        In the order of the checks.
    mpp_by_source
        Microns per pixel by every source, the spots' pitch measured again.
    """

    section: str
    findings: tuple[Finding, ...]
    mpp_by_source: dict[str, float] = field(default_factory=dict)

    @property
    def refused(self) -> bool:
        """Whether anything was refused."""
        return any(finding.level == "refused" for finding in self.findings)

    def raise_if_refused(self) -> None:
        """Raise InputError listing every refusal with its evidence and its fix; do nothing where there is none."""
        refusals = [finding for finding in self.findings if finding.level == "refused"]
        if refusals:
            fixes = dict.fromkeys(finding.fix for finding in refusals if finding.fix)
            raise InputError(
                "the preflight refuses this section. " + " ".join(finding.message for finding in refusals),
                where=f"section {self.section!r}",
                fix="; ".join(fixes) or None,
            )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-able data: `section`, `refused`, `findings`, `mpp_by_source`."""
        return {
            "section": self.section,
            "refused": self.refused,
            "findings": [finding.to_dict() for finding in self.findings],
            "mpp_by_source": {name: round(mpp, 6) for name, mpp in self.mpp_by_source.items()},
        }


def preflight(reading: Reading, *, mask: TissueMask | None = None, dead: NDArray[np.bool_] | None = None) -> Preflight:
    """Check that the parts of a section fit each other, and that its picture can be H&E.

    Parameters
    ----------
    reading
        The section as read, or a picture alone, of which only the stain is judged.
    mask
        The section's tissue where it is already known; found from the image otherwise.
    dead
        (n,) spots whose measurement failed, where that is already known; found from the counts otherwise.

    Returns
    -------
    Preflight with one finding per check, each "ok", "open", "warning" or "refused".

    Examples
    --------
    >>> from dataclasses import replace
    >>> from pathlib import Path
    >>> from histoscribe.io import read
    >>> from histoscribe.io.preflight import break_coordinates, preflight
    >>> from histoscribe.phantom import make_phantom, write_spaceranger
    >>> outs = write_spaceranger(make_phantom(7, size_um=(1200.0, 800.0), mpp=1.0), Path("my_section"))
    >>> reading = read("my_section")
    >>> preflight(reading).refused
    False
    >>> swapped = replace(reading, section=break_coordinates(reading.section, "swap"))
    >>> [finding.name for finding in preflight(swapped).findings if finding.level == "refused"]
    ['spots inside the image', 'orientation']
    """
    section = reading.section
    if section.platform == PICTURE:
        return _picture_alone(section, mask)
    lattice = fit_lattice(section)
    measured = measured_mpp(section, lattice)
    sources = all_sources(reading, measured)
    findings = spots_findings(section)
    findings += [] if reading.join is None else [join_finding(reading.join)]
    verdict = None
    if section.image is None:
        message = "There is no image: spots and tissue cannot be compared."
        findings.append(Finding("image", "warning", message, {}, "give the H&E image of this section"))
    else:
        mask = tissue_mask(section.image) if mask is None else mask
        verdict = None if mask.share == 0 else judge(reading, mask, lattice=lattice, measured_mpp=measured)
        findings += turn_findings(section.image)
        same = None if verdict is None else same_picture_finding(reading)
        if verdict is None:
            findings.append(_blank_finding(section, "refused"))
        elif same is None or same.level != "refused":  # in another picture the spots say nothing more
            findings += _placement_findings(verdict, section)
        findings += [] if same is None else [same]
        # of a picture that lies otherwise the size of a pixel is wrong, and so is what is seen as tissue
        lies_otherwise = same is not None and same.level == "refused" and same.evidence.get("correlation", 0) >= LEAST
        findings += [] if verdict is None or lies_otherwise else [stain_finding(section.image, mask)]
        on_tissue = verdict is not None and verdict.better is None and verdict.given.on_tissue >= 0.8
        findings.append(mpp_finding(sources, in_use=section.mpp, on_tissue=on_tissue))
        size = spot_size_finding(reading)
        findings += [size] if size else []
    findings += [lattice_finding(reading, lattice)] if lattice else []
    dead = dead_spots_of(section, mask) if dead is None else dead
    findings += counts_findings(section, dead=dead)
    return Preflight(section.name, tuple(findings), sources)


def break_coordinates(section: Section, how: Literal["swap", "scale"]) -> Section:
    """Corrupt the coordinates on purpose, to show the refusal: exchange x and y, or make them ten times too small."""
    spots = section.spots.copy()
    spots.obsm["spatial"] = section.xy_px[:, ::-1].copy() if how == "swap" else section.xy_px / 10
    return replace(section, spots=spots)


def _placement_findings(verdict: Verdict, section: Section) -> list[Finding]:
    tissue = tissue_finding(verdict)
    findings = [inside_finding(verdict), tissue]
    # where the spots miss the tissue, neither orientation nor shift can be determined
    if tissue.level != "refused" or verdict.better is not None:
        findings.append(orientation_finding(verdict, section))
    if tissue.level != "refused" and verdict.better is None:
        findings.append(shift_finding(verdict))
    scene = verdict.scene
    if scene.overlap >= 0.02:
        share = round(100 * scene.overlap)
        message = (
            f"{share} % of the spots that the vendor calls off tissue stand where spots on tissue stand. The two lists "
            "cannot both be right; that of spots off tissue was ignored."
        )
        fix = "take both lists from one tissue_positions file, in one resolution"
        findings.append(Finding("spots off tissue", "warning", message, {"overlap_share": scene.overlap}, fix))
    return findings


def _picture_alone(section: Section, mask: TissueMask | None) -> Preflight:
    image = section.require_image()
    mask = tissue_mask(image) if mask is None else mask
    # nothing to be found on it is a result too
    finding = stain_finding(image, mask) if mask.share else _blank_finding(section, "warning")
    return Preflight(section.name, (*turn_findings(image), finding), dict(image.mpp_by_source))


def _blank_finding(section: Section, level: Level) -> Finding:
    image = section.require_image()
    message = f"No tissue was found in the {image.width:,} x {image.height:,} px image: it looks blank."
    evidence = {"width_px": float(image.width), "height_px": float(image.height)}
    return Finding("tissue", level, message, evidence, "give the H&E image of this section")
