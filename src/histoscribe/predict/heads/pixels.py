"""The first step of heads on pixels: check the tiles and resize them."""

from typing import Any

import numpy as np

from histoscribe.errors import ConfigError, InputError
from histoscribe.predict.head import Inputs


def checked_tiles(X: Inputs, *, where: str) -> Any:
    """Return the tiles, (n, h, w, 3) uint8; raises InputError where there are none or they are of another kind."""
    tiles = X.tiles
    if tiles is None:
        raise InputError("this head learns from pixels and was given no tiles", where=where, fix="give tiles")
    first = np.asarray(tiles[:1])
    if first.ndim != 4 or first.shape[-1] != 3 or first.dtype != np.uint8 or first.shape[1] != first.shape[2]:
        raise InputError(
            "these are not tiles", where=where, expected="square (n, h, h, 3) uint8", found=(first.shape, first.dtype)
        )
    return tiles


def tile_tensor(tiles: Any, rows: Any, side: int) -> Any:
    """Read some tiles as a tensor (b, 3, side, side) float32 in [0, 1], averaged where they are made smaller."""
    import torch
    from torch.nn.functional import interpolate

    x = torch.from_numpy(np.ascontiguousarray(tiles[rows])).permute(0, 3, 1, 2).contiguous().float() / 255
    if x.shape[-1] == side:
        return x
    return interpolate(x, (side, side), mode="bilinear", align_corners=False, antialias=True).clamp(0, 1)


def check_side(side: int, *, where: str, multiple: int = 1) -> None:
    """Raise ConfigError where tiles cannot have this side."""
    if side < 12 or side % multiple:
        raise ConfigError(
            f"tiles cannot be {side} pixels wide here", where=where, expected=f"12 or more, by {multiple}"
        )
