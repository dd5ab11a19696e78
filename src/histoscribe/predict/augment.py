"""Augmentation of tiles for the fine-tuned head, in training only.

The list is that of the 35-cell-type system, with its probabilities: flips and quarter turns; an affine map; one of
three blurs or noise; one of three distortions; local contrast; hue, saturation and value; colour jitter; CutMix. Every
tile is changed independently, and all random numbers are torch's, which `deterministic` seeds. What each change does to
a tile is in `augment_look` and `augment_shape`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from histoscribe.errors import ConfigError, nearest

# how often a tile undergoes each; of the changes of one group it undergoes at most one
PROBABILITIES: Mapping[str, float] = MappingProxyType(
    {
        "hflip": 0.5,
        "vflip": 0.5,
        "rot90": 0.5,
        "affine": 0.9,
        "motion_blur": 0.7 / 4,
        "median_blur": 0.7 / 4,
        "gaussian_blur": 0.7 / 4,
        "gaussian_noise": 0.7 / 4,
        "optical_distortion": 0.7 / 3,
        "grid_distortion": 0.7 / 3,
        "elastic": 0.7 / 3,
        "clahe": 0.7,
        "hsv": 0.5,
        "color_jitter": 0.5,
        "cutmix": 0.3,
    }
)
GROUPS = (
    ("motion_blur", "median_blur", "gaussian_blur", "gaussian_noise"),
    ("optical_distortion", "grid_distortion", "elastic"),
)
# the share of a tile's side, in its middle, that belongs to the labelled spot and that CutMix never covers
CENTRE_SHARE = 0.3

_TURNS = ("hflip", "vflip", "rot90")


def checked_probabilities(given: Mapping[str, float], *, where: str) -> dict[str, float]:
    """Return the probability of every change, those that are given in place of the published ones.

    Raises
    ------
    ConfigError
        A change of another name, no probability, or a group whose probabilities sum to more than 1.
    """
    for name, value in given.items():
        if name not in PROBABILITIES:
            raise ConfigError(
                f"there is no augmentation {name!r}", where=f"{where}, augmentations", fix=nearest(name, PROBABILITIES)
            )
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ConfigError(
                f"{name} needs a probability", where=f"{where}, augmentations", expected="0 to 1", found=value
            )
    found = {**PROBABILITIES, **given}
    for group in GROUPS:
        total = sum(found[name] for name in group)
        if total > 1 + 1e-9:
            raise ConfigError(
                f"a tile undergoes at most one of {', '.join(group)}",
                where=f"{where}, augmentations",
                expected="probabilities that sum to at most 1",
                found=f"{total:g}",
            )
    return found


def augmentation(strength: float = 1.0, probabilities: Mapping[str, float] = PROBABILITIES) -> Callable[[Any], Any]:
    """Make the function that augments a batch of tiles, (b, 3, h, w) float32 in [0, 1]; it returns the same shape.

    Parameters
    ----------
    strength
        Multiplies the probability of everything but flips and quarter turns; 0 leaves only those.
    probabilities
        Of every change, by name; CutMix is applied to whole batches by the caller.
    """
    import torch

    from histoscribe.predict.augment_look import LOOKS
    from histoscribe.predict.augment_shape import WARPS, identity_grid, sampled, turned

    odds = {name: p if name in _TURNS else p * strength for name, p in probabilities.items()}
    blurs, distortions = GROUPS

    def change(tiles: Any) -> Any:
        return torch.stack([_changed(tile) for tile in tiles])

    def _changed(tile: Any) -> Any:
        tile = turned(tile, horizontal=_happens(odds["hflip"]), vertical=_happens(odds["vflip"]))
        if _happens(odds["rot90"]):
            tile = torch.rot90(tile, int(torch.randint(4, ())), (-2, -1))
        warps = [name for name in ("affine",) if _happens(odds[name])] + _one_of(distortions, odds)
        if warps:
            # all maps of the plane together, so that a tile is interpolated once
            grid = identity_grid(*tile.shape[-2:])
            for name in warps:
                grid = WARPS[name](grid)
            tile = sampled(tile, grid)
        looks = _one_of(blurs, odds) + [name for name in ("clahe", "hsv", "color_jitter") if _happens(odds[name])]
        for name in looks:
            tile = LOOKS[name](tile).clamp(0, 1)
        return tile

    return change


def cutmix_around_centre(tiles: Any) -> Any:
    """Paste a rectangle of another tile beside, never over, the middle of each tile of a batch (after Yun et al. 2019).

    A tile's label is what was measured on the spot in its middle, and ranks of two spots mixed by area are the ranks of
    no spot. So the middle `CENTRE_SHARE` of the side stays as it is, and so does the label: the network learns not to
    rely on the surroundings alone.

    Parameters
    ----------
    tiles
        (b, 3, h, w).

    Returns
    -------
    A new tensor of the same shape.
    """
    import torch

    mixed, source = tiles.clone(), torch.roll(torch.arange(len(tiles)), 1)
    for k in range(len(tiles)):
        rows, columns = _beside_centre(*tiles.shape[-2:])
        mixed[k, :, rows, columns] = tiles[source[k], :, rows, columns]
    return mixed


def _happens(p: float) -> bool:
    import torch

    return bool(torch.rand(()) < p)


def _one_of(group: tuple[str, ...], odds: Mapping[str, float]) -> list[str]:
    """Name at most one change of a group, each as often as its probability says."""
    import torch

    drawn = float(torch.rand(()))
    for name in group:
        drawn -= odds[name]
        if drawn < 0:
            return [name]
    return []


def _beside_centre(h: int, w: int) -> tuple[slice, slice]:
    """Rectangle that ends before the middle on one side: left of it, right of it, above or below."""
    import torch

    share, at, length = torch.rand(3).tolist()
    side = int(torch.randint(4, ()))
    along, across = (w, h) if side < 2 else (h, w)
    depth = max(1, int(along * (1 - CENTRE_SHARE) / 2 * (0.3 + 0.7 * share)))
    start = 0 if side % 2 == 0 else along - depth
    wide = max(1, round(across * (0.3 + 0.7 * length)))
    begin = int(at * (across - wide + 1))
    near, beside = slice(start, start + depth), slice(begin, begin + wide)
    return (beside, near) if side < 2 else (near, beside)
