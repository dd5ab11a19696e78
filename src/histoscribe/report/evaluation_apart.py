"""How far the sections of an evaluation lie apart, before and after standardising: figure and words."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from histoscribe.report import palette
from histoscribe.report.layout import DPI, png_of
from histoscribe.report.report_figure import ReportFigure

_TITLE = "How far the sections lie apart"


def apart_sentence(apart: Mapping[str, Any]) -> str:
    """Say both numbers, as encoded and as heads get the features."""
    said = [
        f"{way}, the section explains {100 * found['share']:.0f} % of the variance, and of a spot's nearest neighbours "
        f"{100 * mean_mixing(found):.0f} % as many are of other sections as where sections do not differ"
        for way, found in apart["ways"].items()
    ]
    depth = ", the spots' depth taken out" if apart["without_depth"] else ""
    return f"Features {apart['features']}{depth}: {'; '.join(said)}."


def mean_mixing(found: Mapping[str, Any]) -> float:
    """Mean over the sections of how well each mixes."""
    return float(np.mean(list(found["mixing"].values())))


def draw_apart(apart: Mapping[str, Any]) -> ReportFigure:
    """Share of the variance by section, and mixing of neighbours, one dot a section."""
    from matplotlib.figure import Figure

    ways = apart["ways"]
    figure = Figure(figsize=(6.9, 1.9), dpi=DPI, layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for place, found in enumerate(ways.values()):
        left.barh(place, found["share"], height=0.55, color="#0072B2", alpha=0.85)
        left.text(found["share"], place, f"  {found['share']:.2f}", va="center", fontsize=8)
        values = list(found["mixing"].values())
        right.barh(place, mean_mixing(found), height=0.55, color="#009E73", alpha=0.85)
        right.plot(
            values,
            np.full(len(values), place),
            "o",
            markersize=3.6,
            markerfacecolor="white",
            markeredgecolor=palette.OUTLINE_HEX,
            mew=0.7,
        )
        right.text(max(1.0, *values), place, f"  {mean_mixing(found):.2f}", va="center", fontsize=8)
    right.axvline(1.0, color="#D55E00", linestyle="--", linewidth=1.2)
    left.set_yticks(range(len(ways)), list(ways))
    left.set(xlabel="variance explained by the section (share)", xlim=(0, 1.12), ylim=(len(ways) - 0.5, -0.5))
    right.set(xlabel="neighbours of other sections / expected")
    right.margins(x=0.16)
    right.set_xlim(left=0)
    for axes in (left, right):
        axes.grid(visible=True, axis="x")
    figure.suptitle(_TITLE, x=0.02, ha="left", fontsize=10.5, fontweight="bold")
    return ReportFigure(
        "apart",
        _TITLE,
        "Left: 0 where all sections have the same mean. Right: 1, the dashed line, where sections mix as if they did "
        "not differ, 0 where no neighbour is of another section; each dot is a section, the bar their mean. Sections "
        "of different tissues do not mix fully, and need not.",
        "Bar charts: " + "; ".join(f"{way} {f['share']:.2f} and {mean_mixing(f):.2f}" for way, f in ways.items()) + ".",
        png_of(figure),
    )
