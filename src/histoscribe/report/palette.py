"""Colours that a colour-blind reader can distinguish.

The rule: the first seven are the seven of Okabe and Ito (https://jfly.uni-koeln.de/color/). Every further one is, of
all colours on a grid of sRGB that are neither nearly white nor nearly black nor grey, the one farthest from all before
it, where the distance of two colours is the smallest Euclidean distance in OKLab over normal vision, protanopia,
deuteranopia and tritanopia, each simulated after Machado et al. (2009). Any two of the twenty are at least 0.07
apart by this measure. Domain k has colour k in every figure. From the 21st domain on the colours repeat, in tiles
with a dark outline; numbers on the map distinguish them.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DOMAIN_HEX = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#F0E442"),
    *("#520A00", "#000099", "#99F5FF", "#8F3329", "#ADCCA3", "#A366FF", "#663D70"),
    *("#1F00E0", "#3D0A5C", "#855C70", "#52D6F5", "#C2EBB8", "#701F33"),
)
NO_DOMAIN_HEX = "#C9CCD1"
OUTLINE_HEX = "#1B1F24"

# one colour map for quantities: even in lightness, safe for the colour-blind, and without the grey of "not known"
QUANTITY_MAP = "viridis"

# OKLab to linear sRGB (Ottosson 2020)
_LMS_OF_LAB = np.array(
    [[1.0, 0.3963377774, 0.2158037573], [1.0, -0.1055613458, -0.0638541728], [1.0, -0.0894841775, -1.2914855480]]
)
_RGB_OF_LMS = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)


def domain_hex(domain: int) -> str:
    """Colour of domain 1, 2, ... as "#RRGGBB"; grey for 0, a spot without a domain."""
    return NO_DOMAIN_HEX if domain < 1 else DOMAIN_HEX[(domain - 1) % len(DOMAIN_HEX)]


def is_outlined(domain: int) -> bool:
    """Whether the colour of `domain` is used a second time, so that its tiles need an outline."""
    return domain > len(DOMAIN_HEX)


def domain_rgb(domains: NDArray[np.int64]) -> Floats:
    """Colours of domains (n,), 0 for none, as sRGB in 0..1, (n, 3)."""
    table = np.array([_rgb_of_hex(domain_hex(k)) for k in range(int(domains.max(initial=0)) + 1)])
    return table[domains]


def component_rgb(components: Floats) -> Floats:
    """Colours of three components, each in 0..1, (n, 3): the first as lightness, the others as two opponent hues.

    Lightness carries the first component, so that a reader who sees no hue still reads the strongest one.

    Returns
    -------
    (n, 3) sRGB in 0..1, cut to what a screen can show.
    """
    lightness = 0.34 + 0.58 * components[:, 0]
    hues = 0.24 * (components[:, 1:] - 0.5)
    lab = np.column_stack([lightness, hues])  # (n, 3)
    linear = (lab @ _LMS_OF_LAB.T) ** 3 @ _RGB_OF_LMS.T
    linear = np.clip(linear, 0, 1)
    rgb: Floats = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return rgb


def _rgb_of_hex(code: str) -> list[float]:
    return [int(code[start : start + 2], 16) / 255 for start in (1, 3, 5)]
