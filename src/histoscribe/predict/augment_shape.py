"""Changes of a tile's shape: each maps a grid of places to the places that are looked at instead.

A grid is (h, w, 2) float32, x before y, -1 and 1 at the tile's edges. What lies outside the tile is its mirror image,
because an edge of one colour would tell the network which tiles were turned.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch.nn.functional import affine_grid, grid_sample, interpolate

_ROTATE_DEGREES, _SHIFT, _SCALE, _SHEAR_DEGREES = 25.0, 0.1, 0.1, 7.0
_OPTICAL = 1.0
_STEPS, _STEP_CHANGE = 5, 1.0
_ELASTIC, _BUMPS = 2 * 3 / 224, 6  # three pixels at most on a tile of 224; as many independent bumps along a side


def identity_grid(h: int, w: int) -> Any:
    """Make the grid of a tile's own pixels, (h, w, 2)."""
    return affine_grid(torch.eye(2, 3)[None], [1, 1, h, w], align_corners=False)[0]


def sampled(tile: Any, grid: Any) -> Any:
    """Read a tile (3, h, w) at the places of a grid."""
    return grid_sample(tile[None], grid[None], mode="bilinear", padding_mode="reflection", align_corners=False)[0]


def turned(tile: Any, *, horizontal: bool, vertical: bool) -> Any:
    """Flip a tile along one axis, both or none."""
    axes = [axis for axis, wanted in ((-1, horizontal), (-2, vertical)) if wanted]
    return tile.flip(axes) if axes else tile


def affine(grid: Any) -> Any:
    """Rotate by 25 degrees, shift by a tenth, scale by a tenth and shear by 7 degrees at most."""
    angle, shear_x, shear_y = (
        float(np.deg2rad(limit)) * _signed() for limit in (_ROTATE_DEGREES, _SHEAR_DEGREES, _SHEAR_DEGREES)
    )
    turn = torch.tensor([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]], dtype=torch.float32)
    shear = torch.tensor([[1.0, np.tan(shear_x)], [np.tan(shear_y), 1.0]], dtype=torch.float32)
    shift = 2 * _SHIFT * torch.tensor([_signed(), _signed()])
    return grid @ (turn @ shear).T / (1 + _SCALE * _signed()) + shift


def optical_distortion(grid: Any) -> Any:
    """Swell or pinch about the middle as a lens does: factor 1 + k r2 + k r2 r2, r in tile sides, k from -1 to 1."""
    r2 = (grid / 2).square().sum(-1, keepdim=True)
    k = _OPTICAL * _signed()
    return grid * (1 + k * r2 + k * r2.square())


def grid_distortion(grid: Any) -> Any:
    """Stretch and squeeze five strips along each axis, each to between nothing and twice its width."""
    knots = np.linspace(-1, 1, _STEPS + 1)
    parts = []
    for axis in range(2):
        widths = 1 + _STEP_CHANGE * (2 * torch.rand(_STEPS).double().numpy() - 1)
        ends = np.concatenate([[0.0], np.cumsum(widths)])
        places = np.interp(grid[..., axis].numpy(), knots, 2 * ends / ends[-1] - 1)
        beyond = grid[..., axis].abs() > 1  # outside, as it is: it is a mirror image
        parts.append(torch.where(beyond, grid[..., axis], torch.from_numpy(places).float()))
    return torch.stack(parts, -1)


def elastic(grid: Any) -> Any:
    """Move every place by a smooth random field, by 3 pixels at most on a tile of 224."""
    field = 2 * torch.rand(1, 2, _BUMPS, _BUMPS) - 1
    smooth = interpolate(field, grid.shape[:2], mode="bilinear", align_corners=True)[0]
    return grid + _ELASTIC * smooth.permute(1, 2, 0)


def _signed() -> float:
    """Draw a number between -1 and 1."""
    return float(2 * torch.rand(()) - 1)


WARPS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "affine": affine,
        "optical_distortion": optical_distortion,
        "grid_distortion": grid_distortion,
        "elastic": elastic,
    }
)
