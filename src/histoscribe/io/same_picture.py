"""Whether a picture shows what the vendor's smaller picture of the section shows, and the same way round."""

import numpy as np
from numpy.typing import NDArray

from histoscribe.io.frames import fits_size
from histoscribe.io.preflight_findings import Finding, Level
from histoscribe.io.reading import Thumbnail
from histoscribe.slide.image import SlideImage

SAME_PICTURE = "same picture"
_SIDE_PX = 256
# Correlations of brightness. 15 real lowres pictures and 4 phantoms, made twice as large, have .993 and more with
# themselves, at most .81 when turned, and at most .79 with another section, be it the next one of the same block.
_SAME, _OTHER, _CLEARLY = 0.9, 0.85, 0.2
# how the picture is turned: columns reversed, then so many quarter turns anticlockwise put it right
_TURNS = {
    "as it is": (False, 0),
    "turned by 180 degrees": (False, 2),
    "turned by 90 degrees clockwise": (False, 1),
    "turned by 90 degrees anticlockwise": (False, 3),
    "mirrored left to right": (True, 0),
    "mirrored top to bottom": (True, 2),
    "with x and y swapped": (True, 1),
    "turned by 180 degrees, with x and y swapped": (True, 3),
}


def agreement(image: SlideImage, thumbnail: SlideImage) -> dict[str, float]:
    """Correlation of brightness between two whole pictures, for every way in which the first may be turned.

    Turns that would stretch the picture are left out; a picture of one brightness agrees with nothing.
    """
    reference = _small(thumbnail, thumbnail.shape)
    found = {}
    for name, (reversed_, turns) in _TURNS.items():
        height, width = image.shape if turns % 2 == 0 else image.shape[::-1]
        if abs(width / height * thumbnail.height / thumbnail.width - 1) < 0.02:
            found[name] = _correlation(reference, _small(image, thumbnail.shape, reversed_=reversed_, turns=turns))
    return found


def same_picture_finding(image: SlideImage, image_scale: float, thumbnail: Thumbnail) -> Finding | None:
    """Judge whether a picture is the vendor's; None where it is a part of it, by what the user stated."""
    if not fits_size(image, thumbnail.full_size_px, image_scale):
        return None
    found = agreement(image, thumbnail.image)
    given = found["as it is"]
    turned = max(found.keys() - {"as it is"}, key=lambda name: found[name])
    evidence = {f"agreement {name}": round(score, 4) for name, score in found.items()}
    vendors = f"the vendor's {thumbnail.name} picture"
    level: Level = "ok"
    message, fix = f"The picture shows what {vendors} shows (correlation {given:.2f}).", ""
    if given < _SAME <= found[turned]:
        level = "refused"
        message = (
            f"Against {vendors} the picture is {turned}: the correlation is {found[turned]:.2f} when that is undone, "
            f"and {given:.2f} as it is."
        )
        fix = "give the picture the vendor's way round"
    elif given < _OTHER and given < found[turned] + _CLEARLY:
        level = "refused"
        message = (
            f"The picture does not show what {vendors} shows, whichever way it is turned (correlation {given:.2f}, "
            f"{found[turned]:.2f} when turned): it is of other tissue, or a part that was cut out."
        )
        fix = "give the picture from which the vendor's pipeline was run"
    elif given < _SAME:
        level = "warning"
        message = f"The picture agrees only in part with {vendors} (correlation {given:.2f})."
        fix = "compare the two pictures: the next section of the same block looks so, and a picture that was edited"
    return Finding(SAME_PICTURE, level, message, evidence, fix)


def _small(
    image: SlideImage, shape: tuple[int, ...], *, reversed_: bool = False, turns: int = 0
) -> NDArray[np.float64]:
    """Brightness on a grid of the shape's aspect, at most 256 pixels long, after reversing columns and turning."""
    from skimage.transform import resize

    picture, _ = image.overview(max_side=2 * _SIDE_PX)
    bright = picture.mean(axis=2)
    bright = np.rot90(bright[:, ::-1] if reversed_ else bright, turns)
    longest = max(shape)
    rows, columns = (max(2, round(side * _SIDE_PX / longest)) for side in shape)
    return np.asarray(resize(bright, (rows, columns), anti_aliasing=True, preserve_range=True), np.float64)


def _correlation(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    a, b = first - first.mean(), second - second.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float((a * b).sum() / size) if size > 0 else 0.0
