"""Pixels and points turn together, and every turn has its undoing."""

import numpy as np
import pytest

from histoscribe.slide.image import ArraySource
from histoscribe.slide.turned import TurnedSource
from histoscribe.slide.turns import EIGHT, UPRIGHT, Turn

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 70, 3), np.uint8)
NUMPY = {
    "as it is": lambda pixels: pixels,
    "turned by 180 degrees": lambda pixels: pixels[::-1, ::-1],
    "mirrored left to right": lambda pixels: pixels[:, ::-1],
    "mirrored top to bottom": lambda pixels: pixels[::-1],
    "turned by 90 degrees anticlockwise": lambda pixels: np.rot90(pixels),
    "turned by 90 degrees clockwise": lambda pixels: np.rot90(pixels, 3),
    "with x and y swapped": lambda pixels: pixels.transpose(1, 0, 2),
    "turned by 180 degrees, with x and y swapped": lambda pixels: np.rot90(pixels, 2).transpose(1, 0, 2),
}
eight = pytest.mark.parametrize("turn", EIGHT, ids=lambda turn: turn.name)


@eight
def test_a_turn_does_what_its_name_says(turn: Turn) -> None:
    np.testing.assert_array_equal(turn.pixels(PICTURE), NUMPY[turn.name](PICTURE))


@eight
def test_points_move_with_the_pixels_under_them(turn: Turn) -> None:
    row, column = (index.ravel() for index in np.indices(PICTURE.shape[:2]))
    turned = turn.pixels(PICTURE)
    x, y = np.floor(turn.points(np.c_[column, row] + 0.5, (70, 40))).astype(int).T
    np.testing.assert_array_equal(turned[y, x], PICTURE[row, column])


@eight
def test_the_inverse_undoes_a_turn(turn: Turn) -> None:
    np.testing.assert_array_equal(turn.inverse.pixels(turn.pixels(PICTURE)), PICTURE)


@eight
def test_a_window_of_a_turned_source_is_that_of_the_turned_picture(turn: Turn) -> None:
    source, whole = TurnedSource(ArraySource([PICTURE]), turn), turn.pixels(PICTURE)
    assert source.shapes == (whole.shape[:2],)
    np.testing.assert_array_equal(source.read(3, 11, 20, 17, 0), whole[11:28, 3:23])


def test_the_tag_knows_all_eight() -> None:
    assert sorted(UPRIGHT) == list(range(1, 9))
    assert set(UPRIGHT.values()) == set(EIGHT)
