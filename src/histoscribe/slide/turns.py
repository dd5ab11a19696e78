"""The eight ways in which a picture can lie: quarter turns and mirrors; one rule for its pixels and points in it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# by (rows and columns exchanged, then mirrored in x, then mirrored in y)
_NAMES = {
    (False, False, False): "as it is",
    (False, True, False): "mirrored left to right",
    (False, False, True): "mirrored top to bottom",
    (False, True, True): "turned by 180 degrees",
    (True, False, False): "with x and y swapped",
    (True, True, False): "turned by 90 degrees clockwise",
    (True, False, True): "turned by 90 degrees anticlockwise",
    (True, True, True): "turned by 180 degrees, with x and y swapped",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """What is done to a picture: rows and columns are exchanged, then each axis is mirrored.

    Parameters
    ----------
    swap
        Whether x and y are exchanged, which comes first.
    mirror_x, mirror_y
        Whether columns, and whether rows, then run the other way.
    """

    swap: bool = False
    mirror_x: bool = False
    mirror_y: bool = False

    @property
    def name(self) -> str:
        """What a picture to which this was done is called: "turned by 90 degrees clockwise"."""
        return _NAMES[self.swap, self.mirror_x, self.mirror_y]

    @property
    def inverse(self) -> "Turn":
        """What undoes it."""
        return Turn(True, self.mirror_y, self.mirror_x) if self.swap else self

    @property
    def matrix(self) -> NDArray[np.float64]:
        """Its linear part, (2, 2), acting on columns of x and y."""
        exchange = np.array([[0.0, 1.0], [1.0, 0.0]]) if self.swap else np.eye(2)
        flip = np.diag([-1.0 if self.mirror_x else 1.0, -1.0 if self.mirror_y else 1.0])
        matrix: NDArray[np.float64] = flip @ exchange
        return matrix

    def pixels(self, picture: NDArray[Any]) -> NDArray[Any]:
        """Turn an array, (h, w) or (h, w, c); a view of it."""
        turned = picture.swapaxes(0, 1) if self.swap else picture
        return turned[:: -1 if self.mirror_y else 1, :: -1 if self.mirror_x else 1]

    def points(self, xy: NDArray[np.float64], size: tuple[float, float]) -> NDArray[np.float64]:
        """Move points, (n, 2), with a picture of `size` (width, height) that is turned so."""
        corner = np.asarray(size[::-1] if self.swap else size) * (self.mirror_x, self.mirror_y)
        moved: NDArray[np.float64] = np.asarray(xy, np.float64) @ self.matrix.T + corner
        return moved


EIGHT = tuple(Turn(*key) for key in _NAMES)
AS_IT_IS = EIGHT[0]

# what shows a picture upright, by the value of TIFF's and EXIF's tag Orientation
UPRIGHT = {
    1: AS_IT_IS,
    2: Turn(mirror_x=True),
    3: Turn(mirror_x=True, mirror_y=True),
    4: Turn(mirror_y=True),
    5: Turn(swap=True),
    6: Turn(swap=True, mirror_x=True),
    7: Turn(swap=True, mirror_x=True, mirror_y=True),
    8: Turn(swap=True, mirror_y=True),
}
ORIENTATION = 274  # the tag
