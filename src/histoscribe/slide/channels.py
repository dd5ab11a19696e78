"""Which channels of a picture are red, green and blue, by their names."""

import re
from collections.abc import Sequence

_COLOURS = {"red": "r", "green": "g", "blue": "b", "alpha": "a", "opacity": "a", **{one: one for one in "rgba"}}
# words that say nothing of a stain, or say that it is a colour picture of bright field
_PLAIN = re.compile(
    r"ch(annels?)?|c|plane|sample|bright|field|brightfield|bf|tl|transmitted|light|he?|e|rgb|colou?r|visible|image"
)


def colour_order(names: Sequence[str]) -> tuple[int, ...] | None:
    """Return where red, green and blue stand among the channels; None where these are other ones.

    Three or four channels whose names say nothing are red, green, blue and opacity.

    Examples
    --------
    >>> from histoscribe.slide.channels import colour_order
    >>> colour_order(["b", "g", "r"]), colour_order(["Channel 0", "Channel 1", "Channel 2"])
    ((2, 1, 0), (0, 1, 2))
    >>> colour_order(["DAPI", "CD3", "PanCK"]) is None
    True
    """
    colours = [_colour(name) for name in names]
    if None in colours:
        return None
    if not any(colours):
        return (0, 1, 2) if len(names) in (3, 4) else None
    if sorted(filter("a".__ne__, map(str, colours))) != ["b", "g", "r"] or colours.count("a") > 1:
        return None
    return tuple(colours.index(colour) for colour in "rgb")


def _colour(name: str) -> str | None:
    """Return the colour that a name says, "" where it says nothing, None where it says something else."""
    words = re.findall(r"[^\W\d_]+", name.lower())
    said = [_COLOURS[word] for word in words if word in _COLOURS]
    if any(word not in _COLOURS and not _PLAIN.fullmatch(word) for word in words) or len(set(said)) > 1:
        return None
    return said[0] if said else ""
