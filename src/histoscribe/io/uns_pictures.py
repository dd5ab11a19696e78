"""The pictures and scale factors of one section in `uns["spatial"]`, whatever their keys, and where its spots lie."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from histoscribe.errors import InputError, listing
from histoscribe.io.frames import INSIDE, Frame, inside
from histoscribe.io.lattice import NOMINAL_SPOT_UM, VISIUM, neighbour_pitch_px
from histoscribe.io.reading import Thumbnail
from histoscribe.io.spaceranger import positive
from histoscribe.slide.image import RGB, ArraySource, SlideImage
from histoscribe.slide.tissue import tissue_mask

_KINDS = {"fullres": r"full", "hires": r"hi(gh)?[_\W]*res", "lowres": r"lo(w)?[_\W]*res"}
_CLEARLY = 0.2  # of the spots lie on tissue in one place and not in the other


@dataclass(frozen=True, slots=True)
class Library:
    """What `uns["spatial"]` holds of one section.

    Parameters
    ----------
    pictures
        By kind: "fullres", "hires", "lowres".
    scales
        Factors from full-resolution pixels, by kind.
    factors
        All of `scalefactors`, with those of a JSON beside the file.
    unknown
        Keys of further pictures, which are not read.
    """

    pictures: dict[str, NDArray[Any]] = field(default_factory=dict)
    scales: dict[str, float] = field(default_factory=dict)
    factors: dict[str, Any] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()

    @classmethod
    def of(cls, stored: Mapping[str, Any], path: Path, *, beside: Mapping[str, Any]) -> "Library":
        """Read a library; raises InputError where its parts are of another kind than programs write."""
        factors = {**beside, **_named(stored, "scalefactors", path)}
        scales = {
            kind: positive(factors, key, path)
            for kind, key in _by_kind(factors).items()
            if kind != "fullres" and "diameter" not in key.lower()
        }
        pictures = _named(stored, "images", path)
        keys = _by_kind(pictures)
        known = {kind: np.asarray(pictures[key]) for kind, key in keys.items()}
        return cls(known, scales, factors, tuple(sorted(pictures.keys() - set(keys.values()))))

    def thumbnail(self, path: Path) -> tuple[Thumbnail | None, list[str]]:
        """Return the sharpest of the small pictures whose scale is known, and notes on those that show nothing."""
        notes = []
        for name in ("hires", "lowres"):
            if name not in self.pictures or name not in self.scales:
                continue
            try:
                image = SlideImage(ArraySource([rgb_of(self.pictures[name], path)]))
            except InputError as error:
                notes.append(f"the {name} picture in uns was not compared with the one given ({error.problem})")
            else:
                return Thumbnail(name, image, self.scales[name]), notes
        return None, notes

    def open(
        self, scale: str | None, xy_px: NDArray[np.float64], path: Path
    ) -> tuple[SlideImage | None, Frame, list[str]]:
        """Open the picture that is asked for, or the sharpest in which the spots lie, or the last if in none.

        Raises
        ------
        InputError
            Where there is none of that name, or no factor places the spots in any.
        """
        placed = [kind for kind in _KINDS if kind in self.pictures and (kind == "fullres" or kind in self.scales)]
        notes = [
            f"the {kind} picture in uns was passed over: it has no factor tissue_{kind}_scalef"
            for kind in _KINDS
            if kind in self.pictures and kind not in placed and placed
        ]
        if scale is not None or (self.pictures and not placed):
            placed = [scale or next(iter(self.pictures))]
        for name in placed:
            if name not in self.pictures or (name != "fullres" and name not in self.scales):
                raise InputError(
                    f"the {name} picture cannot be placed",
                    where=path,
                    expected=f"uns['spatial'][...]: images[{name!r}] and scalefactors['tissue_{name}_scalef']",
                    found=f"images: {listing(self.pictures)}; factors: {listing(self.scales)}",
                    fix="give image and scale, or write the factor",
                )
            factor, picture = self.scales.get(name, 1.0), self.pictures[name]
            require_picture(picture, path)
            share = inside(xy_px * factor, picture.shape)
            if share >= 0.9 or name == placed[-1]:
                image = SlideImage(ArraySource([rgb_of(picture, path)]))
                return image, Frame(name, factor, "from uns"), [*notes, f"image: the {name} picture in uns['spatial']"]
            notes.append(f"the {name} picture in uns was passed over: only {share:.0%} of the spots lie inside it")
        if self.unknown:
            notes.append(f"pictures in uns that are not named fullres, hires or lowres: {listing(self.unknown)}")
        return None, Frame("fullres", 1.0, "no picture"), notes

    def frame_of_spots(self, xy_px: NDArray[np.float64], path: Path) -> tuple[str, str]:
        """Find the frame that `obsm["spatial"]` is in, "fullres" unless there is evidence for another, and why.

        A spot's diameter in full-resolution pixels against the pitch says it, and the picture: in which frame the spots
        lie inside it, on tissue. Both must agree where both are known.
        """
        name = next((kind for kind in ("hires", "lowres") if kind in self.pictures and kind in self.scales), None)
        if name is None:
            return "fullres", ""
        picture, scale = self.pictures[name], self.scales[name]
        require_picture(picture, path)
        placed = {frame: xy_px * (scale / factor) for frame, factor in {"fullres": 1.0, **self.scales}.items()}
        within = {frame: xy for frame, xy in placed.items() if inside(xy, picture.shape) >= INSIDE}
        others = [frame for frame in within if frame != "fullres" and self.scales[frame] < 0.9]
        if not others:
            return "fullres", ""
        by_pitch = self._frame_by_pitch(xy_px, path)
        if by_pitch == "fullres" and "fullres" in within:
            return "fullres", ""
        mask = tissue_mask(SlideImage(ArraySource([rgb_of(picture, path)])))
        on_tissue = {frame: float(mask.at(xy).mean()) for frame, xy in within.items()}
        best = max(others, key=lambda frame: (frame == by_pitch, on_tissue[frame]))
        lead = on_tissue[best] - on_tissue.get("fullres", 0.0)
        if lead > _CLEARLY or (best == by_pitch and lead > -_CLEARLY):
            why = f"{on_tissue[best]:.0%} of the spots lie on tissue so"
            if "fullres" in within:
                why += f", {on_tissue['fullres']:.0%} as full-resolution pixels"
            else:
                why += ", and outside the picture as full-resolution pixels"
            return best, why + ("; their pitch agrees" if best == by_pitch else "")
        return "fullres", ""

    def _frame_by_pitch(self, xy_px: NDArray[np.float64], path: Path) -> str | None:
        pitch = neighbour_pitch_px(xy_px)
        if pitch is None or "spot_diameter_fullres" not in self.factors:
            return None
        ratio = pitch / positive(self.factors, "spot_diameter_fullres", path)  # 100 um over 55 to 70, times the factor
        low, high = (VISIUM.pitch_um / um for um in (max(NOMINAL_SPOT_UM), min(NOMINAL_SPOT_UM)))
        frames = {"fullres": 1.0, **self.scales}
        return next((name for name, f in frames.items() if 0.9 * low * f <= ratio <= 1.1 * high * f), None)


def same_picture(first: Mapping[str, Any], second: Mapping[str, Any], path: Path) -> bool:
    """Whether two libraries hold one and the same picture, as where the first section's was copied."""
    ours, theirs = (Library.of(one, path, beside={}).pictures for one in (first, second))
    shared = set(ours) & set(theirs)
    return any(ours[kind].shape == theirs[kind].shape and np.array_equal(ours[kind], theirs[kind]) for kind in shared)


