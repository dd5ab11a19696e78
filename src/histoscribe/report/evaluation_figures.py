"""Figures of an evaluation: the ladder of predictors, genes against their ceiling, maps measured beside predicted."""

import re
from typing import Any

import numpy as np

from histoscribe.graph.spacing import pitch_of
from histoscribe.report import palette
from histoscribe.report.evaluation_apart import draw_apart
from histoscribe.report.evaluation_calibration import draw_calibration
from histoscribe.report.evaluation_contents import EvaluationContents, MapPair
from histoscribe.report.evaluation_words import SCORES, leaky_title, ordered
from histoscribe.report.layout import DPI, bare_scale_bar, chart_figure, png_of
from histoscribe.report.report_figure import ReportFigure

_ROLE_HEX = {"head": "#0072B2", "stack": "#009E73", "baseline": "#9AA3AE"}
_ROLE_NAME = {"head": "head", "stack": "stack of heads", "baseline": "baseline"}
# dark to light, so that the verdicts differ without hue too; the shapes repeat the difference
_VERDICTS = {"use": ("#0072B2", "o"), "caution": ("#E69F00", "^"), "do not use": ("#9AA3AE", "x")}
_INK = "#3A424C"


def draw_evaluation(contents: EvaluationContents) -> list[ReportFigure]:
    """Draw every figure that these contents allow, in the order of the page."""
    figures = [draw_ladder(contents), draw_targets(contents)]
    figures += [draw_map(pair, leaky=contents.leaky) for pair in contents.maps]
    figures += [draw_apart(contents.apart)] if contents.apart is not None else []
    if contents.calibration is not None:
        figures.append(draw_calibration(contents.calibration, leaky=contents.leaky))
    return [figure for figure in figures if figure is not None]


def draw_ladder(contents: EvaluationContents) -> ReportFigure:
    """Draw the main score of every predictor, best at the top, one dot per held-out section."""
    from matplotlib.lines import Line2D

    rungs = ordered(contents)
    title = leaky_title("Ladder of predictors", leaky=contents.leaky)
    figure, axes = chart_figure(6.9, 1.35 + 0.33 * len(rungs))
    for place, rung in enumerate(rungs):
        colour, score = _ROLE_HEX[rung.role], float(rung.scores[contents.main])
        axes.barh(place, score, height=0.62, color=colour, alpha=0.85)
        values = [value for value in rung.per_section.values() if np.isfinite(value)]
        axes.plot(
            values,
            np.full(len(values), place),
            "o",
            markersize=3.6,
            markerfacecolor="white",
            markeredgecolor=palette.OUTLINE_HEX,
            mew=0.7,
        )
        right = max([score, 0.0, *values])
        axes.text(right, place, f"  {score:.3f}", va="center", fontsize=8, color=_INK)
    handles = [
        Line2D([], [], color=_ROLE_HEX[role], linewidth=6, alpha=0.85, label=_ROLE_NAME[role])
        for role in _ROLE_HEX
        if any(rung.role == role for rung in rungs)
    ]
    has_ceiling = contents.main == "mean_pearson" and contents.ceiling is not None and np.isfinite(contents.ceiling)
    if has_ceiling:
        axes.axvline(contents.ceiling, color="#D55E00", linewidth=1.4, linestyle="--")
        handles.append(Line2D([], [], color="#D55E00", linestyle="--", label=f"noise ceiling {contents.ceiling:.2f}"))
    axes.set_yticks(range(len(rungs)), [rung.name for rung in rungs])
    axes.set(xlabel=SCORES[contents.main].label, ylim=(len(rungs) - 0.45, -0.55))
    axes.margins(x=0.14)
    axes.grid(visible=True, axis="x")
    axes.set_title(title)
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    ceiling = (
        " The dashed line is the highest mean correlation that the noise of counting allows." if has_ceiling else ""
    )
    return ReportFigure(
        "ladder",
        title,
        f"Mean over held-out sections; each dot is one of them.{ceiling}",
        "Bar chart: " + ", ".join(f"{rung.name} {float(rung.scores[contents.main]):.3f}" for rung in rungs) + ".",
        png_of(figure),
    )


