"""What the page of a check shows of a section: the vendor's small picture, the picture as given, and as mended."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import HistoscribeError
from histoscribe.io.placing import placed
from histoscribe.io.preflight import Preflight
from histoscribe.io.reading import Reading
from histoscribe.report.check import CheckedSection, Panel, check_page
from histoscribe.report.contents import LEVELS
from histoscribe.slide.image import SlideImage

_SIDE = 900


def page_of(checked: Sequence[tuple[Reading | HistoscribeError, Preflight | None]]) -> str:
    """Return the page of what `check` found."""
    return check_page([_section(reading, found) for reading, found in checked])


def _section(reading: Reading | HistoscribeError, found: Preflight | None) -> CheckedSection:
    if isinstance(reading, HistoscribeError) or found is None:
        refusal = {"name": "reading", "level": "refused", "message": str(reading), "fix": ""}
        return CheckedSection("a section that could not be read", findings=[refusal])
    worst_first = sorted(found.findings, key=lambda finding: -LEVELS.index(finding.level))
    findings = [finding.to_dict() for finding in worst_first]
    return CheckedSection(reading.section.name, reading.notes, findings, panels_of(reading))


def panels_of(reading: Reading) -> list[Panel]:
    """Return the vendor's picture, the picture with its spots as given, and with its spots placed, as far as known."""
    image, small = reading.section.image, reading.thumbnail
    if image is None:
        return []
    mended = reading if reading.registration is not None else placed(reading)
    vendor = reading.vendor_xy_px
    panels = [] if small is None else [_panel(f"the vendor's {small.name} picture", small.image, vendor * small.factor)]
    panels.append(_panel("the picture with the spots as given", image, vendor * reading.image_scale))
    if mended.registration is not None:
        panels.append(_panel("with the spots placed (--align)", image, mended.section.xy_px))
    return panels


def _panel(title: str, image: SlideImage, xy_px: NDArray[np.float64]) -> Panel:
    picture, downsample = image.overview(max_side=_SIDE)
    return Panel(title, picture, xy_px / downsample)
