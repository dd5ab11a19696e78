"""The check of the stain: whether a picture can be haematoxylin and eosin in transmitted light.

Both stains absorb green most, whatever their mixture, and unstained places let light of all colours through. An
inverted or a fluorescence picture does neither. The limits lie between 33 real pictures (the palest tissue of
each reaches 101 of 255 in its darkest channel; green is absorbed most in all of them) and these inverted, and some of
them without colour, faded, and as fluorescence.
"""

from histoscribe.io.preflight_findings import Finding, Level, percent
from histoscribe.slide.image import SlideImage
from histoscribe.slide.stain_signs import StainSigns, stain_signs
from histoscribe.slide.tissue import TissueMask

STAIN = "stain"
_GREY_OD = 0.02
_FADED_OD = 0.15
_DIM, _DIM_ON_DARK = 50.0, 100.0  # of 255
_DARK = 0.5  # share of the places beside the tissue
_BROWN = 0.1
_LESS = 0.97  # green over the other colours in what cannot be H&E
_MORE_RED = 1.05


def stain_finding(image: SlideImage, tissue: TissueMask) -> Finding:
    """Judge the stain of a slide that has tissue."""
    signs = stain_signs(image, tissue)
    level, message, fix = _judge(signs)
    red, green, blue = signs.density
    evidence = {
        "absorbs_red": red,
        "absorbs_green": green,
        "absorbs_blue": blue,
        "palest": signs.palest,
        "brown_share": signs.brown,
    }
    if signs.darker_beside is not None:
        evidence["darker_beside_share"] = signs.darker_beside
    return Finding(STAIN, level, message, evidence, fix)


def _judge(signs: StainSigns) -> tuple[Level, str, str]:
    red, green, blue = signs.density
    absorbed = f"red {red:.2f}, green {green:.2f}, blue {blue:.2f}"
    on_dark = signs.darker_beside is not None and signs.darker_beside > _DARK
    bright_field = "give the H&E picture of this section, as a bright-field microscope or a scanner takes it"
    if signs.span < _GREY_OD and on_dark:
        message = (
            "A grey picture with tissue that is brighter than what lies beside it: inverted, fluorescence, or cut out "
            "on black, which cannot be known without colour."
        )
        return "refused", message, bright_field
    if signs.span >= _GREY_OD and green < _LESS * min(red, blue):
        message = (
            "This is no H&E: haematoxylin and eosin both absorb green most, but this tissue absorbs it least "
            f"({absorbed}; optical density). An inverted picture looks so."
        )
        return "refused", message, f"{bright_field}; an inverted picture has to be inverted back"
    if signs.palest < (_DIM_ON_DARK if on_dark else _DIM):
        message = (
            "This is no H&E: even the palest tissue lets hardly any light of some colour through "
            f"({signs.palest:.0f} of 255). Fluorescence looks so."
        )
        return "refused", message, bright_field
    if on_dark and green < max(red, blue) and signs.span >= _GREY_OD:
        message = (
            "This is no H&E: the tissue is brighter than what lies beside it, and absorbs other colours more than "
            f"green ({absorbed}; optical density). Fluorescence of several colours looks so."
        )
        return "refused", message, bright_field
    if signs.span < _GREY_OD:
        message = "A grey picture: haematoxylin and eosin cannot be told apart, and nuclei are known by darkness alone."
        return "warning", message, "give the picture in colour"
    if signs.brown > _BROWN:
        message = (
            f"{percent(signs.brown)} of the stained tissue is brown, as DAB is in immunohistochemistry; or red and "
            f"blue are exchanged. Absorbed: {absorbed}. Everything here is made for H&E."
        )
        return "warning", message, "give the H&E picture, or trust nuclei and colours only after looking at them"
    if red > _MORE_RED * green:
        message = (
            f"The tissue absorbs {absorbed} (optical density): blue, without eosin. Everything here is made for H&E."
        )
        return "warning", message, "give the H&E picture, or trust nuclei and colours only after looking at them"
    if max(signs.density) < _FADED_OD:
        message = (
            f"The stain is faded: half of the tissue absorbs less than {max(signs.density):.2f} (optical density)."
        )
        return "warning", message, "scan the slide with less light, or look closely at nuclei and tissue"
    return "ok", f"Colours as those of haematoxylin and eosin. Absorbed: {absorbed} (optical density).", ""
