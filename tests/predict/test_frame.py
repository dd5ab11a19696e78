"""Serial sections are aligned by their pictures, and a section of something else is not."""

import numpy as np
import pytest

from histoscribe.predict import Inputs
from histoscribe.predict.frame import Frame, Grid


def tissue(seed):
    """A specimen: 16 smooth quantities over a plane of 3 mm, as a function of places in mm."""
    rng = np.random.default_rng(seed)
    waves, phases = rng.normal(size=(16, 5, 2)) * 2.5, rng.uniform(0, 2 * np.pi, (16, 5))
    return lambda xy: np.cos(np.einsum("kwd,nd->nkw", waves, xy) + phases).sum(axis=2)


def section(look, *, turn=0.0, shift=(0.0, 0.0), seed=0, side=14):
    """Blocks and places of a section cut from a specimen, and where its spots really lie there."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=2).reshape(-1, 2) * 0.2
    xy = grid - grid.mean(axis=0)
    cos, sin = np.cos(turn), np.sin(turn)
    truth = xy @ np.array([[cos, -sin], [sin, cos]]).T + shift
    values = look(truth) + rng.normal(0, 0.5, (len(xy), 16))
    return Inputs({"neighbours:image@224": values.astype(np.float32)}), xy, truth


@pytest.fixture(scope="module")
def serial():
    look = tissue(1)
    return [section(look), section(look, turn=0.6, shift=(0.2, -0.1), seed=1), section(look, turn=-0.3, seed=2)]


@pytest.fixture(scope="module")
def framed(serial):
    return Frame.fit([one for one, _, _ in serial], [xy for _, xy, _ in serial], seed=0)


def apart(places, truths):
    """How far spots lie from where they should, once one similarity takes all places to the truth, (n,) mm."""
    A, B = np.concatenate(places), np.concatenate(truths)
    A, B = np.column_stack([A, np.ones(len(A))]), B
    return np.linalg.norm(A @ np.linalg.lstsq(A, B, rcond=None)[0] - B, axis=1)


def test_serial_sections_lie_on_each_other(framed, serial):
    _, aligned = framed
    assert np.median(apart(aligned, [truth for _, _, truth in serial])) < 0.1  # half a pitch


@pytest.mark.parametrize("turn", [0.4, 2.0, -2.6])
def test_one_more_section_finds_its_place_however_it_was_turned(framed, serial, turn):
    frame, aligned = framed
    one, xy, truth = section(tissue(1), turn=turn, shift=(-0.2, 0.15), seed=5)
    truths = [*(truth for _, _, truth in serial), truth]
    assert np.median(apart([*aligned, frame.place(one, xy)], truths)) < 0.1


@pytest.mark.parametrize("seed", range(3))
def test_a_section_of_something_else_has_no_place(framed, seed):
    frame, _ = framed
    one, xy, _ = section(tissue(10 + seed), seed=seed)
    assert frame.place(one, xy) is None


def test_sections_that_show_different_things_have_no_frame():
    sections = [section(tissue(seed), seed=seed) for seed in (1, 20, 30)]
    assert Frame.fit([one for one, _, _ in sections], [xy for _, xy, _ in sections], seed=0) is None


def test_a_single_section_has_no_frame(serial):
    assert Frame.fit([serial[0][0]], [serial[0][1]], seed=0) is None


def test_too_few_spots_have_no_place(framed, serial):
    one, xy, _ = serial[0]
    assert framed[0].place(one.rows(np.arange(20)), xy[:20]) is None


def test_a_frame_is_exported_and_read_back(framed, serial):
    one, xy, _ = serial[1]
    again = Frame.from_state(framed[0].state())
    assert again.place(one, xy).tobytes() == framed[0].place(one, xy).tobytes()


def test_spots_on_one_point_have_no_place(framed, serial):
    one, xy, _ = serial[0]
    assert framed[0].place(one, np.zeros_like(xy)) is None


def test_a_section_of_many_small_bins_takes_no_larger_a_map():
    fine = np.random.default_rng(0).uniform(-2, 2, (40_000, 2))
    assert Grid.around([fine]).n <= 161
