"""Numbers to colours: maps that are even in lightness and safe for the colour-blind, and limits for them."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, listing

COLOUR_MAPS = ("viridis", "cividis", "magma", "gray")
_N_BARS = 48
_FADED = 0.35  # share of the range over which low values fade in


@dataclass(frozen=True, slots=True)
class Scale:
    """How a quantity is coloured.

    Parameters
    ----------
    low, high
        Values of the first and the last colour; values beyond them take these.
    colours
        One of `COLOUR_MAPS`.
    fade
        Whether low values let the picture through.
    """

    low: float
    high: float
    colours: str = "viridis"
    fade: bool = False


@cache
def colour_table(name: str) -> NDArray[np.uint8]:
    """256 colours from low to high, (256, 3) uint8.

    Raises
    ------
    ConfigError
        Where there is no such colour map.
    """
    import matplotlib

    if name not in COLOUR_MAPS:
        raise ConfigError("there is no such colour map", where="colours", expected=listing(COLOUR_MAPS), found=name)
    return np.asarray(matplotlib.colormaps[name](np.linspace(0, 1, 256))[:, :3] * 255 + 0.5, np.uint8)


def colour_values(values: NDArray[np.floating], scale: Scale) -> NDArray[np.uint8]:
    """Colours of values of any shape, (..., 4) uint8; NaN is transparent."""
    known = np.isfinite(values)
    span = scale.high - scale.low
    share = np.clip((np.where(known, values, scale.low) - scale.low) / (span if span > 0 else 1.0), 0, 1)
    out = np.empty((*values.shape, 4), np.uint8)
    out[..., :3] = colour_table(scale.colours)[(share * 255 + 0.5).astype(np.uint8)]
    opacity = np.clip(share / _FADED, 0, 1) if scale.fade else 1.0
    out[..., 3] = np.where(known, 255 * opacity, 0)
    return out


def describe_range(values: NDArray[np.floating]) -> dict[str, object]:
    """Least and greatest value, limits that outliers do not stretch, and bars of a histogram between the former."""
    known = values[np.isfinite(values)]
    if not known.size:
        return {"least": 0.0, "greatest": 1.0, "low": 0.0, "high": 1.0, "bars": [], "known": 0}
    least, greatest = float(known.min()), float(known.max())
    low, high = (float(end) for end in np.percentile(known, [1, 99]))
    if high <= low:  # a gene that nearly no spot has
        low, high = least, greatest
    bars, _ = np.histogram(known, bins=_N_BARS, range=(least, greatest if greatest > least else least + 1))
    return {
        "least": least,
        "greatest": greatest,
        "low": low,
        "high": high if high > low else low + 1,
        "bars": bars.tolist(),
        "known": int(known.size),
    }
