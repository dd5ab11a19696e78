"""Periodic textures of the matrix, the chromatin and the camera, made once and cut where they are needed."""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from histoscribe.phantom.randomness import generator

Texture = NDArray[np.float32]

PERIOD_PX = 768
N_DIRECTIONS = 8
# wavelength across and length along the fibres, um
FINE_FIBRES_UM = (7.0, 26.0)
COARSE_FIBRES_UM = (13.0, 90.0)


def crop(texture: Texture, x: int, y: int, width: int, height: int) -> Texture:
    """Window of a texture repeated over the whole plane; (x, y) may be any integers."""
    return _wrap(_wrap(texture, y, height, axis=0), x, width, axis=1)


def _wrap(texture: Texture, start: int, length: int, axis: int) -> Texture:
    start %= PERIOD_PX
    pieces = []
    while length > 0:
        piece = texture[start : start + length] if axis == 0 else texture[:, start : start + length]
        pieces.append(piece)
        length -= piece.shape[axis]
        start = 0
    return pieces[0] if len(pieces) == 1 else np.concatenate(pieces, axis=axis)


class Textures:
    """The textures of one section at its microns per pixel; each has zero mean and unit variance.

    Parameters
    ----------
    mpp
        Microns per pixel.
    key
        Seeds and names of the section.
    """

    def __init__(self, mpp: float, *key: int | str) -> None:
        self._mpp = mpp
        noise = generator(*key, "textures").standard_normal((3, PERIOD_PX, PERIOD_PX), np.float32)
        self._spectra = fft.rfft2(noise[:2])  # (2, period, period // 2 + 1)
        self.camera: Texture = noise[2]
        self.grain: Texture = self._shape(0, self._band(7.0))
        self.clumps: Texture = self._shape(1, self._band(1.9))
        self.fibres = lru_cache(maxsize=2 * N_DIRECTIONS)(self._fibres)

    def _fibres(self, coarse: bool, direction: int) -> Texture:
        across_um, along_um = COARSE_FIBRES_UM if coarse else FINE_FIBRES_UM
        angle = np.pi * direction / N_DIRECTIONS
        ky, kx = self._wave_numbers()
        along = kx * np.cos(angle) + ky * np.sin(angle)
        across = ky * np.cos(angle) - kx * np.sin(angle)
        peak = 1 / across_um
        response = np.exp(-((along * along_um) ** 2) - 0.5 * ((np.abs(across) - peak) / (0.6 * peak)) ** 2)
        return self._shape(int(coarse), response)

    def _band(self, wavelength_um: float) -> NDArray[np.float64]:
        ky, kx = self._wave_numbers()
        ratio = np.hypot(kx, ky) * wavelength_um
        return ratio * np.exp(-(ratio**2))

    def _wave_numbers(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        ky = fft.fftfreq(PERIOD_PX, self._mpp)[:, None]
        kx = fft.rfftfreq(PERIOD_PX, self._mpp)[None, :]
        return ky, kx

    def _shape(self, which: int, response: NDArray[np.float64]) -> Texture:
        texture = fft.irfft2(self._spectra[which] * response.astype(np.float32), s=(PERIOD_PX, PERIOD_PX))
        normal: Texture = ((texture - texture.mean()) / texture.std()).astype(np.float32)
        return normal
