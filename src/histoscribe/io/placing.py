"""Spots placed in a picture that is turned, mirrored, cut or of another scale, by the vendor's smaller picture."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from histoscribe.io.assemble import chosen_mpp
from histoscribe.io.frames import fits_size, within
from histoscribe.io.reading import Reading, Request, Thumbnail
from histoscribe.slide.registration import Registration, register

_THUMBNAIL_PX, _PITCHES = 2.0, 0.25  # what the spots may be off: pixels of the thumbnail, or pitches


def registration_of(reading: Reading) -> Registration | None:
    """Find the section's picture in the vendor's smaller one; None where it is no part of it, or none is to be sought.

    Where the user stated the scale of a picture of another shape, the spots' pixels are those of that picture.
    """
    image, small = reading.section.image, reading.thumbnail
    if image is None or small is None or trusted(reading):
        return None
    frames = {reading.image_scale, 1.0, *reading.scales.values()}
    return register(image, small.image, scales=[frame / small.factor for frame in frames])


def trusted(reading: Reading) -> bool:
    """Whether the user stated a scale by which the picture has another shape than the vendor's: there is no test."""
    image, small = reading.section.image, reading.thumbnail
    if image is None or small is None or not reading.scale_stated:
        return False
    return not fits_size(image, small.full_size_px, reading.image_scale)


def off_by(reading: Reading, small: Thumbnail, found: Registration) -> tuple[float, float]:
    """How far the spots lie from where a registration puts them, at most, in pixels; and how far they may."""
    given = reading.section.xy_px
    wanted = found.points(given / reading.image_scale * small.factor)
    lattice, mpp = reading.section.lattice, reading.section.mpp
    pitch = 0.0 if lattice is None else lattice.pitch_um / mpp
    may = max(_THUMBNAIL_PX * reading.image_scale / small.factor, _PITCHES * pitch)
    return float(np.linalg.norm(wanted - given, axis=1).max()), may


def finished(reading: Reading, request: Request) -> Reading:
    """Do what follows every reader: place the spots where that is asked for, and note what is said of the picture."""
    reading = placed(reading) if request.align else reading
    image = reading.section.image
    return reading if image is None else replace(reading, notes=(*reading.notes, *image.notes))


def placed(reading: Reading) -> Reading:
    """Place the spots by the vendor's smaller picture, where that settles it; as it was where nothing is to be mended.

    Spots outside a part that was cut out are left out and counted.
    """
    found, small, image = registration_of(reading), reading.thumbnail, reading.section.image
    if found is None or small is None or image is None or not found.settled:
        return reading
    off, may = off_by(reading, small, found)
    if off <= may:
        return reading
    scale = _as_known(found.scale * small.factor, reading)
    found = replace(found, scale=scale / small.factor)

    def moved(xy_px: NDArray[np.float64]) -> NDArray[np.float64]:
        return found.points(xy_px / reading.image_scale * small.factor)

    xy_px, off_tissue = moved(reading.section.xy_px), moved(reading.off_tissue_xy_px)
    kept = within(xy_px, image.shape)
    notes = [f"by the vendor's {small.name} picture the picture is {described(found, small)}; the spots were placed so"]
    if not kept.all():
        notes.append(f"{int((~kept).sum()):,} of {len(kept):,} spots lie outside the picture and were left out")
    spots = reading.section.spots.copy()
    spots.obsm["spatial"] = xy_px
    if kept.any():  # else preflight says so
        spots = spots[kept].copy()
    own = {"given", *image.mpp_by_source}
    change = reading.image_scale / scale
    sources = {name: mpp if name in own else mpp * change for name, mpp in reading.mpp_by_source.items()}
    return replace(
        reading,
        section=replace(reading.section, spots=spots, image=replace(image, mpp=chosen_mpp(sources, image))),
        mpp_by_source=sources,
        image_scale=scale,
        off_tissue_xy_px=off_tissue[within(off_tissue, image.shape)],
        notes=(*reading.notes, *notes),
        registration=found,
    )


def described(found: Registration, small: Thumbnail) -> str:
    """Say how a picture lies in the vendor's: "turned by 180 degrees, the part of 900 x 700 pixels at x=40, y=0"."""
    size = np.asarray(found.size_px) / (found.scale * small.factor)  # in full-resolution pixels
    x, y = (max(0.0, value / small.factor) for value in found.origin_px)
    words = [found.turn.name] if found.turn.name != "as it is" else []
    if (np.asarray(small.full_size_px) - size > 0.02 * max(small.full_size_px)).any():
        words.append(f"the part of {size[0]:,.0f} x {size[1]:,.0f} full-resolution pixels at x={x:,.0f}, y={y:,.0f}")
    scale = found.scale * small.factor
    if abs(scale - 1) > 0.005:
        words.append(f"at {scale:.4g} of the full resolution")
    return ", ".join(words) or "the vendor's"


def _as_known(scale: float, reading: Reading) -> float:
    """Return the scale of a known frame, where a measured one is that within its error."""
    known = (1.0, reading.image_scale, *reading.scales.values())
    return min((one for one in known if abs(scale / one - 1) < 0.003), key=lambda one: abs(scale - one), default=scale)
