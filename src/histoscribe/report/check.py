"""The page of a check: the vendor's small picture, the picture as given and as mended, and every finding."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.report import words
from histoscribe.report.layout import DPI, house_style, png_of
from histoscribe.report.page import picture_of, render
from histoscribe.report.report_figure import ReportFigure

_SPOT_HEX = "#0072B2"
_WIDTH = 3.4  # inches of a panel


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One picture with spots on it.

    Parameters
    ----------
    title
        What is seen.
    picture
        (h, w, 3) uint8.
    xy
        Centres of the spots, (n, 2), x before y, in pixels of `picture`.
    """

    title: str
    picture: NDArray[np.uint8]
    xy: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class CheckedSection:
    """What a check found of one section.

    Parameters
    ----------
    name, notes
        The section's, and what was decided in reading it.
    findings
        `{name, level, message, evidence, fix}` each, as preflight has them.
    panels
        Side by side; none where there is no picture.
    """

    name: str
    notes: tuple[str, ...] = ()
    findings: Sequence[Mapping[str, Any]] = ()
    panels: Sequence[Panel] = field(default_factory=tuple)


def check_page(sections: Sequence[CheckedSection]) -> str:
    """Return the self-contained page of a check."""
    with house_style():
        figures = {f"{k}": picture_of(_draw(one)) for k, one in enumerate(sections) if one.panels}
    return render("check.html", sections=sections, figures=figures, levels=[_level(one) for one in sections])


def _level(section: CheckedSection) -> str:
    return words.worst_level([dict(finding) for finding in section.findings])


def _draw(section: CheckedSection) -> ReportFigure:
    from matplotlib.figure import Figure

    n = len(section.panels)
    tallest = max(panel.picture.shape[0] / panel.picture.shape[1] for panel in section.panels)
    figure = Figure(figsize=(_WIDTH * n, _WIDTH * min(2.0, tallest) + 0.5), dpi=DPI, layout="constrained")
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, n)), section.panels, strict=True):
        height, width = panel.picture.shape[:2]
        axes.imshow(panel.picture, extent=(0, width, height, 0), interpolation="antialiased")
        axes.scatter(*panel.xy.T, s=2.5, color=_SPOT_HEX, linewidths=0)
        far = np.vstack([panel.xy, [[0, 0], [width, height]]])
        # spots beside the picture are shown, but not so far out that nothing else is seen
        low, high = np.maximum(far.min(0), -0.5 * width), np.minimum(far.max(0), (1.5 * width, 1.5 * height))
        axes.set(xlim=(low[0], high[0]), ylim=(high[1], low[1]), xticks=[], yticks=[])
        axes.set_title(panel.title)
    titles = "; ".join(panel.title for panel in section.panels)
    caption = "Every dot is a spot. They belong on the same tissue in all of these pictures."
    return ReportFigure("check", section.name, caption, f"Section {section.name}: {titles}.", png_of(figure))
