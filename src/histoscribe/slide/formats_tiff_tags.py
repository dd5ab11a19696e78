"""What a TIFF's tags and descriptions say: microns per pixel, significant bits, names of channels."""

import math
import re
from typing import Any

from histoscribe.errors import listing
from histoscribe.slide.damage import Damage
from histoscribe.slide.sources import plausible_mpp

_UM_PER_UNIT = {
    "nm": 1e-3, "um": 1.0, "µm": 1.0, "μm": 1.0, "micron": 1.0, "microns": 1.0, "micrometer": 1.0,
    "\\u00b5m": 1.0, "mm": 1e3, "cm": 1e4, "inch": 25_400.0,
}  # fmt: skip

# ResolutionUnit: 2 inch, 3 centimetre (TIFF 6.0, section 8); 1 means "no unit"
_UM_PER_TIFF_UNIT = {2: 25_400.0, 3: 10_000.0}

_SQUARE = 0.05


def ome_images(tif: Any, damage: Damage) -> list[dict[str, Any]]:
    """OME-XML's images, or [] where there is none; to be asked before tifffile reads it, who passes over bad XML."""
    from tifffile import xml2dict

    text = tif.pages.first.description
    if "<OME" not in text and "OME>" not in text[-32:]:
        return []
    try:
        images = xml2dict(text).get("OME", {}).get("Image", [])
    except SyntaxError as error:  # xml.etree.ElementTree.ParseError
        damage.met(f"the OME-XML cannot be read ({error})", cause=error)
        return []
    return images if isinstance(images, list) else [images]


def ome_pixels(images: list[dict[str, Any]], damage: Damage, *, width: int, height: int) -> dict[str, Any]:
    """OME-XML's `Pixels` of the image of that size, or {} where there is none."""
    every: list[dict[str, Any]] = [image.get("Pixels", {}) for image in images]
    for pixels in every:
        if pixels.get("SizeX") == width and pixels.get("SizeY") == height:
            return pixels
    if every:
        sizes = listing(f"{pixels.get('SizeX')} x {pixels.get('SizeY')}" for pixels in every)
        damage.met(f"the OME-XML describes {sizes} pixels, the picture has {width} x {height}")
    return {}


def channel_names(pixels: dict[str, Any]) -> list[str]:
    """Names of OME channels, "" for one without; [] where there are none."""
    channels = pixels.get("Channel", [])
    return [str(one.get("Name", "")) for one in (channels if isinstance(channels, list) else [channels])]


def imagej_labels(tif: Any) -> list[str]:
    """Labels that ImageJ gave to the planes; [] where there are none."""
    labels = (tif.imagej_metadata or {}).get("Labels", [])
    return [str(label) for label in ([labels] if isinstance(labels, str) else labels)]


def tiff_mpp(tif: Any, page: Any, pixels: dict[str, Any]) -> dict[str, float]:
    """Plausible microns per pixel by source, the most trusted source first.

    Parameters
    ----------
    tif, page
        tifffile's file, and its page with the full-resolution picture.
    pixels
        OME-XML's `Pixels` of it, or {}.
    """
    described = re.search(r"\bMPP\s*=\s*([0-9.]+)", page.description or "")
    return plausible_mpp(
        {
            "OME-XML PhysicalSizeX": _ome_mpp(pixels),
            "Aperio description (MPP)": _number(described.group(1)) if described else None,
            "ImageJ scale": _imagej_mpp(tif, page),
            "TIFF resolution tag": _tag_mpp(page),
        }
    )


def significant_bits(page: Any, pixels: dict[str, Any]) -> int | None:
    """How many of the stored bits carry the value, where the file says so; None where it does not."""
    if "SignificantBits" in pixels:
        return int(pixels["SignificantBits"])
    if page.bitspersample != 16:
        return int(page.bitspersample)
    brightest = page.tags.valueof(281)  # MaxSampleValue
    if isinstance(brightest, tuple):
        brightest = max(brightest)
    # 65,535 is the tag's default, which programs write without having looked
    return int(brightest).bit_length() if brightest and 255 <= brightest < 65_535 else None


def _ome_mpp(pixels: dict[str, Any]) -> float | None:
    x, y = _number(pixels.get("PhysicalSizeX")), _number(pixels.get("PhysicalSizeY"))
    if not x or (y and abs(x / y - 1) > _SQUARE):
        return None
    scale = _UM_PER_UNIT.get(str(pixels.get("PhysicalSizeXUnit", "µm")))
    return None if scale is None else x * scale


def _imagej_mpp(tif: Any, page: Any) -> float | None:
    unit = str((tif.imagej_metadata or {}).get("unit", "")).lower()
    per_unit = _pixels_per_unit(page)
    return _UM_PER_UNIT[unit] / per_unit if unit in _UM_PER_UNIT and per_unit else None


def _tag_mpp(page: Any) -> float | None:
    scale, per_unit = _UM_PER_TIFF_UNIT.get(int(page.tags.valueof(296, 2))), _pixels_per_unit(page)
    return scale / per_unit if scale and per_unit else None


def _pixels_per_unit(page: Any) -> float | None:
    """XResolution, where it is a number and the pixels are square."""
    x, y = _ratio(page.tags.valueof(282)), _ratio(page.tags.valueof(283))
    return None if not x or (y and abs(x / y - 1) > _SQUARE) else x


def _ratio(value: Any) -> float | None:
    if isinstance(value, tuple) and len(value) == 2:
        return value[0] / value[1] if value[1] else None
    return _number(value)


def _number(value: Any) -> float | None:
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) and number > 0 else None
