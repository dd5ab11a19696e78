"""Scale bars have round lengths and hide as little as they can."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from histoscribe.report.layout import house_style, round_length, scale_bar, tissue_figure
from histoscribe.report.tissue_canvas import prepare


@given(wanted=st.floats(1e-3, 1e6))
def test_a_scale_bar_is_one_two_or_five_of_a_power_of_ten_and_at_most_as_wanted(wanted):
    length = round_length(wanted)
    mantissa = length / 10 ** np.floor(np.log10(length) + 1e-9)
    assert round(mantissa, 6) in {1, 2, 5}
    assert wanted / 2.5 < length * (1 + 1e-9)
    assert length <= wanted * (1 + 1e-9)


def test_the_drawn_bar_is_as_long_as_its_label_says(contents_of):
    canvas = prepare(contents_of())
    with house_style():
        _, axes = tissue_figure(canvas, canvas.close, title="x")
        scale_bar(axes, canvas, canvas.close)
    label = axes.texts[0].get_text()
    assert label.endswith(" µm")
    assert axes.patches[1].get_width() == pytest.approx(float(label[:-3].replace(",", "")))


def test_the_bar_goes_where_there_are_no_spots(section_of, contents_of):
    section = section_of(side=30, lattice="square")
    kept = ~((section.xy_px[:, 0] > 400) & (section.xy_px[:, 1] < 300))  # free: upper right
    object.__setattr__(section, "spots", section.spots[kept].copy())
    canvas = prepare(contents_of(section))
    with house_style():
        _, axes = tissue_figure(canvas, canvas.close, title="x")
        scale_bar(axes, canvas, canvas.close)
    box = axes.patches[0]
    assert box.get_x() > canvas.close.left + canvas.close.width / 2
    assert box.get_y() < canvas.close.top + canvas.close.height / 2