def _by_kind(names: Mapping[str, Any]) -> dict[str, str]:
    """Kind of picture to its key: "hires" for hires, hires_image, tissue_hires_scalef; the plainest key of each."""
    found: dict[str, str] = {}
    for key in sorted(map(str, names), key=lambda key: (len(key), key)):
        for kind, pattern in _KINDS.items():
            if re.search(pattern, key, re.IGNORECASE) and not re.search("diameter", key, re.IGNORECASE):
                found.setdefault(kind, key)
    return {kind: found[kind] for kind in _KINDS if kind in found}


def _named(library: Mapping[str, Any], name: str, path: Path) -> dict[str, Any]:
    """Return one of the dictionaries of a library in `uns`; empty where there is none."""
    value = library.get(name, {})
    if not isinstance(value, Mapping):
        raise InputError(
            f"uns['spatial'][...][{name!r}] is no dictionary",
            where=path,
            expected="names and values",
            found=type(value),
        )
    return {str(key): one for key, one in value.items()}


def require_picture(picture: NDArray[Any], path: Path) -> None:
    """Refuse an array without the axes of a picture, (h, w) or (h, w, 3 or 4); raises InputError."""
    flat = picture.ndim == 2
    if 0 in picture.shape or not (flat or (picture.ndim == 3 and picture.shape[2] in (3, 4))):
        raise InputError("a picture has the wrong shape", where=path, expected="(h, w, 3)", found=picture.shape)


def rgb_of(picture: NDArray[Any], path: Path) -> RGB:
    """Return an array as (h, w, 3) uint8: from uint8 or floats of 0 to 1, grey, RGB or RGBA; raises InputError."""
    require_picture(picture, path)
    if picture.ndim == 2:
        picture = np.repeat(picture[:, :, None], 3, axis=2)
    picture = picture[:, :, :3]
    if picture.dtype == np.uint8:
        return picture
    if not np.issubdtype(picture.dtype, np.floating) or not np.isfinite(picture).all():
        raise InputError("a picture holds no colours", where=path, expected="uint8, or 0 to 1", found=picture.dtype)
    if picture.min() < 0 or picture.max() > 1:
        raise InputError(
            "a picture has values outside 0 to 1", where=path, found=f"{picture.min():.3g} to {picture.max():.3g}"
        )
    rgb: RGB = np.rint(picture * 255).astype(np.uint8)
    return rgb
