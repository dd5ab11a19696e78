"""Pixels that are turned as they are read, as the tag Orientation of TIFF and EXIF asks for."""

import numpy as np

from histoscribe.slide.image import RGB, PixelSource
from histoscribe.slide.turns import Turn


class TurnedSource:
    """Pixels of another source, turned as they are read.

    Parameters
    ----------
    source
        The pixels as they are stored.
    turn
        What is done to them.
    """

    def __init__(self, source: PixelSource, turn: Turn) -> None:
        self.source = source
        self.turn = turn

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of every level, after the turn."""
        swap = self.turn.swap
        return tuple((width, height) if swap else (height, width) for height, width in self.source.shapes)

    def read(self, x: int, y: int, width: int, height: int, level: int) -> RGB:
        """Window of a level, (height, width, 3); reads no more than its pixels."""
        rows, columns = self.shapes[level]
        x = columns - x - width if self.turn.mirror_x else x
        y = rows - y - height if self.turn.mirror_y else y
        window = (y, x, height, width) if self.turn.swap else (x, y, width, height)
        return np.ascontiguousarray(self.turn.pixels(self.source.read(*window, level)))
