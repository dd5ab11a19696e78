"""Stain normalisation: bring the colours of sections to those of reference sections (Macenko, Reinhard).

Fitting and applying are two steps, so that no test section can slip into the fit: `fit_stain` is given tiles of the
reference sections only, `for_section` measures a section's own stain, `transform` maps one to the other. Background is
left out of every measurement.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import ConfigError, InputError, listing, nearest
from histoscribe.slide.image import RGB
from histoscribe.slide.unmixing import STAINED_OD, stain_directions

_LIGHT = 240  # what glass lets through, as in Macenko et al., ISBI 2009
# What is darker than this in every channel is no stain but a painted background or a fold.
_BLACK = 30
_MIN_TISSUE_PX = 256
_SAMPLE_PX = 500_000
# CIE 1976: Z = 0 where b = 200 (L + 16) / 116; a hair less, for rounding
_BLUEST = 200 / 116 * (1 - 1e-6)


@dataclass(frozen=True, slots=True, eq=False)
class StainNormaliser:
    """Maps the colours of tiles to those of the reference sections it was fitted on.

    Parameters
    ----------
    method
        "macenko" or "reinhard".
    reference
        The reference's statistics, float64: for "macenko" (3, 3), the columns of which are the optical densities of
        haematoxylin and of eosin, (3,) each, and (99th percentile of haematoxylin, of eosin, 0); for "reinhard" (3, 2),
        mean and standard deviation of L, a and b.
    source
        The same of the section that is being transformed; None to measure every tile separately.
    """

    method: str
    reference: NDArray[np.float64]
    source: NDArray[np.float64] | None = None

    def for_section(self, tiles: RGB, *, where: str | None = None) -> "StainNormaliser":
        """Return a normaliser for the section `where` that `tiles`, (n, h, w, 3), were cut from.

        One measurement for the whole section keeps the differences between its tissues. Measured tile by tile, stroma
        without nuclei would be stretched until it has as much haematoxylin as a tumour. The reference does not change.

        Raises
        ------
        InputError
            Where the tiles show hardly any tissue, or tissue of one colour.
        """
        return replace(self, source=_measure_many(self.method, tiles, where=where))

    def transform(self, tiles: RGB) -> RGB:
        """Tiles in the reference's colours, (n, h, w, 3) uint8 -> (n, h, w, 3) uint8.

        A tile's result depends on no other tile. Tiles that show background only come back unchanged.
        """
        measure, apply = _METHODS[self.method]
        out = tiles.copy()
        for i, tile in enumerate(tiles):
            tissue = tile[_tissue(tile)]  # (m, 3)
            if len(tissue) < min(_MIN_TISSUE_PX, tile.shape[0] * tile.shape[1] // 10):
                continue
            source = measure(tissue) if self.source is None else self.source
            if source is not None:
                dark = tile.max(axis=2, keepdims=True) < _BLACK
                out[i] = np.where(dark, tile, apply(tile, source, self.reference))
        return out

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers and text, for JSON; every float survives exactly."""
        source = None if self.source is None else self.source.tolist()
        return {"method": self.method, "reference": self.reference.tolist(), "source": source}

    @classmethod
    def from_dict(cls, fitted: dict[str, Any]) -> "StainNormaliser":
        """Read back what `to_dict` gave; raises ConfigError where it is something else."""
        try:
            source = fitted["source"]
            made = cls(
                _known(fitted["method"]),
                np.asarray(fitted["reference"], np.float64),
                None if source is None else np.asarray(source, np.float64),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ConfigError(
                "this is no fitted stain normaliser",
                expected="method, reference and source, as StainNormaliser.to_dict gives them",
                found=f"keys: {listing(fitted)}" if isinstance(fitted, dict) else type(fitted).__name__,
                fix="fit the stain reference again",
            ) from error
        for statistics in (made.reference, made.source):
            shape = _SHAPES[made.method]
            if statistics is not None and (statistics.shape != shape or not np.isfinite(statistics).all()):
                raise ConfigError(
                    f"the {made.method} statistics are damaged",
                    expected=f"finite numbers, shape {shape}",
                    found=f"{statistics.tolist()}",
                    fix="fit the stain reference again",
                )
        return made


def fit_stain(method: str, tiles: RGB, *, where: str | None = None) -> StainNormaliser:
    """Measure the stain of reference sections.

    Parameters
    ----------
    method
        "macenko" (stain vectors and their strength; Macenko et al., ISBI 2009) or "reinhard" (mean and spread in Lab;
        Reinhard et al., IEEE CG&A 2001).
    tiles
        (n, h, w, 3) uint8, from reference or training sections only: never from a section that is used for testing.
    where
        What an error calls the section.

    Raises
    ------
    ConfigError
        Where there is no such method.
    InputError
        Where the tiles are of the wrong kind, show hardly any tissue, or tissue of one colour.
    """
    return StainNormaliser(_known(method), _measure_many(method, tiles, where=where))


def _known(method: str) -> str:
    if method not in _METHODS:
        raise ConfigError(f"there is no stain method called {method!r}", fix=nearest(str(method), _METHODS))
    return method


def _measure_many(method: str, tiles: RGB, *, where: str | None) -> NDArray[np.float64]:
    """Statistics of all tissue pixels of the tiles, or of every k-th if there are very many."""
    if tiles.ndim != 4 or tiles.shape[3] != 3 or tiles.dtype != np.uint8:
        raise InputError(
            "the stain is measured on tiles", expected="uint8 (n, h, w, 3)", found=f"{tiles.dtype} {tiles.shape}"
        )
    step = max(1, len(tiles) * tiles.shape[1] * tiles.shape[2] // (4 * _SAMPLE_PX))
    pixels = np.concatenate(
        [tile.reshape(-1, 3)[i % step :: step] for i, tile in enumerate(tiles)] or [tiles[:0, 0, 0]]
    )
    tissue = pixels[_tissue(pixels)]
    tissue = tissue[:: max(1, len(tissue) // _SAMPLE_PX)]
    if len(tissue) < _MIN_TISSUE_PX:
        raise InputError(
            "the stain cannot be measured: the tiles show hardly any stained tissue",
            where=where,
            expected=f"at least {_MIN_TISSUE_PX} stained pixels",
            found=f"{len(tissue):,} among {len(tiles):,} tiles",
            fix="give tiles that lie on tissue",
        )
    statistics = _METHODS[method][0](tissue)
    if statistics is None:
        raise InputError(
            "the stain cannot be measured: all tissue has one colour",
            where=where,
            expected="haematoxylin and eosin",
            found="a grey picture, or a single stain",
            fix="give the picture in colour, or leave the setting stain at none",
        )
    return statistics


def _tissue(pixels: RGB) -> NDArray[np.bool_]:
    """Which pixels are stained: dense enough in every channel, yet not black. (..., 3) -> (...)."""
    clear = _LIGHT * np.exp(-STAINED_OD) - 1
    stained: NDArray[np.bool_] = (pixels.max(axis=-1) < clear) & (pixels.max(axis=-1) >= _BLACK)
    return stained


def _measure_macenko(tissue: RGB) -> NDArray[np.float64] | None:
    if np.linalg.matrix_rank(np.cov(tissue.T.astype(np.float64))) < 2:  # one colour: no plane of two stains
        return None
    density = -np.log((tissue.astype(np.float64) + 1) / _LIGHT)  # (m, 3)
    stains = stain_directions(density).T  # (3, 2)
    strength = np.percentile(density @ np.linalg.pinv(stains).T, 99, axis=0)  # (2,)
    statistics = np.column_stack([stains, [*strength, 0]])
    sound = np.isfinite(statistics).all() and (strength > 0.01).all() and np.linalg.cond(stains) < 50
    return statistics if sound else None


def _apply_macenko(tile: RGB, source: NDArray[np.float64], reference: NDArray[np.float64]) -> RGB:
    # density of RGB -> strength of the stains -> that of the reference -> density of RGB: one 3 x 3 matrix
    stronger = reference[:2, 2] / source[:2, 2]
    mapping = (reference[:, :2] * stronger) @ np.linalg.pinv(source[:, :2])  # (3, 3)
    density = _DENSITY[tile.reshape(-1, 3)] @ mapping.T.astype(np.float32)  # (h w, 3)
    return _to_bytes(_LIGHT * np.exp(-density).reshape(tile.shape))


def _measure_reinhard(tissue: RGB) -> NDArray[np.float64] | None:
    from skimage.color import rgb2lab

    lab = rgb2lab(tissue)  # (m, 3)
    statistics = np.stack([lab.mean(axis=0), lab.std(axis=0)], axis=1)  # (3, 2)
    return statistics if np.isfinite(statistics).all() and (statistics[:, 1] > 0.1).all() else None


def _apply_reinhard(tile: RGB, source: NDArray[np.float64], reference: NDArray[np.float64]) -> RGB:
    from skimage.color import lab2rgb, rgb2lab

    (mean, spread), (to_mean, to_spread) = source.T, reference.T
    moved = (rgb2lab(tile / np.float32(255)) - mean) / spread * to_spread + to_mean  # (h, w, 3)
    # colours bluer than any light: skimage would warn of each tile and clip them in the same way
    moved[..., 2] = np.minimum(moved[..., 2], _BLUEST * (moved[..., 0] + 16))
    # Reinhard moves glass as far as tissue and paints it pink; what carries no stain keeps its colour, without an edge
    density = -np.log((tile.min(axis=2, keepdims=True) + 1.0) / _LIGHT)
    stained = np.clip(density / STAINED_OD, 0, 1)  # (h, w, 1)
    return _to_bytes(255 * stained * lab2rgb(moved) + (1 - stained) * tile)


def _to_bytes(picture: NDArray[Any]) -> RGB:
    colours: RGB = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return colours


# optical density of every 8-bit value
_DENSITY = -np.log((np.arange(256, dtype=np.float32) + 1) / _LIGHT)

_Measure = Callable[[RGB], NDArray[np.float64] | None]
_Apply = Callable[[RGB, NDArray[np.float64], NDArray[np.float64]], RGB]

_METHODS: dict[str, tuple[_Measure, _Apply]] = {
    "macenko": (_measure_macenko, _apply_macenko),
    "reinhard": (_measure_reinhard, _apply_reinhard),
}
_SHAPES = {"macenko": (3, 3), "reinhard": (3, 2)}
