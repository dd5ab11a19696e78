"""Figure of what was predicted: the targets that the model knows best, on the slide's spots."""

from typing import Any

import numpy as np

from histoscribe.report.contents import ReportContents
from histoscribe.report.layout import house_style
from histoscribe.report.on_spots import draw_on_spots
from histoscribe.report.tissue_canvas import prepare
from histoscribe.section import Section

_SHOWN = 6


def best_known(table: Any) -> list[str]:
    """Names of up to six targets: those with the verdict "use" first, then by skill on held-out sections."""
    cards = table.var
    order = np.lexsort((-cards["skill"].fillna(-np.inf).to_numpy(), (cards["verdict"] != "use").to_numpy()))
    return [str(name) for name in cards.index[order[:_SHOWN]]]


def draw_predictions(section: Section, table: Any) -> bytes:
    """Draw the best known targets of a prediction, AnnData (n, t), on the spots of its slide; the PNG file."""
    names = best_known(table)
    titles = [f"{name} ({table.var.loc[name, 'verdict']})" for name in names]
    values = np.asarray(table[:, names].X, np.float64)
    with house_style():
        return draw_on_spots(prepare(ReportContents(section, None)), titles, values)
