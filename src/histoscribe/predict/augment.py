"""What a tile may look like without being another tile: the augmentation of the fine-tuned head, in training only.

The list is that of the 35-cell-type system: flips and quarter turns; an affine map; blur or noise; a smooth distortion;
local contrast; hue, saturation and colour. By torchvision; every tile is changed in its own way, and all chance is
torch's, which `train.seeded` seeds.
"""

from collections.abc import Callable
from typing import Any

from histoscribe.encoders import import_torchvision

# the share of a tile's side, in its middle, that belongs to the labelled spot and that CutMix never covers
CENTRE_SHARE = 0.3


def augmentation(strength: float = 1.0) -> Callable[[Any], Any]:
    """Make the augmentation of a batch of tiles, (b, 3, h, w) float32 in [0, 1], to the same.

    Parameters
    ----------
    strength
        Multiplies the probability of everything but flips and quarter turns; 0 leaves only those.
    """
    import_torchvision()
    import torch
    from torchvision.transforms import InterpolationMode, v2

    def often(p: float, *kinds: Any) -> Any:
        chosen = kinds[0] if len(kinds) == 1 else v2.RandomChoice(list(kinds))
        return v2.RandomApply([chosen], p=min(1.0, p * strength))

    # rotation, shift, scale and shear together
    affine = v2.RandomAffine(25, (0.1, 0.1), (0.9, 1.1), (-7, 7, -7, 7), InterpolationMode.BILINEAR, fill=1.0)
    changes = v2.Compose(
        [
            often(0.9, affine),
            often(0.7, v2.GaussianBlur(5, (0.3, 1.5)), v2.Lambda(_motion_blurred), v2.GaussianNoise(sigma=0.03)),
            often(0.7, v2.ElasticTransform(20.0, 4.0, fill=1.0), v2.RandomPerspective(0.15, p=1.0, fill=1.0)),
            often(0.7, v2.RandomAutocontrast(p=1.0), v2.Lambda(_equalised)),
            often(0.5, v2.ColorJitter(saturation=20 / 255, hue=10 / 360)),
            often(0.5, v2.ColorJitter(0.2, 0.2, 0.2, 0.05)),
        ]
    )

    def change(tiles: Any) -> Any:
        turned = [_turned(tile, int(torch.randint(8, ()))) for tile in tiles]
        return torch.stack([changes(tile).clamp(0, 1) for tile in turned])

    return change


def cutmix_around_centre(tiles: Any) -> Any:
    """Paste a rectangle of another tile beside, never over, the middle of each tile of a batch (after Yun et al. 2019).

    A tile's label is what was measured on the spot in its middle, and ranks of two spots mixed by area are the ranks of
    no spot. So the middle `CENTRE_SHARE` of the side stays as it is, and the label with it: what is learnt is that the
    surroundings alone decide nothing.

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


def _turned(tile: Any, symmetry: int) -> Any:
    """One of the eight symmetries of a square."""
    import torch

    return torch.rot90(tile.flip(-1) if symmetry >= 4 else tile, symmetry % 4, (-2, -1))


def _motion_blurred(tile: Any) -> Any:
    """Blur along a row, as of a stage that moved; turned tiles make it any direction."""
    from torch.nn.functional import avg_pool2d

    return avg_pool2d(tile[None], (1, 5), stride=1, padding=(0, 2), count_include_pad=False)[0]


def _equalised(tile: Any) -> Any:
    """Half a histogram equalisation: local contrast without making noise of a smooth tile."""
    import torch
    from torchvision.transforms.v2.functional import equalize

    levels = (tile * 255).to(torch.uint8)
    return (tile + equalize(levels).float() / 255) / 2


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
