"""Figure of an evaluation's intervals: the share that they promise against the share that they hold, by depth."""

from collections.abc import Mapping
from typing import Any

from histoscribe.report.evaluation_words import leaky_title
from histoscribe.report.layout import chart_figure, png_of
from histoscribe.report.report_figure import ReportFigure

# dark to light with the number of molecules, and a shape each, so that they differ without hue
_CURVES = {
    "high": ("most molecules", "#08306B", "o"),
    "middle": ("middle third", "#2171B5", "s"),
    "low": ("fewest molecules", "#6BAED6", "^"),
    "1/2": ("half of the molecules", "#7F2704", "D"),
    "1/4": ("a quarter", "#D94801", "v"),
    "1/16": ("a sixteenth", "#FD8D3C", "P"),
}


def draw_calibration(calibration: Mapping[str, Any], *, leaky: bool) -> ReportFigure:
    """Nominal against real coverage: spots by thirds of their molecules, and copies of the sections with fewer."""
    title = leaky_title("What intervals promise, and what they hold", leaky=leaky)
    figure, axes = chart_figure(6.35, 4.4)
    levels = [100 * level for level in calibration["levels"]]
    axes.plot([0, 100], [0, 100], color="#9AA3AE", linestyle="--", linewidth=1.2)
    for name, (label, colour, marker) in _CURVES.items():
        held = [100 * share for share in calibration[name]]
        style = "-" if "/" not in name else ":"
        axes.plot(
            levels, held, color=colour, marker=marker, markersize=4.5, linewidth=1.3, linestyle=style, label=label
        )
    least = min(levels[0], *(100 * share for name in _CURVES for share in calibration[name]))
    axes.set(
        xlabel="share that the interval is to hold (%)",
        ylabel="measurements inside (%)",
        xlim=(levels[0] - 3, 100),
        ylim=(max(least - 4, 0), 101),
    )
    axes.grid(visible=True)
    axes.legend(title="spots at their own depth (solid), thinned copies (dotted)", title_fontsize=8, loc="lower right")
    axes.set_title(title)
    return ReportFigure(
        "calibration",
        title,
        "Mean over held-out sections. On the dashed line intervals hold what they promise; below it they are narrow. "
        "Solid: thirds of each section's spots by their own number of molecules. Dotted: copies of the same sections "
        "with molecules taken out at random, as if they had been sequenced less deeply. Where most counts are 0, an "
        "interval holds 0 and so more than it must.",
        "Line chart: "
        + "; ".join(
            f"{label} {calibration[name][-1]:.2f} at {calibration['levels'][-1]:g}"
            for name, (label, *_) in _CURVES.items()
        )
        + ".",
        png_of(figure),
    )