def draw_targets(contents: EvaluationContents) -> ReportFigure | None:
    """Each gene's score against its ceiling, by verdict; None where no ceilings are known."""
    rows = [
        row for row in contents.targets if np.isfinite(_value(row, "pearson")) and np.isfinite(_value(row, "ceiling"))
    ]
    if len(rows) < 2:
        return None
    title = leaky_title(f"Genes against their ceiling, {contents.best}", leaky=contents.leaky)
    figure, axes = chart_figure(6.35, 4.6)
    axes.plot([0, 1], [0, 1], color="#D55E00", linestyle="--", linewidth=1.2, label="ceiling reached")
    axes.axhline(0, color="#9AA3AE", linewidth=0.8)
    for verdict in [*_VERDICTS, None]:
        some = [row for row in rows if row.get("verdict") == verdict]
        if not some:
            continue
        colour, marker = _VERDICTS.get(verdict or "", ("#0072B2", "o"))
        label = f"{verdict or 'no card'} ({len(some):,})"
        x, y = ([_value(row, key) for row in some] for key in ("ceiling", "pearson"))
        axes.scatter(x, y, s=17, c=colour, marker=marker, linewidths=0.9, alpha=0.85, label=label)
    low = min(_value(row, "pearson") for row in rows)
    axes.set(
        xlabel="noise ceiling (highest Pearson correlation to be expected)",
        ylabel=SCORES["mean_pearson"].label.replace("mean ", "", 1),
        xlim=(-0.02, 1.02),
        ylim=(min(-0.1, low - 0.05), 1.02),
    )
    axes.grid(visible=True)
    axes.legend(title="verdict of the card", title_fontsize=8, loc="upper left")
    axes.set_title(title)
    return ReportFigure(
        "targets",
        title,
        "Each mark is a gene: its score on held-out sections against its noise ceiling. Colours and shapes are the "
        "verdicts of the cards, which were made from the training sections alone.",
        f"Scatter plot of {len(rows):,} genes: score on held-out sections against noise ceiling.",
        png_of(figure),
    )


def draw_map(pair: MapPair, *, leaky: bool) -> ReportFigure:
    """One target on one held-out section, measured beside predicted, with the same colour scale."""
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    title = leaky_title(f"{pair.section}: {pair.target}, r = {pair.pearson:.2f}", leaky=leaky)
    xy = np.asarray(pair.xy_um, np.float64)
    known = np.isfinite(pair.measured)
    low, high = (
        (float(v) for v in np.quantile(np.asarray(pair.measured)[known], [0.02, 0.98])) if known.any() else (0, 1)
    )
    span = np.ptp(xy, axis=0).clip(1.0)
    step = max(pitch_of(xy, alone=100.0), 1e-6)
    width = 3.1
    height = float(np.clip(width * (span[1] + 2 * step) / (span[0] + 2 * step), 1.2, 4.6))
    figure = Figure(figsize=(2 * width + 1.3, height + 1.0), dpi=DPI, layout="constrained")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    scale = Normalize(low, max(high, low + 1e-6))
    drawn: Any = None
    for axes, values, name in zip(panels, (pair.measured, pair.predicted), ("measured", "predicted"), strict=True):
        axes.set(
            xlim=(xy[:, 0].min() - step, xy[:, 0].max() + step),
            ylim=(xy[:, 1].max() + step, xy[:, 1].min() - step),
            aspect="equal",
            xlabel="x (µm)",
        )
        size_pt = 72 * width * step / (span[0] + 2 * step)
        drawn = axes.scatter(
            *xy.T, c=values, norm=scale, cmap=palette.QUANTITY_MAP, s=(0.8 * size_pt) ** 2, linewidths=0
        )
        axes.set_title(name, fontweight="normal")
        axes.tick_params(axis="x", labelrotation=0)
        axes.locator_params(nbins=4)
    panels[0].set_ylabel("y (µm)")
    left, below = float(xy[:, 0].min()), float(xy[:, 1].max()) + 0.55 * step
    bare_scale_bar(panels[0], left, below, float(np.ptp(xy[:, 0])) / 4 or step)
    figure.colorbar(drawn, ax=panels, shrink=0.8, label=pair.unit, extend="both")
    figure.suptitle(title, x=0.02, ha="left", fontsize=10.5, fontweight="bold")
    return ReportFigure(
        "map_" + re.sub(r"[^A-Za-z0-9_-]+", "-", f"{pair.section}_{pair.target}"),
        title,
        "Both panels have the same colour scale. Predictions vary less than measurements: what cannot be seen in the "
        "picture stays near the mean.",
        f"Maps of {pair.target} on section {pair.section}: measured and predicted, correlation {pair.pearson:.2f}.",
        png_of(figure),
    )


def _value(row: Any, key: str) -> float:
    value = row.get(key)
    return float("nan") if value is None else float(value)
