"""Randomness that belongs to a place: any part of a phantom can be drawn without the rest.

A number drawn for tile (ix, iy) is a hash of the seed, the tile and a counter, so it does not depend on what was drawn
before. The hash is the finaliser of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
generators").
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Float = NDArray[np.floating]

_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
_MIX1, _MIX2 = 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def make_key(*parts: int | str) -> int:
    """Hash of seeds, indices and names to 64 bits: the key of one stream of random numbers."""
    state = 0
    for part in parts:
        words = [part] if isinstance(part, int) else list(part.encode())
        for word in words:
            state = (state + _GOLDEN + (word & _MASK)) & _MASK
            state = ((state ^ (state >> 30)) * _MIX1) & _MASK
            state = ((state ^ (state >> 27)) * _MIX2) & _MASK
            state ^= state >> 31
    return state


def generator(*parts: int | str) -> np.random.Generator:
    """Ordinary generator of one stream, for what is not tied to a place."""
    return np.random.Generator(np.random.Philox(key=make_key(*parts)))


def place_uniforms(key: int, counters: NDArray[np.uint64], n: int) -> Float:
    """Uniform numbers in [0, 1) that depend on the key and each counter alone.

    Returns
    -------
    (n, len(counters)) float64.
    """
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is meant
        base = _mix(counters * np.uint64(_GOLDEN) + np.uint64(key))
        rows = [_mix(base + np.uint64(((j + 1) * _GOLDEN) & _MASK)) for j in range(n)]
    return _to_unit(np.stack(rows))


def tile_counters(tile_x: NDArray[np.int64], tile_y: NDArray[np.int64], k: NDArray[np.int64]) -> NDArray[np.uint64]:
    """One counter per (tile column, tile row, index in the tile); tiles may lie left of and above the section."""
    x = tile_x.astype(np.uint64) & np.uint64(0xFFFFFF)
    y = tile_y.astype(np.uint64) & np.uint64(0xFFFFFF)
    return y * np.uint64(1 << 40) + x * np.uint64(1 << 16) + k.astype(np.uint64)


def _mix(z: NDArray[np.uint64]) -> NDArray[np.uint64]:
    z = (z ^ (z >> np.uint64(30))) * np.uint64(_MIX1)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(_MIX2)
    return z ^ (z >> np.uint64(31))


def _to_unit(z: NDArray[np.uint64]) -> Float:
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


@dataclass(frozen=True, slots=True)
class SmoothField:
    """Smooth random function of the plane with zero mean and unit variance: a sum of a few plane waves.

    Parameters
    ----------
    kx, ky, phase
        Wave numbers in rad/um and phases of the waves.
    """

    kx: tuple[float, ...]
    ky: tuple[float, ...]
    phase: tuple[float, ...]

    def __call__(self, x_um: Float, y_um: Float) -> Float:
        """Value at each point, or on the grid of a row of x (1, w) and a column of y (h, 1).

        A point's value does not depend on the other points asked for. On a grid the cosine of the sum is taken from
        sines and cosines along the axes, which is ten times faster.
        """
        total = np.zeros(np.broadcast_shapes(x_um.shape, y_um.shape))
        on_grid = x_um.ndim == 2 and x_um.shape[0] == 1 and y_um.shape[1] == 1
        for kx, ky, phase in zip(self.kx, self.ky, self.phase, strict=True):
            a, b = kx * x_um, ky * y_um + phase
            total += np.cos(a) * np.cos(b) - np.sin(a) * np.sin(b) if on_grid else np.cos(a + b)
        total *= np.sqrt(2.0 / len(self.kx))
        return total


def smooth_field(wavelength_um: float, *key: int | str, n_waves: int = 6) -> SmoothField:
    """Make a field of waves about `wavelength_um` long that run in evenly spread directions."""
    rng = generator(*key)
    length = wavelength_um * np.exp(rng.uniform(-0.4, 0.4, n_waves))
    angle = np.pi * (np.arange(n_waves) + rng.uniform(0, 1)) / n_waves + rng.normal(0, 0.15, n_waves)
    k = 2 * np.pi / length
    phase = rng.uniform(0, 2 * np.pi, n_waves)
    return SmoothField(tuple(k * np.cos(angle)), tuple(k * np.sin(angle)), tuple(phase))
