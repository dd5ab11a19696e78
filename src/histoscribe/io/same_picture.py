"""Whether a picture shows what the vendor's smaller picture of the section shows, and the spots lie so in it."""

import re

from histoscribe.io.placing import described, off_by, registration_of, trusted
from histoscribe.io.preflight_findings import Finding
from histoscribe.io.reading import Reading, Thumbnail
from histoscribe.slide.image import SlideImage
from histoscribe.slide.registration import LEAST, Registration
from histoscribe.slide.turns import AS_IT_IS

SAME_PICTURE = "same picture"
_VENDORS = re.compile("tissue_(hires|lowres)_image")
_SAME = 0.9  # correlation of a picture that lies as the vendor's does; the next section of a block has .79 at most
_ALIGN = "run with --align (align = true): then the spots are placed in this picture so; or give the vendor's picture"


def same_picture_finding(reading: Reading) -> Finding | None:
    """Judge whether a picture is the vendor's; None without a picture, or where the user stated the spots' frame.

    Where the vendor's smaller picture is missing nothing tells, which is said.
    """
    image, small = reading.section.image, reading.thumbnail
    if image is None or trusted(reading):
        return None
    if small is None:
        return None if _is_vendors(reading) else _nothing_to_compare()
    if reading.registration is not None:
        return _ok(
            reading.registration, f"The spots were placed by it: {described(reading.registration, small)}.", small
        )
    found = registration_of(reading)
    if found is None or found.score < LEAST:
        return _other(found, small)
    off, may = off_by(reading, small, found)
    evidence = _evidence(found) | {"spots_off_px": off}
    vendors = f"the vendor's {small.name} picture"
    as_it_is = found.scores.get("as it is", 0.0)
    if off <= may and found.score >= _SAME:
        return _ok(found, "", small)
    if off <= may:
        message = f"The picture agrees only in part with {vendors} (correlation {found.score:.2f})."
        fix = "compare the two pictures: one that was edited looks so, and the next section of the same block"
        return Finding(SAME_PICTURE, "warning", message, evidence, fix)
    if found.settled:
        message = (
            f"Against {vendors} the picture is {described(found, small)}: the correlation is {found.score:.2f} when "
            f"that is undone, {found.second:.2f} otherwise at most. The spots lie up to {off:,.0f} pixels off."
        )
        return Finding(SAME_PICTURE, "refused", message, evidence, _ALIGN)
    if as_it_is >= _SAME:
        message = (
            f"Whether the picture lies as {vendors} does cannot be told: the correlation is {as_it_is:.2f} as it is "
            f"and {found.score:.2f} if it is {described(found, small)}."
        )
        fix = "compare a landmark of the tissue in both pictures"
        return Finding(SAME_PICTURE, "open", message, evidence, fix)
    message = (
        f"The picture is not placed as {vendors} says, and how it lies is not settled: at best it is "
        f"{described(found, small)} (correlation {found.score:.2f}, the next best {found.second:.2f})."
    )
    return Finding(
        SAME_PICTURE, "refused", message, evidence, "give the vendor's whole picture, the vendor's way round"
    )


def turn_findings(image: SlideImage) -> list[Finding]:
    """Say that a picture was turned as its tag Orientation asks for; nothing where it was not."""
    if image.turn == AS_IT_IS:
        return []
    message = (
        f"The picture's tag Orientation was obeyed: it is read {image.turn.name}, as programs show it. Spots have "
        "to be in pixels of the picture as it is seen."
    )
    return [Finding("orientation tag", "ok", message)]


def _is_vendors(reading: Reading) -> bool:
    """Whether the picture is itself the vendor's smaller one, or came in one file with the spots."""
    image = reading.section.image
    return image is None or image.path is None or _VENDORS.search(image.path.name) is not None


def _nothing_to_compare() -> Finding:
    message = (
        "There is no smaller picture of the vendor's to compare this one with. That it is the picture of these spots, "
        "whole and the right way round, rests on where the tissue lies and what the other findings say."
    )
    return Finding(
        SAME_PICTURE, "open", message, {}, "give the vendor's folder with its hires or lowres picture, if there is one"
    )


def _ok(found: Registration, more: str, small: Thumbnail) -> Finding:
    message = f"The picture shows what the vendor's {small.name} picture shows (correlation {found.score:.2f}). {more}"
    return Finding(SAME_PICTURE, "ok", message.strip(), _evidence(found))


def _other(found: Registration | None, small: Thumbnail) -> Finding:
    best = "" if found is None else f" (correlation {found.score:.2f} at best)"
    message = (
        f"The picture does not show what the vendor's {small.name} picture shows, whichever way it is turned and "
        f"whatever part it is{best}: it is of other tissue, or less than a quarter of the section's side."
    )
    evidence = {} if found is None else _evidence(found)
    return Finding(
        SAME_PICTURE, "refused", message, evidence, "give the picture from which the vendor's pipeline was run"
    )


def _evidence(found: Registration) -> dict[str, float]:
    x, y = found.origin_px
    return {
        "correlation": found.score,
        "next_best": found.second,
        "scale_to_thumbnail": found.scale,
        "origin_x_thumbnail_px": x,
        "origin_y_thumbnail_px": y,
        **{f"agreement {name}": score for name, score in found.scores.items()},
    }
