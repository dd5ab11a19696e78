"""Changes of a tile's look: blur, noise, contrast and colour. Each takes and returns (3, h, w) float32.

What changes contrast adds the same to red, green and blue of a pixel, and so leaves the stain's hue as it is.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch.nn.functional import conv2d, pad

from histoscribe.encoders import import_torchvision

_KERNELS = (3, 5)  # sides of the blurs
_GAUSSIAN_SIGMA = (0.5, 3.0)
_NOISE_VARIANCE = (10.0, 50.0)  # of grey levels from 0 to 255
_CLAHE_CLIP, _CLAHE_CELLS, _LEVELS = (1.0, 4.0), 8, 256
_HSV = (10 / 180, 20 / 255, 10 / 255)  # largest shift of hue (a turn is 1), saturation and value
_COLOURED = 0.2  # a pixel of less saturation is given less, so that white glass stays white
_JITTER, _JITTER_HUE = 0.2, 0.02  # 0.2 of a turn would make haematoxylin green; most of the change of hue is that above
_LUMINANCE = (0.299, 0.587, 0.114)  # of red, green and blue


def motion_blur(tile: Any) -> Any:
    """Blur along a line in any direction, as of a stage that moved."""
    side, angle = _side(), float(np.pi * torch.rand(()))
    along = np.linspace(-(side // 2), side // 2, 4 * side + 1)
    kernel = np.zeros((side, side), np.float32)
    for x, y in zip(along * np.cos(angle) + side // 2, along * np.sin(angle) + side // 2, strict=True):
        column, row = int(x), int(y)
        for to_row, to_column in ((row, column), (row, column + 1), (row + 1, column), (row + 1, column + 1)):
            if to_row < side and to_column < side:
                kernel[to_row, to_column] += (1 - abs(to_row - y)) * (1 - abs(to_column - x))
    return _filtered(tile, torch.from_numpy(kernel / kernel.sum()))


def median_blur(tile: Any) -> Any:
    """Take the median of 3 x 3 or 5 x 5 pixels."""
    side = _side()
    padded = pad(tile[None], [side // 2] * 4, mode="reflect")[0]
    return padded.unfold(1, side, 1).unfold(2, side, 1).flatten(-2).median(-1).values


def gaussian_blur(tile: Any) -> Any:
    """Blur with a Gaussian on 3 x 3 or 5 x 5 pixels."""
    side, (low, high) = _side(), _GAUSSIAN_SIGMA
    sigma = low + (high - low) * float(torch.rand(()))
    weights = torch.exp(-((torch.arange(side) - side // 2) ** 2) / (2 * sigma**2))
    kernel = weights[:, None] * weights
    return _filtered(tile, kernel / kernel.sum())


def gaussian_noise(tile: Any) -> Any:
    """Add noise of a variance of 10 to 50 squared grey levels to each channel."""
    low, high = _NOISE_VARIANCE
    deviation = (low + (high - low) * float(torch.rand(()))) ** 0.5 / 255
    return tile + deviation * torch.randn(tile.shape)


def clahe(tile: Any) -> Any:
    """Equalise the luminance in each of 8 x 8 cells, contrast limited (Zuiderveld 1994); the colours follow it."""
    h, w = tile.shape[-2:]
    low, high = _CLAHE_CLIP
    clip = low + (high - low) * float(torch.rand(()))
    luminance = torch.einsum("c,chw->hw", torch.tensor(_LUMINANCE), tile).clamp(0, 1)
    levels = (luminance * (_LEVELS - 1)).round().long()
    cells = min(_CLAHE_CELLS, h // 4, w // 4)
    tables = _equalising(levels, cells, clip)  # (cells * cells, levels)
    row, beside_row, share_row = _neighbouring_cells(h, cells)
    column, beside_column, share_column = _neighbouring_cells(w, cells)

    def looked_up(rows: Any, columns: Any) -> Any:
        return tables[rows[:, None] * cells + columns, levels]

    above = torch.lerp(looked_up(row, column), looked_up(row, beside_column), share_column)
    below = torch.lerp(looked_up(beside_row, column), looked_up(beside_row, beside_column), share_column)
    return tile + (torch.lerp(above, below, share_row[:, None]) - luminance)


def hsv(tile: Any) -> Any:
    """Shift hue by 20 degrees, saturation by 20 and value by 10 of 255 at most."""
    from matplotlib.colors import hsv_to_rgb, rgb_to_hsv

    hue, saturation, value = np.array(_HSV) * (2 * torch.rand(3).double().numpy() - 1)
    turned = rgb_to_hsv(tile.permute(1, 2, 0).numpy())
    turned[..., 0] = (turned[..., 0] + hue) % 1
    turned[..., 1] += saturation * np.minimum(turned[..., 1] / _COLOURED, 1)
    turned[..., 2] += value
    shifted = hsv_to_rgb(turned.clip(0, 1)).astype(np.float32)
    return torch.from_numpy(shifted).permute(2, 0, 1)


def color_jitter(tile: Any) -> Any:
    """Change brightness, contrast and saturation by a factor of 0.8 to 1.2, and hue by 7 degrees at most."""
    import_torchvision()
    from torchvision.transforms import v2

    return v2.ColorJitter(_JITTER, _JITTER, _JITTER, _JITTER_HUE)(tile)


def _side() -> int:
    return _KERNELS[int(torch.randint(len(_KERNELS), ()))]


def _filtered(tile: Any, kernel: Any) -> Any:
    edge = kernel.shape[0] // 2
    return conv2d(pad(tile[:, None], [edge] * 4, mode="reflect"), kernel[None, None])[:, 0]


def _equalising(levels: Any, cells: int, clip: float) -> Any:
    """Tables from a level to the luminance that takes its place, (cells * cells, levels), one per cell."""
    h, w = levels.shape
    cell_of = (torch.arange(h) * cells // h)[:, None] * cells + torch.arange(w) * cells // w
    counts = torch.bincount((cell_of * _LEVELS + levels).flatten(), minlength=cells * cells * _LEVELS)
    counts = counts.reshape(-1, _LEVELS).float()
    size = counts.sum(1, keepdim=True)
    most = (clip * size / _LEVELS).clamp(min=1)
    kept = torch.minimum(counts, most)
    kept = kept + (size - kept.sum(1, keepdim=True)) / _LEVELS
    return kept.cumsum(1) / size


def _neighbouring_cells(n: int, cells: int) -> tuple[Any, Any, Any]:
    """Of every pixel along a side: the cell whose centre lies before it, the next cell, and how near it is to that."""
    place = ((torch.arange(n) + 0.5) * cells / n - 0.5).clamp(0, cells - 1)
    before = place.long()
    return before, (before + 1).clamp(max=cells - 1), place - before


LOOKS: Mapping[str, Callable[[Any], Any]] = MappingProxyType(
    {
        "motion_blur": motion_blur,
        "median_blur": median_blur,
        "gaussian_blur": gaussian_blur,
        "gaussian_noise": gaussian_noise,
        "clahe": clahe,
        "hsv": hsv,
        "color_jitter": color_jitter,
    }
)
